// The dialog that makes a layout: a card a method, the settings of the one chosen, what it would take.

const PAUSE = 250; // ms without a key before a form is checked
// Method → its fields: name, title, hint, and the value that stands for none.
const NUMBERS = {
  neighbours: ["Neighbours", "15", "Objects in a neighbourhood: more shows coarser structure"],
  min_dist: ["Least distance", "0.1", "How close points may come, 0 (tight clumps) to 1"],
  perplexity: ["Perplexity", "30", "Effective number of neighbours"],
  seed: ["Seed", "0", "The same seed gives the same layout"],
  sample: ["Fit on", "all", "Objects to fit on; the rest are placed among them"],
};
const FIELDS = { umap: ["neighbours", "min_dist", "seed", "sample"], densmap: ["neighbours", "min_dist", "seed", "sample"],
  tsne: ["perplexity", "seed", "sample"], pca: [], columns: [], sky: [] };
const BARE = ["columns", "sky"];

class Maker {
  constructor(model) {
    this.model = model;
    this.method = "umap";
    this.values = { projection: "auto" };
    this.root = element("div", "root");
    this.root.append(button("wide", "Make a layout …", "Place the objects on a map (M)", () => this.open()));
    this.dialog = element("dialog", "", "", { "aria-label": "Make a layout" });
    this.cards = element("div", "cards", "", { role: "radiogroup", "aria-label": "Method" });
    this.form = element("form", "settings", "", { novalidate: "" });
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.start(); });
    this.cost = element("p", "cost", "", { role: "status" });
    this.problem = element("p", "problem", "", { role: "alert" });
    this.go = element("button", "primary", "Make it", { type: "submit" });
    this.fields = element("div", "fields");
    this.name = element("input", "", "", { type: "text", autocomplete: "off", spellcheck: "false", "aria-label": "Name" });
    this.name.addEventListener("input", () => { this.named = this.name.value.trim() !== ""; this.check(PAUSE); });
    const named = element("label", "field name");
    named.append(element("span", "", "Name"), this.name);
    const foot = element("div", "foot"), said = element("div", "said");
    said.append(this.cost, this.problem);
    foot.append(said, this.go);
    this.form.append(this.fields, named, foot);
    const head = element("header", "");
    head.append(element("h2", "", "Make a layout"), button("shut", "×", "Close (Esc)", () => this.dialog.close()));
    this.dialog.append(head, this.cards, this.form);
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    for (const kind of ["keydown", "keyup"]) this.dialog.addEventListener(kind, (event) => event.stopPropagation()); // nothing behind it hears keys
    this.root.append(this.dialog);
  }

  send(type, more = {}) { this.model.send_msg({ type, ...more }); }

  open() {
    if (this.dialog.open) return;
    this.dialog.showModal();
    if (!this.choices) this.cards.replaceChildren(element("p", "wait", "Looking at what each method would take …"));
    this.form.hidden = !this.choices;
    this.send("opened");
  }

  offered() {
    const found = parse(this.model.frame);
    if (!found) return;
    this.choices = found.header;
    if (!this.usable(this.method)) this.method = Object.keys(this.choices.methods).find((m) => this.usable(m)) ?? "umap";
    this.draw();
  }

  usable(method) {
    if (method === "columns") return this.choices.columns.length > 1;
    return BARE.includes(method) || this.choices.representations.length > 0;
  }

  why(method) {
    if (this.usable(method)) return "";
    return method === "columns" ? "The catalogue has no two columns of numbers." : "Embed the survey first: it has no representation yet.";
  }

  draw() {
    const { methods, estimates } = this.choices;
    this.cards.replaceChildren(...Object.entries(methods).map(([key, { title, words }]) => {
      const card = element("button", "card", "", { type: "button", role: "radio", "aria-checked": String(key === this.method), "data-method": key });
      const why = this.why(key), cost = estimates[key];
      card.disabled = Boolean(why);
      card.append(element("b", "", title), element("span", "words", why || words));
      if (cost && !why) card.append(element("span", cost.fits ? "takes" : "takes short", cost.words));
      card.addEventListener("click", () => { this.method = key; this.named = false; this.draw(); this.cards.querySelector("[aria-checked=true]")?.focus(); });
      return card;
    }));
    this.form.hidden = false;
    this.fields.replaceChildren(...this.made());
    if (!this.named) this.name.value = "";
    this.check(0);
  }

  made() {
    const found = [], { representations, columns } = this.choices;
    if (!BARE.includes(this.method) && representations.length > 1) {
      this.values.representation ??= this.choices.representation;
      found.push(this.select("representation", "Representation", representations));
    }
    for (const name of FIELDS[this.method]) found.push(this.text(name, ...NUMBERS[name]));
    if (this.method === "columns") {
      for (const [axis, at] of [["x", 0], ["y", 1]]) {
        this.values[axis] ??= columns[Math.min(at, columns.length - 1)];
        found.push(this.select(axis, `Along ${axis}`, columns), this.tick(`log_${axis}`, "logarithm"));
      }
    }
    if (this.method === "sky") {
      found.push(this.select("projection", "Projection", ["auto", "aitoff", "tangent"],
        { auto: "what suits the field", aitoff: "Aitoff, the whole sky", tangent: "tangent plane" }),
        this.text("centre", "Centre, RA Dec (deg)", "that of the data", "Right ascension and declination in degrees; Aitoff takes the first only"));
    }
    return found;
  }

  field(title, control, hint = "") {
    const made = element("label", "field");
    made.title = hint;
    made.append(element("span", "", title), control);
    return made;
  }

  text(name, title, placeholder, hint) {
    const input = element("input", "", "", { type: "text", placeholder, autocomplete: "off", spellcheck: "false", "data-field": name });
    input.value = this.values[name] ?? "";
    input.addEventListener("input", () => { this.values[name] = input.value; this.check(PAUSE); });
    return this.field(title, input, hint);
  }

  select(name, title, options, names = {}) {
    const made = element("select", "", "", { "data-field": name });
    for (const value of options) made.append(element("option", "", names[value] ?? value, { value }));
    made.value = this.values[name] ?? options[0] ?? "";
    made.addEventListener("change", () => { this.values[name] = made.value; this.check(0); });
    return this.field(title, made);
  }

  tick(name, title) {
    const input = element("input", "", "", { type: "checkbox", "data-field": name }), made = element("label", "tick");
    input.checked = Boolean(this.values[name]);
    input.addEventListener("change", () => { this.values[name] = input.checked; this.check(0); });
    made.append(input, element("span", "", title));
    return made;
  }

  asked() { return { method: this.method, fields: { ...this.values, name: this.named ? this.name.value : "" } }; }

  check(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send("draft", this.asked()), pause);
  }

  drafted(data) {
    if (data.problem) {
      this.problem.textContent = `${data.problem[0].toUpperCase()}${data.problem.slice(1)}: ${data.remedy}.`;
      this.cost.textContent = "";
      this.go.disabled = true;
      return;
    }
    if (data.method !== this.method) return;
    const { words, fits, sampled } = data.estimate, more = [];
    if (sampled) more.push(`fitted on a sample of ${sampled.toLocaleString("en-US")}, the rest placed among it`);
    this.cost.textContent = [words, ...more].join(" · ");
    this.problem.textContent = fits ? "" : "The memory will not suffice: fit on fewer objects, for example 200000.";
    if (data.replaces) this.problem.textContent = "A layout of that name is there already: it will be replaced.";
    this.name.placeholder = data.free;
    this.go.disabled = false;
  }

  start() {
    if (this.go.disabled) return;
    clearTimeout(this.timer);
    this.go.disabled = true;
    this.send("start", this.asked());
  }

  started() { this.named = false; this.name.value = ""; this.dialog.close(); }

  key(event) {
    if (event.key.toLowerCase() !== "o" || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.defaultPrevented || event.repeat) return;
    if (event.composedPath().some((n) => n instanceof HTMLElement && (["INPUT", "TEXTAREA", "SELECT", "DIALOG"].includes(n.tagName) || n.isContentEditable))) return;
    this.open();
  }
}

export function render({ model }) {
  const maker = new Maker(model), key = (event) => maker.key(event);
  model.on("frame", () => maker.offered());
  model.on("msg:custom", (event) => { const data = event.data ?? event; maker[data.type]?.(data); });
  document.addEventListener("keydown", key);
  model.on("remove", () => document.removeEventListener("keydown", key));
  return maker.root;
}
