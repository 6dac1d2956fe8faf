// The page on surveys: what there is on the left, what a look found on the right, what is being made below.

const SOON = 700; // ms without a key before a changed form is looked at again
const WATCH = 500; // ms between two questions about what is being made

class Page {
  constructor(model) {
    this.model = model;
    this.source = "";
    this.folder = new Folder(this);
    this.found = new Found(this);
    this.makings = element("div", "makings", "", { role: "status" });
    this.root = element("div", "page");
    const right = element("div", "right");
    right.append(this.makings, this.found.root);
    this.root.append(this.folder.root, right);
    this.theme();
  }

  send(type, more = {}) { this.model.send_msg({ type, ...more }); }
  theme() { this.root.dataset.theme = this.model.dark ? "dark" : "light"; }
  list(path) { this.send("list", { path }); }

  choose(path) {
    const source = path.trim();
    if (!source) return;
    this.source = source;
    this.folder.mark(source);
    this.look();
  }

  lookSoon() { clearTimeout(this.soon); this.soon = setTimeout(() => this.look(), SOON); }

  look() {
    clearTimeout(this.soon);
    if (!this.source) return;
    this.found.begin(this.source);
    this.send("look", { fields: { ...this.found.values, source: this.source } });
  }

  make() {
    if (this.found.go.disabled) return;
    this.found.go.disabled = true;
    this.send("make", { fields: { ...this.found.values, source: this.source } });
  }

  message(data) {
    if (data.type === "surveys") this.folder.showSurveys(data.surveys);
    else if (data.type === "encoders") { this.found.encoders(data.names); this.found.draw(); }
    else if (data.type === "listed") this.listed(data);
    else if (data.type === "looking") this.found.progress(`${data.stage}${data.total ? `: ${whole(data.done)} of ${whole(data.total)}` : ""} …`);
    else if (data.type === "looked") { this.found.looked(data.report ?? data); }
    else if (data.type === "makings") this.showMakings(data.makings);
    else if (data.type === "problem") this.refused(data);
  }

  listed(data) {
    this.folder.show(data);
    if (!this.found.values.folder) { this.found.values.folder = data.roots[0]; this.found.fields.folder.value = data.roots[0]; }
    this.found.draw();
    if (this.model.start && !this.started) { this.started = true; this.choose(`${this.model.start.startsWith("/") ? "" : `${data.roots[0]}/`}${this.model.start}`); }
  }

  refused(data) {
    const words = `${data.text}. ${data.remedy[0].toUpperCase()}${data.remedy.slice(1)}.`;
    if (this.found.root.dataset.state === "found") { this.found.problem.textContent = words; this.found.draw(); } else this.found.looked({ problem: words });
  }

  showMakings(all) {
    const going = all.some((making) => making.state === "running");
    if (this.going && !going) this.send("opened");
    this.going = going;
    clearTimeout(this.watching);
    if (going) this.watching = setTimeout(() => { if (this.root.isConnected) this.send("watch"); }, WATCH);
    this.makings.replaceChildren(...all.slice(0, 3).map((making) => this.making(making)));
  }

  making(making) {
    const made = element("article", `making ${making.state}`);
    const head = element("div", "top");
    head.append(element("b", "", making.name), element("span", "", { running: "is being made", done: "is ready", failed: "could not be made whole", cancelled: "was stopped" }[making.state]));
    if (making.state === "running") head.append(button("plain", "Stop", "Stop; what is finished stays", () => this.send("cancel", { path: making.path })));
    if (making.address && making.state !== "running") head.append(element("a", "primary", "Open", { href: making.address }));
    made.append(head);
    for (const step of making.steps) {
      const row = element("div", `step ${step.state}`), track = element("i", "track");
      track.style.setProperty("--done", String(step.state === "done" ? 1 : step.state === "running" ? step.fraction ?? 0.02 : 0));
      row.title = step.command;
      row.append(element("b", "", step.title), element("span", "", step.message || step.words || "waiting"), track);
      made.append(row);
    }
    return made;
  }
}

export function render({ model }) {
  const page = new Page(model);
  page.root.classList.add("root");
  model.on("msg:custom", (data) => page.message(data.data ?? data));
  model.on("dark", () => page.theme());
  model.on("remove", () => { clearTimeout(page.soon); clearTimeout(page.watching); });
  setTimeout(() => page.send("opened")); // once it is in the document
  return page.root;
}
