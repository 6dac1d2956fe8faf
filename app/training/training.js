// The page on representations: forms that start commands, trainings as they run, two representations beside each other.

const LOOK = 500; // ms between two questions about what is new, while the page is open and seen
const PAUSE = 250; // ms without a key before a form is checked
const HOVER = 120; // ms over an object before its neighbours are asked for
const OVERLAID = 4; // newest trainings whose curves are drawn at first

class Page {
  constructor(model) {
    this.model = model;
    this.names = [];
    this.dialog = element("dialog", "page", "", { role: "dialog", "aria-label": "Representations", tabindex: "-1" });
    const head = element("header", "");
    this.tabs = element("nav", "tabs");
    this.jobs = element("div", "jobs");
    this.said = element("div", "said", "", { role: "status" });
    for (const [page, title] of [["train", "Train and embed"], ["compare", "Compare"]]) {
      this.tabs.append(element("button", "tab", title, { type: "button", "data-page": page }));
      this.tabs.lastChild.addEventListener("click", () => this.open(page));
    }
    head.append(element("h2", "", "Representations"), this.tabs, this.jobs,
      button("shut", "×", "Close (Esc)", () => this.close()));
    this.form = new Form(this);
    this.trainings = new Trainings(this);
    this.compare = new Compare(this);
    this.train = element("section", "train");
    this.train.append(this.form.root, this.trainings.middle, this.trainings.picture.root);
    this.dialog.append(head, this.train, this.compare.root, this.said);
    this.dialog.addEventListener("cancel", (event) => { event.preventDefault(); this.close(); });
    for (const kind of ["keydown", "keyup"]) this.dialog.addEventListener(kind, (event) => event.stopPropagation()); // nothing behind it hears keys
  }

  send(type, more = {}) { this.model.send_msg({ type, ...more }); }
  open(page) { if (this.model.page !== page) this.model.page = page; else this.show(); }
  close() { this.model.page = ""; }

  show() {
    const { page } = this.model;
    if (!page) { if (this.dialog.open) this.dialog.close(); clearInterval(this.timer); this.timer = null; return; }
    if (!this.dialog.isConnected) return;
    if (!this.dialog.open) { this.dialog.showModal(); this.dialog.focus(); this.send("opened"); }
    for (const tab of this.tabs.children) tab.setAttribute("aria-current", String(tab.dataset.page === page));
    this.train.hidden = page !== "train";
    this.compare.root.hidden = page !== "compare";
    if (page === "compare") { this.compare.offered = null; this.send("offer"); if (this.choices) { this.compare.asked = ""; this.compare.choose(this.choices); } }
    if (!this.timer) this.timer = setInterval(() => this.look(), LOOK);
    this.look();
  }

  look() {
    if (document.hidden || this.model.page !== "train" || this.asking > Date.now()) return;
    this.asking = Date.now() + 5000; // one question at a time
    this.send("look", { have: this.trainings.have() });
  }

  key(event) {
    if (event.key.toLowerCase() !== "t" || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.defaultPrevented || event.repeat) return;
    if (event.composedPath().some((n) => n instanceof HTMLElement && (["INPUT", "TEXTAREA", "SELECT"].includes(n.tagName) || n.isContentEditable))) return;
    event.preventDefault();
    this.model.page ? this.close() : this.open("train");
  }

  // Keys go to the page alone, also when what had the focus is gone.
  guard(event) {
    if (!this.dialog.open || event.composedPath().includes(this.dialog)) { if (event.composedPath()[0] === this.dialog || this.dialog.open) this.typed(event); return; }
    event.stopImmediatePropagation();
    this.dialog.focus();
    if (event.key === "Escape") { event.preventDefault(); this.close(); }
  }

  typed(event) { if (this.dialog.open && event.composedPath().includes(this.dialog)) this.key(event); }

  message(data) {
    if (data.type === "runs") { this.asking = 0; this.names = data.names; this.trainings.show(data); this.showJobs(data.jobs); }
    else if (data.type === "choices") { this.choices = data; this.offer(); }
    else if (data.type === "drafted") this.form.drafted(data);
    else if (data.type === "started") { this.form.started(data); this.look(); }
    else if (data.type === "compared") this.compare.compared(data);
    else if (data.type === "notice") this.say(data);
    else if (data.type === "cursor") this.compare.focus(data.row);
  }

  // What runs beside the trainings: embeddings and layouts.
  showJobs(jobs) {
    const key = JSON.stringify(jobs);
    if (this.jobsShown === key) return;
    this.jobsShown = key;
    this.jobs.replaceChildren(...jobs.slice(0, 3).map((job) => {
      const made = element("div", "job"), track = element("div", job.fraction === null ? "track unknown" : "track");
      track.append(element("div", "part"));
      track.firstChild.style.width = `${100 * (job.fraction ?? 0.25)}%`;
      made.title = `${job.title}: ${job.words}`;
      made.append(element("b", "", job.title), element("span", "", job.words),
        button("stop", "×", `Stop ${job.title}; what is finished is kept`, () => this.send("cancel", { job: job.number })), track);
      return made;
    }));
  }

  say({ level, text }) {
    if (!text) return;
    const box = element("div", `notice ${level}`);
    const away = button("stop", "×", "Dismiss", () => box.remove());
    box.append(element("span", "", text), away);
    this.said.append(box);
    while (this.said.children.length > 3) this.said.firstChild.remove();
    if (level !== "error") setTimeout(() => box.remove(), 4000);
  }

  offer() {
    const active = this.dialog.getRootNode().activeElement;
    if (!this.form.root.contains(active) || active.tagName === "BUTTON") this.form.draw(); // not under who is typing
    else this.form.check(0);
    this.compare.choose(this.choices);
  }
}

export function render({ model }) {
  const root = element("div", "root");
  const page = new Page(model);
  root.append(page.dialog);
  const guard = (event) => page.guard(event);
  const key = (event) => { if (!page.dialog.open) page.key(event); };
  window.addEventListener("keydown", guard, true);
  document.addEventListener("keydown", key);
  const frames = { picture: (f) => page.trainings.picture.show(f), near: (f) => page.compare.showNear(f), walked: (f) => page.compare.showWalk(f), offered: (f) => page.compare.showOffered(f) };
  for (const [name, show] of Object.entries(frames)) model.on(name, () => { const frame = parse(model[name]); if (frame) show(frame); });
  const theme = () => {
    page.dialog.dataset.theme = model.dark ? "dark" : "light";
    if (page.names.length) { page.trainings.drawList(); page.trainings.drawCharts(); }
  };
  model.on("dark", theme);
  model.on("page", () => page.show());
  model.on("msg:custom", (data) => page.message(data.data ?? data));
  model.on("remove", () => {
    window.removeEventListener("keydown", guard, true);
    document.removeEventListener("keydown", key);
    clearInterval(page.timer);
  });
  theme();
  setTimeout(() => page.show()); // once it is in the document
  return root;
}
