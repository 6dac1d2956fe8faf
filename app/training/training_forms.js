// A form: fields by kind, the command it makes, and what is wrong with it.
class Form {
  constructor(page) {
    this.page = page;
    this.kind = "train";
    this.values = { train: { method: "simmim", backbone: "", size: "64", unit: "minutes", length: "10", targets: "all" }, finetune: { encoder: "skysieve-base" },
      embed: { encoder: "skysieve-base", map: true } };
    this.root = element("form", "start");
    this.root.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.tabs = element("div", "segments");
    this.tabs.setAttribute("role", "tablist");
    for (const [kind, title] of KINDS) {
      this.tabs.append(element("button", "segment", title, { type: "button", role: "tab", "data-kind": kind }));
      this.tabs.lastChild.addEventListener("click", () => { this.kind = kind; this.draw(); });
    }
    this.intro = element("p", "intro");
    this.fields = element("div", "fields");
    this.problem = element("p", "problem");
    this.problem.setAttribute("role", "alert");
    this.line = element("pre", "command");
    this.copy = button("copy", "Copy", "Copy the command", () => navigator.clipboard?.writeText(this.line.textContent));
    this.go = element("button", "primary", "", { type: "submit" });
    const box = element("div", "typed");
    box.append(element("span", "", "What you could type"), this.copy, this.line);
    const foot = element("div", "foot");
    foot.append(this.problem, box, this.go);
    const body = element("div", "scrolls");
    body.append(this.intro, this.fields);
    this.root.append(this.tabs, body, foot);
    this.go.textContent = VERBS[this.kind];
    this.drafted({ form: this.kind });
  }

  draw() {
    const { choices } = this.page, values = this.values[this.kind];
    if (!choices) return;
    for (const tab of this.tabs.children) tab.setAttribute("aria-selected", String(tab.dataset.kind === this.kind));
    this.intro.textContent = INTRO[this.kind];
    this.go.textContent = VERBS[this.kind];
    this.fields.replaceChildren(...this[`${this.kind}Fields`](choices, values));
    if (this.drawnKind !== this.kind) this.drafted({ form: this.kind });
    this.drawnKind = this.kind;
    this.check(0);
  }

  trainFields(choices, values) {
    const method = this.select("method", "Method", Object.keys(choices.methods), { names: METHODS, again: true });
    const words = element("p", "hint", choices.methods[values.method] ?? "");
    const found = [this.text("name", "Name", this.suggestion(values.method)), method, words];
    if (values.method === "votes") found.push(this.questions(choices.questions, values));
    const length = element("div", "pair");
    length.append(this.text("length", "For", "10"), this.select("unit", " ", ["minutes", "steps"], { bare: true, again: true }));
    const shape = element("div", "pair");
    shape.append(this.select("backbone", "Network", ["", ...Object.keys(choices.backbones)], { names: { "": "the method’s own", ...choices.backbones } }),
      this.text("size", "Pixels a side", "64"));
    const more = element("details", "more");
    more.open = this.unfolded ?? false;
    more.addEventListener("toggle", () => { this.unfolded = more.open; });
    const rest = element("div", "pair");
    rest.append(this.text("batch", "Batch", "the method’s"), this.text("seed", "Seed", "1"));
    more.append(element("summary", "", "More"), rest, this.device(choices));
    return [...found, length, shape, more];
  }

  finetuneFields(choices, values) {
    const targets = Object.entries(choices.targets), names = {};
    for (const [name, counts] of targets) names[name] = `${name}: ${Object.entries(counts).map(([v, n]) => `${whole(n)} ${v}`).join(", ")}`;
    if (!targets.length) {
      return [element("p", "hint", "No label yet. Label a few dozen objects in the gallery with y and n, then tune an encoder to them.")];
    }
    if (!(values.target in names)) values.target = targets[0][0];
    const encoders = choices.encoders.map((e) => e.name).filter((n) => n !== "pixels");
    return [this.text("name", "Name", this.suggestion(values.target, "tuned")), this.select("target", "Labels of", Object.keys(names), { names, again: true }),
      this.select("encoder", "Encoder", encoders), this.text("epochs", "Epochs", "as many as it takes")];
  }

  embedFields(choices, values) {
    const names = { other: "another …" };
    const shipped = choices.encoders.filter((e) => !e.own), own = choices.encoders.filter((e) => e.own);
    const card = choices.encoders.find((e) => e.name === values.encoder);
    const found = [this.select("encoder", "Encoder", [...shipped, ...own].map((e) => e.name).concat("other"), { names, again: true })];
    if (values.encoder === "other") {
      found.push(this.text("other", "Which", "hf:facebook/dinov2-small"),
        element("p", "hint", "hf:NAME or timm:NAME of a model or its folder, a .pt or .onnx file, or the folder of a training."));
    } else if (card) {
      found.push(element("p", "hint", `${card.dimension} numbers an object, from ${card.size} × ${card.size} pixels. ${card.trained_on !== "not stated" ? `Trained on: ${card.trained_on}.` : ""}`));
    }
    found.push(this.text("name", "Name", "the encoder’s"), this.device(choices));
    const check = element("label", "check");
    const input = element("input", "", "", { type: "checkbox" });
    input.checked = Boolean(values.map);
    input.addEventListener("change", () => { values.map = input.checked; this.check(0); });
    check.append(input, element("span", "", "then place the objects on a map (UMAP)"));
    return [...found, check];
  }

  device(choices) {
    return this.select("device", "Device", ["", ...choices.devices], { names: { "": `the best present (${choices.devices[0]})` } });
  }

  suggestion(stem, first = "") {
    const taken = new Set(this.page.names), base = [first, stem].filter(Boolean).join("-");
    let name = base;
    for (let k = 2; taken.has(name); k++) name = `${base}-${k}`;
    const values = this.values[this.kind];
    if (!values.name || values.name === values.suggested) values.name = name;
    values.suggested = name;
    return name;
  }

  field(name, title, control) {
    const made = element("label", "field");
    control.dataset.field = name;
    made.append(element("span", "", title), control);
    return made;
  }

  text(name, title, hint) {
    const values = this.values[this.kind], input = element("input", "", "", { type: "text", placeholder: hint, autocomplete: "off", spellcheck: "false" });
    input.value = values[name] ?? "";
    input.addEventListener("input", () => { values[name] = input.value; this.check(PAUSE); });
    return this.field(name, title, input);
  }

  select(name, title, options, { names = {}, again = false } = {}) {
    const values = this.values[this.kind], made = element("select", "");
    for (const value of options) made.append(element("option", "", names[value] ?? value, { value }));
    if (!options.includes(values[name] ?? "")) values[name] = options[0] ?? "";
    made.value = values[name] ?? "";
    made.addEventListener("change", () => {
      values[name] = made.value;
      if (again) { this.draw(); this.root.querySelector(`[data-field="${name}"]`)?.focus(); } else this.check(0);
    });
    return this.field(name, title, made);
  }

  questions(groups, values) {
    const all = Object.values(groups).flat();
    const box = element("fieldset", "columns");
    box.append(element("legend", "", all.length ? "Votes or classes to learn" : "The catalogue has no votes or classes to learn"));
    for (const [stem, members] of Object.entries(groups)) {
      const row = element("label", "check");
      const input = element("input", "", "", { type: "checkbox" });
      input.checked = values.targets === "all" || members.every((m) => values.targets.includes(m));
      input.addEventListener("change", () => {
        const others = (values.targets === "all" ? all : values.targets).filter((t) => !members.includes(t));
        values.targets = others.concat(input.checked ? members : []);
        if (values.targets.length === all.length) values.targets = "all";
        this.check(0);
      });
      row.append(input, element("span", "", members.length > 1 ? `${stem} (${members.length})` : members[0]));
      row.title = members.join(", ");
      box.append(row);
    }
    return box;
  }

  check(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.page.send("draft", { kind: this.kind, fields: this.values[this.kind] }), pause);
  }

  drafted(data) {
    if (data.form !== this.kind) return;
    this.problem.textContent = data.problem ? `${data.problem[0].toUpperCase()}${data.problem.slice(1)}: ${data.remedy}.` : "";
    this.line.textContent = data.command ?? "";
    this.line.parentNode.hidden = !data.command;
    this.go.disabled = !data.command;
  }

  submit() {
    if (this.go.disabled) return;
    this.go.disabled = true;
    clearTimeout(this.timer);
    this.page.send("start", { kind: this.kind, fields: this.values[this.kind] });
  }

  started(data) {
    if (data.form === this.kind) { this.values[this.kind].name = ""; this.draw(); }
  }
}
