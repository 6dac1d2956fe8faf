// The steering of a hunt in the browser: one line, and on demand what the next batch holds. What is chosen is sent at once; the
// frame that comes back is what counts.

const EXPLAIN = {
  explore: "of a batch drawn where the model is least certain: 0 exploit, 100 explore",
  surprise: "of a batch drawn at random, whatever the model says: only these tell what the hunt misses",
};
const KIND_WORDS = { verdicts: "yes, no, unsure", ratings: "0 to 5", classes: "one of several" };

class Steering {
  constructor(model) {
    this.model = model;
    this.open = this.making = false;
    this.root = element("div", "steering");
    this.bar = element("div", "bar");
    this.body = element("div", "body");
    this.root.append(this.bar, this.body);
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !(this.open || this.making)) return;
      event.stopPropagation();
      this.open = this.making = false;
      this.draw();
    });
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  theme() { this.root.dataset.theme = this.model.dark ? "dark" : "light"; }

  told() {
    const frame = this.model.frame && parse(this.model.frame);
    if (!frame) return;
    this.said = frame.header;
    if (this.said.target !== this.shown) this.making = false;
    this.shown = this.said.target;
    this.draw();
  }

  draw() {
    const { said } = this;
    if (!said) return;
    const held = this.body.querySelector(":focus")?.dataset.name;
    this.bar.replaceChildren(this.chooser(), this.summary());
    this.body.replaceChildren(...(this.making ? [this.form()] : this.open ? this.choices() : []));
    if (held) this.body.querySelector(`[data-name="${held}"]`)?.focus({ preventScroll: true });
  }

  chooser() {
    const chooser = element("select", "target", "", { title: "What is looked for", "aria-label": "Target" });
    for (const target of this.said.targets) {
      chooser.append(new Option(`${target.name} (${target.labels.toLocaleString("en")})`, target.name, false, target.name === this.said.target));
    }
    chooser.append(new Option("New target …", ""));
    chooser.addEventListener("change", () => {
      const name = chooser.value;
      chooser.blur();
      if (name) { this.making = false; this.send("target", { name }); } else { this.making = true; this.open = false; this.draw(); this.body.querySelector("input").focus(); }
    });
    return chooser;
  }

  summary() {
    const line = button("line", "", "What the next batch holds", () => { this.open = !this.open; this.making = false; this.draw(); });
    line.setAttribute("aria-expanded", this.open);
    line.append(element("span", "words", this.said.line), element("span", "arrow", this.open ? "▴" : "▾"));
    return line;
  }

  choices() {
    const { said } = this, how = said.steering;
    const now = said.targets.find((target) => target.name === said.target);
    const rows = [element("p", "counts", `${said.target}: ${now.kind === "classes" ? now.classes.join(", ") : KIND_WORDS[now.kind]} · ${now.words}`)];
    if (now.kind === "classes") rows.push(this.menu("hunted", "Find more", now.classes.map((name) => ({ name, words: "" })), how.hunted || now.classes[0]));
    rows.push(this.menu("acquisition", "Best by", said.acquisitions, how.acquisition), this.share("explore", "Explore", how.explore),
      this.share("surprise", "Random", how.surprise), this.menu("batch", "Batch", said.batches, how.batch),
      this.menu("cold_start", "At first", said.colds, how.cold_start), this.kept(how.artefact));
    const foot = element("div", "foot");
    foot.append(element("span", "note", "Takes effect at the next batch."), element("span", "space"),
      button("now", said.waiting ? "Ranking …" : "Show now", "List the suggestions anew by these choices", () => this.send("now")));
    return [...rows, foot];
  }

  menu(name, title, options, chosen) {
    const row = element("label", "row");
    const menu = element("select", "", "", { "data-name": name, "aria-label": title });
    for (const option of options) menu.append(new Option(option.short ?? option.name, option.name, false, option.name === chosen));
    menu.addEventListener("change", () => { this.send("steer", { [name]: menu.value }); menu.blur(); });
    row.append(element("span", "name", title), menu, element("small", "", options.find((option) => option.name === chosen)?.words ?? ""));
    return row;
  }

  share(name, title, value) {
    const row = element("label", "row");
    const slider = element("input", "", "", { type: "range", min: 0, max: 100, step: 5, "data-name": name, "aria-label": title });
    slider.value = Math.round(100 * value);
    const reading = element("output", "", `${slider.value} %`);
    slider.addEventListener("input", () => { reading.textContent = `${slider.value} %`; });
    slider.addEventListener("change", () => this.send("steer", { [name]: slider.value / 100 }));
    const pair = element("span", "pair");
    pair.append(slider, reading);
    row.append(element("span", "name", title), pair, element("small", "", EXPLAIN[name]));
    return row;
  }

  kept(artefact) {
    const others = this.said.targets.filter((target) => target.name !== this.said.target);
    const names = [...new Set([artefact || "artefact", ...others.map((target) => target.name)])];
    const options = [{ name: "", short: "nothing", words: "" }, ...names.map((name) => ({ name, words: `what is likely ‘${name}’ comes last` }))];
    return this.menu("artefact", "Keep away", options, artefact);
  }

  form() {
    const form = element("form", "form");
    const name = element("input", "", "", { type: "text", placeholder: "name, such as lens", maxlength: 60, "aria-label": "Name of the target", "data-name": "name" });
    const kind = element("select", "", "", { "aria-label": "What it is labelled with" });
    for (const word of this.said.kinds) kind.append(new Option(`${word}: ${KIND_WORDS[word]}`, word));
    const classes = element("input", "", "", { type: "text", placeholder: "spiral, ring, merger", hidden: "", "aria-label": "Classes, with commas between", "data-name": "classes" });
    kind.addEventListener("change", () => { classes.hidden = kind.value !== "classes"; if (!classes.hidden) classes.focus(); });
    const foot = element("div", "foot");
    foot.append(button("plain", "Cancel", "Make no target", () => { this.making = false; this.draw(); }), element("span", "space"),
      element("button", "now", "Hunt it", { type: "submit" }));
    form.append(name, kind, classes, foot);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (name.value.trim()) this.send("new", { name: name.value, kind: kind.value, classes: classes.value });
      else name.focus();
    });
    return form;
  }
}

export function render({ model }) {
  const part = new Steering(model);
  model.on("frame", () => part.told());
  model.on("dark", () => part.theme());
  part.theme();
  part.told();
  return part.root;
}
