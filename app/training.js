// The page on representations: forms that start commands, trainings as they run, two representations beside each other.

const LOOK = 500; // ms between two questions about what is new, while the page is open and seen
const PAUSE = 250; // ms without a key before a form is checked
const HOVER = 120; // ms over an object before its neighbours are asked for
const OVERLAID = 4; // newest trainings whose curves are drawn at first

const KINDS = [["train", "Train"], ["finetune", "Fine-tune"], ["embed", "Embed"]];
const VERBS = { train: "Start training", finetune: "Start fine-tuning", embed: "Make representation" };
const INTRO = {
  train: "A new encoder, learned from this survey’s own cutouts.",
  finetune: "An encoder tuned to your labels: gives a representation and a classifier.",
  embed: "Vectors of every object by an encoder: what maps, search and the learner see.",
};
const STATES = {
  running: "running", waiting: "waiting", stopping: "stopping", failed: "failed", interrupted: "interrupted",
  finished: "finished", elsewhere: "running", preparing: "preparing",
};
const PANELS = { simmim: ["original", "masked", "reconstruction"], mae: ["original", "masked", "reconstruction"], vae: ["original", "reconstruction"] };
const QUALITY = { probe: "linear probe", two_point: "2-point score", two_point_error: "2-point error", two_point_landy_szalay: "2-point, Landy-Szalay", rankme: "RankMe",
  neighbours: "neighbours’ class", clusters: "clusters’ class", davies_bouldin: "Davies-Bouldin" };
const MEANING = {
  two_point: "Clustering beyond a Gaussian cloud: the 2-point correlation of the vectors",
  probe: "Mean area under the ROC curve of linear classifiers on the catalogue’s questions",
  neighbours: "Share of objects whose neighbours say their class",
  davies_bouldin: "How far the classes run into one another; smaller is better",
  rankme: "Directions in use",
};
const BETTER = { two_point: 1, probe: 1, neighbours: 1, davies_bouldin: -1 };
const METHODS = { simmim: "SimMIM", mae: "MAE", byol: "BYOL", dino: "DINO", vae: "Autoencoder (VAE)", votes: "Votes and classes", finetune: "fine-tuned" };

const number = (value, digits = 3) => {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(1).replace("-", "−").replace("e+", "e");
  return value.toLocaleString("en-US", { maximumSignificantDigits: digits }).replace("-", "−");
};
const whole = (value) => Math.round(value).toLocaleString("en-US");
const duration = (seconds) => {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};
const bytes = (value) => value < 1e6 ? `${Math.ceil(value / 1e3)} kB` : value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;
const url = (picture) => picture.length ? URL.createObjectURL(new Blob([picture])) : "";

function svg(tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

// Curves over steps or time, drawn as they are; the pointer reads them off.
class Chart {
  constructor(title) {
    this.root = element("figure", "chart");
    this.head = element("figcaption", "");
    this.title = element("b", "", title);
    this.read = element("span", "read");
    this.head.append(this.title, this.read);
    this.svg = svg("svg", { role: "img" });
    this.none = element("p", "none");
    this.root.append(this.head, this.svg, this.none);
    this.series = [];
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => { this.at = null; this.mark(); });
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  show(series, { unit, log = false, none = "" }) {
    Object.assign(this, { series: series.filter((s) => s.x.length), unit, log, words: none });
    this.draw();
  }

  draw() {
    const width = this.root.clientWidth, height = this.svg.clientHeight;
    this.none.textContent = this.series.length ? "" : this.words ?? "";
    if (!width || height < 40) return;
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (!this.series.length) return;
    const value = (y) => this.log ? Math.log10(Math.max(y, 1e-12)) : y;
    const xs = this.series.flatMap((s) => [s.x[0], s.x[s.x.length - 1]]);
    let low = Infinity, high = -Infinity;
    for (const s of this.series) for (const y of s.y) { const v = value(y); if (v < low) low = v; if (v > high) high = v; }
    if (high - low < 1e-9) { low -= Math.abs(low) * 0.05 + 0.01; high += Math.abs(high) * 0.05 + 0.01; }
    const room = (high - low) * 0.06, left = 46, right = 10, top = 8, bottom = 22;
    [low, high] = [low - room, high + room];
    const x0 = Math.min(...xs, 0), x1 = Math.max(...xs, x0 + 1e-9);
    this.px = (x) => left + (width - left - right) * (x - x0) / (x1 - x0 || 1);
    this.py = (y) => top + (height - top - bottom) * (1 - (value(y) - low) / (high - low));
    const text = (x, y, words, anchor) => {
      const made = svg("text", { x, y, "text-anchor": anchor });
      made.textContent = words;
      this.svg.append(made);
    };
    for (const tick of ticks(low, high, Math.max(3, height / 45))) {
      const y = top + (height - top - bottom) * (1 - (tick - low) / (high - low));
      this.svg.append(svg("line", { x1: left, x2: width - right, y1: y, y2: y, class: "rule" }));
      text(left - 6, y + 4, number(this.log ? 10 ** tick : tick), "end");
    }
    for (const tick of ticks(x0, x1, Math.max(2, width / 130))) {
      if (this.px(tick) > width - right - 30 && tick !== 0) continue;
      text(this.px(tick), height - 6, number(tick, 4), "middle");
    }
    text(width - right, height - 6, this.unit, "end");
    for (const s of [...this.series].sort((a, b) => Boolean(a.focus) - Boolean(b.focus))) {
      const d = s.x.map((x, k) => `${k ? "L" : "M"}${this.px(x).toFixed(1)} ${this.py(s.y[k]).toFixed(1)}`).join("");
      this.svg.append(svg("path", { d, style: `stroke: ${s.colour}`, class: s.focus ? "curve focus" : "curve" }));
      if (s.dots || s.x.length === 1) for (let k = 0; k < s.x.length; k++) {
        this.svg.append(svg("circle", { cx: this.px(s.x[k]), cy: this.py(s.y[k]), r: 2.5, style: `fill: ${s.colour}` }));
      }
    }
    this.cross = svg("line", { y1: top, y2: height - bottom, class: "cross", visibility: "hidden" });
    this.svg.append(this.cross);
    this.mark();
  }

  point(event) {
    if (!this.series.length || !this.px) return;
    const box = this.svg.getBoundingClientRect(), at = event.clientX - box.left;
    const main = this.series.find((s) => s.focus) ?? this.series[0];
    let best = 0;
    main.x.forEach((x, k) => { if (Math.abs(this.px(x) - at) < Math.abs(this.px(main.x[best]) - at)) best = k; });
    this.at = main.x[best];
    this.mark();
  }

  mark() {
    if (this.at == null || !this.cross) { this.read.replaceChildren(); this.cross?.setAttribute("visibility", "hidden"); return; }
    const x = this.px(this.at);
    this.cross.setAttribute("x1", x); this.cross.setAttribute("x2", x); this.cross.setAttribute("visibility", "visible");
    this.read.replaceChildren(element("i", "", `${number(this.at, 4)} ${this.unit}`), ...this.series.slice(0, 5).map((s) => {
      let best = 0;
      s.x.forEach((v, k) => { if (Math.abs(v - this.at) < Math.abs(s.x[best] - this.at)) best = k; });
      const made = element("em", "", number(s.y[best]));
      made.style.color = s.colour;
      made.title = s.name;
      return made;
    }));
  }
}

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

// Trainings: a line each, their curves over one another, and what one of them makes of a few objects.
class Trainings {
  constructor(page) {
    this.page = page;
    this.runs = {}; this.status = {}; this.colours = {}; this.embedded = [];
    this.hidden = new Set();
    this.focus = null;
    this.axis = "step";
    this.rows = new Map();
    this.list = element("div", "runs");
    this.list.setAttribute("role", "list");
    this.facts = element("div", "facts");
    this.loss = new Chart("Loss");
    this.metrics = [["probe", "linear probe"], ["two_point", "2-point score"]].map(([key]) => {
      const chart = new Chart("");
      const choose = element("select", "metric", "", { "aria-label": "Measure" });
      choose.addEventListener("change", () => { chart.key = choose.value; this.drawCharts(); });
      chart.key = key;
      chart.choose = choose;
      chart.title.replaceWith(choose);
      return chart;
    });
    this.axes = element("div", "switch");
    for (const [axis, title] of [["step", "steps"], ["seconds", "minutes"]]) {
      this.axes.append(button("choice", title, `Over ${title}`, () => { this.axis = axis; this.drawCharts(); }));
      this.axes.lastChild.dataset.axis = axis;
    }
    this.scale = button("choice", "log", "Logarithmic loss", () => { this.log = !this.log; this.drawCharts(); });
    this.axes.append(this.scale);
    this.loss.head.append(this.axes);
    const charts = element("div", "charts"), measures = element("div", "measures");
    measures.append(...this.metrics.map((c) => c.root));
    charts.append(this.loss.root, measures);
    this.empty = element("div", "empty");
    this.empty.append(element("h3", "", "Looking for trainings …")); // until the first answer
    this.nothing = [element("h3", "", "No training yet"), element("p", "",
      "An encoder turns a cutout into numbers, so that objects that look alike lie near each other. The one that ships knows galaxies in general; "
      + "one that is trained here knows this survey. Ten minutes are enough to see whether it is worth hours: its loss, its measures and what it sees appear here while it learns.")];
    this.middle = element("section", "middle none");
    this.middle.append(this.list, this.facts, charts, this.empty);
    this.picture = new Pictures(page);
  }

  show(data) {
    for (const name of Object.keys(this.runs)) if (!data.names.includes(name)) delete this.runs[name];
    Object.assign(this.runs, data.runs);
    Object.assign(this, { names: data.names, status: data.status, colours: data.colours, embedded: data.embedded, embedding: data.embedding });
    if (!this.focus || !data.names.includes(this.focus)) {
      this.focus = data.names.find((n) => ["running", "elsewhere"].includes(data.status[n].state)) ?? data.names.find((n) => this.runs[n]?.curve.step.length)
        ?? data.names[0] ?? null;
    }
    const fresh = data.names.filter((n) => !this.known?.has(n));
    if (this.known && fresh.length) this.focus = fresh[0];
    if (!this.known) for (const name of data.names.slice(OVERLAID)) this.hidden.add(name);
    this.known = new Set(data.names);
    this.middle.classList.toggle("none", data.names.length === 0);
    if (this.nothing[0].parentNode !== this.empty) this.empty.replaceChildren(...this.nothing);
    this.drawList();
    this.drawFacts();
    if (Object.keys(data.runs).length || fresh.length || this.drawn !== data.names.join("/")) this.drawCharts();
    this.drawn = data.names.join("/");
    this.picture.follow(this.focus, this.runs[this.focus]);
  }

  // The colours are made for a dark ground.
  colour(name) {
    const found = this.colours[name] ?? "var(--muted)";
    return this.page.model.dark ? found : `color-mix(in srgb, ${found} 72%, black)`;
  }

  have() { return Object.fromEntries(Object.entries(this.runs).map(([name, run]) => [name, run.version])); }

  drawList() {
    for (const [name, row] of this.rows) if (!this.names.includes(name)) { row.remove(); this.rows.delete(name); }
    this.names.forEach((name, k) => {
      if (!this.rows.has(name)) this.rows.set(name, this.line(name));
      const row = this.rows.get(name);
      if (this.list.children[k] !== row) this.list.insertBefore(row, this.list.children[k] ?? null);
      this.fill(row, name);
    });
  }

  line(name) {
    const row = element("div", "run", "", { role: "listitem", "data-name": name });
    row.dot = button("dot", "", `Draw the curve of ${name}`, (event) => {
      event.stopPropagation();
      this.hidden.has(name) ? this.hidden.delete(name) : this.hidden.add(name);
      this.drawList(); this.drawCharts();
    });
    row.name = element("button", "name", name, { type: "button" });
    row.what = element("span", "what");
    row.state = element("span", "state");
    row.words = element("span", "words");
    row.acts = element("span", "acts");
    row.bar = element("div", "track");
    row.bar.append(element("div", "part"));
    row.addEventListener("click", () => this.choose(name));
    row.append(row.dot, row.name, row.what, row.state, row.words, row.acts, row.bar);
    return row;
  }

  choose(name) {
    this.focus = name;
    this.hidden.delete(name);
    this.drawList(); this.drawFacts(); this.drawCharts();
    this.picture.follow(name, this.runs[name]);
  }

  fill(row, name) {
    const run = this.runs[name], status = this.status[name] ?? { state: "interrupted", words: "" };
    const last = run?.last ?? {}, steps = run?.steps ?? 0, live = ["running", "elsewhere"].includes(status.state);
    row.dataset.state = status.state;
    row.classList.toggle("focus", name === this.focus);
    row.dot.style.setProperty("--colour", this.colour(name));
    row.dot.setAttribute("aria-pressed", String(!this.hidden.has(name)));
    row.what.textContent = run ? [METHODS[run.method] ?? run.method, run.backbone].filter(Boolean).join(" · ") : "";
    row.state.textContent = STATES[status.state];
    const far = typeof last.step === "number" && steps ? `${whole(last.step)} of ${whole(steps)} steps` : "";
    const left = live && far ? `${duration(last.left)} left` : "";
    row.words.textContent = status.state === "failed" ? status.words : live && far ? `${far} · ${left}`
      : status.state === "finished" ? far.replace(/^.* of /, "") : [far, status.words].filter(Boolean).join(" · ");
    row.words.title = row.words.textContent;
    const share = steps && typeof last.step === "number" ? Math.min(1, last.step / steps) : 0;
    row.bar.hidden = !["running", "stopping", "waiting", "elsewhere"].includes(status.state);
    row.bar.classList.toggle("unknown", status.state === "running" && !share);
    row.bar.firstChild.style.width = `${100 * (share || (status.state === "running" ? 0.25 : 0))}%`;
    const acts = [];
    if (status.job !== null && status.job !== undefined) acts.push(["cancel", "Cancel", `Stop ${name}; what it learned is kept`]);
    if (["failed", "interrupted"].includes(status.state)) acts.push(["resume", run ? "Resume" : "Try again", `Go on with ${name}`]);
    if (status.state === "finished") {
      acts.push(this.embedded.includes(name) ? ["compare", "Compare", `Compare the representation ${name}`]
        : this.embedding.includes(name) ? ["", "Embedding …", "Its representation is being made"] : ["embed", "Embed with it", `Make a representation with ${name}, and a map of it`]);
    }
    const key = JSON.stringify([acts, status.job]);
    if (row.dataset.acts === key) return; // a button is not replaced under a finger
    row.dataset.acts = key;
    row.acts.replaceChildren(...acts.map(([act, title, hint]) => button("plain", title, hint, (event) => {
      event.stopPropagation();
      if (act === "cancel") this.page.send("cancel", { job: status.job });
      else if (!act) return;
      else if (act === "compare") this.page.compare.take(name);
      else this.page.send(act, { name });
    })));
  }

  drawFacts() {
    const run = this.runs[this.focus];
    const { last, quality } = run ?? { last: {}, quality: [] }, checkpoint = quality[quality.length - 1] ?? {}, first = quality[0] ?? {};
    const live = ["running", "elsewhere"].includes(this.status[this.focus]?.state);
    const change = (key) => {
      const from = first[key], to = checkpoint[key];
      return quality.length > 1 && Number.isFinite(from) && Number.isFinite(to) ? `from ${number(from)}` : "";
    };
    const parts = [["loss", number(last.loss), ""], ["learning rate", number(last.learning_rate, 2), ""], ["cutouts a second", number(last.rate), ""],
      live ? ["left", duration(last.left), ""] : ["took", duration(last.seconds), ""],
      ["linear probe", number(checkpoint.probe), change("probe")], ["2-point score", number(checkpoint.two_point), change("two_point")]];
    this.facts.replaceChildren(...parts.map(([title, value, more]) => {
      const box = element("div", "fact");
      box.append(element("b", "", value), element("span", "", title), element("i", "", more));
      return box;
    }));
    this.facts.title = run ? [run.command, run.objects ? `${whole(run.objects)} objects` : "", run.bands?.join(" ")].filter(Boolean).join("\n") : "";
  }

  drawCharts() {
    const shown = (this.names ?? []).filter((n) => this.runs[n] && !this.hidden.has(n));
    const over = (record) => this.axis === "step" ? record.step : record.seconds / 60;
    const unit = this.axis === "step" ? "steps" : "minutes";
    for (const choice of this.axes.children) choice.classList.toggle("chosen", choice.dataset.axis ? choice.dataset.axis === this.axis : Boolean(this.log));
    const look = (name) => ({ name, colour: this.colour(name), focus: name === this.focus });
    // the losses of two methods measure different things
    const method = this.runs[this.focus]?.method, alike = shown.filter((name) => !method || this.runs[name].method === method);
    this.loss.title.textContent = alike.length < shown.length ? `Loss of ${METHODS[method] ?? method}` : "Loss";
    this.loss.title.title = alike.length < shown.length ? "Only trainings by this method: the losses of two methods cannot be compared" : "";
    this.loss.show(alike.map((name) => {
      const { curve } = this.runs[name];
      return { ...look(name), x: this.axis === "step" ? curve.step : curve.seconds.map((s) => s / 60), y: curve.loss };
    }), { unit, log: this.log, none: shown.length ? "The first numbers come after a few steps." : "Choose trainings above to draw their curves." });
    const keys = new Set(["probe", "two_point"]);
    for (const name of shown) for (const record of this.runs[name].quality) for (const key of Object.keys(record)) keys.add(key);
    for (const key of ["step", "seconds"]) keys.delete(key);
    for (const chart of this.metrics) {
      const words = [...keys].join("/");
      if (chart.words_ !== words) {
        chart.choose.replaceChildren(...[...keys].map((key) => element("option", "", QUALITY[key] ?? key, { value: key })));
        chart.choose.value = chart.key;
        chart.words_ = words;
      }
      chart.show(shown.map((name) => {
        const run = this.runs[name], time = (record) => {
          if (this.axis === "step") return record.step;
          if (Number.isFinite(record.seconds)) return record.seconds / 60;
          const at = run.curve.step.findIndex((s) => s >= record.step);
          return (run.curve.seconds[at < 0 ? run.curve.seconds.length - 1 : at] ?? 0) / 60;
        };
        const found = run.quality.filter((r) => Number.isFinite(r[chart.key]));
        return { ...look(name), x: found.map(time), y: found.map((r) => r[chart.key]), dots: true };
      }), { unit, none: "Measured at each checkpoint." });
    }
  }
}

// What a training makes of a few objects, by step.
class Pictures {
  constructor(page) {
    this.page = page;
    this.root = element("aside", "picture without");
    this.head = element("div", "headings");
    this.image = element("img", "", "", { alt: "" });
    this.none = element("p", "none");
    this.slider = element("input", "", "", { type: "range", min: "0", "aria-label": "Step of the picture" });
    this.words = element("span", "step");
    this.slider.addEventListener("input", () => { this.newest = Number(this.slider.value) === this.steps.length - 1; this.ask(); });
    const line = element("div", "scrub");
    line.append(this.slider, this.words);
    this.frame = element("div", "frame");
    this.frame.append(this.image, this.none);
    this.root.append(this.head, this.frame, line);
    this.steps = [];
    this.newest = true;
  }

  follow(name, run) {
    const steps = run?.pictures ?? [];
    const other = name !== this.name;
    if (!other && steps.join() === this.steps.join() && this.method === run?.method) return;
    const at = this.steps[Number(this.slider.value)];
    Object.assign(this, { name, steps, method: run?.method });
    if (other) { this.newest = true; this.image.removeAttribute("src"); this.asked = null; }
    const place = this.newest ? steps.length - 1 : Math.max(0, steps.indexOf(at));
    this.slider.max = String(Math.max(0, steps.length - 1));
    this.slider.value = String(place);
    this.root.classList.toggle("without", steps.length === 0);
    this.slider.disabled = steps.length < 2;
    this.head.replaceChildren(...(PANELS[run?.method] ?? []).map((title) => element("span", "", title)));
    this.none.textContent = steps.length ? "" : !run ? "" : PANELS[run.method] ? "The first picture comes with the first checkpoint." : `${run.method || "This training"} has nothing to show but its curves.`;
    if (steps.length) this.ask();
  }

  ask() {
    const step = this.steps[Number(this.slider.value)];
    this.words.textContent = step === undefined ? "" : `step ${whole(step)}`;
    if (step === undefined || this.asked === `${this.name}/${step}`) return;
    this.asked = `${this.name}/${step}`;
    this.page.send("picture", { name: this.name, step });
  }

  show(frame) {
    const { header, pictures } = frame;
    if (header.name !== this.name || this.asked !== `${header.name}/${header.step}`) return;
    const old = this.image.src, fresh = url(pictures[0]);
    this.image.src = fresh;
    this.image.alt = `${header.name}, step ${header.step}`;
    if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
  }
}

// Two representations: measures side by side, and the neighbours of an object in both.
class Compare {
  constructor(page) {
    this.page = page;
    this.found = {};
    this.urls = { near: [], offered: [] };
    this.root = element("section", "compare");
    this.picks = ["first", "second"].map((side, k) => {
      const made = element("select", "", "", { "aria-label": `Representation ${"AB"[k]}` });
      made.addEventListener("change", () => { this[side] = made.value; this.chosen = true; this.ask(); });
      return made;
    });
    this.table = element("table", "table");
    this.offers = element("div", "offers");
    this.offersHead = element("p", "hint");
    this.columns = ["first", "second"].map(() => element("div", "grid"));
    this.object = element("div", "object");
    this.walk = element("div", "walk");
    this.clicked = [];
    this.walks = [];
    this.empty = element("div", "empty");
    const left = element("div", "left"), right = element("div", "right");
    left.append(this.table, element("h3", "", "Objects"), this.offersHead, this.offers);
    right.append(this.object, ...this.columns, this.walk);
    this.body = element("div", "columns2");
    this.body.append(left, right);
    this.root.append(this.empty, this.body);
  }

  take(name) { this.second = name; this.chosen = true; if (this.first === name) this.first = null; this.page.open("compare"); }

  choose(choices) {
    const names = choices.representations;
    this.used = choices.used;
    this.walks = choices.walks;
    this.drawWalk();
    const few = names.length < 2;
    this.empty.hidden = !few;
    this.body.hidden = few;
    this.empty.replaceChildren(element("h3", "", names.length ? "One representation so far" : "No representation yet"), element("p", "",
      "A second one to compare comes from another encoder, or from a training of your own: start it under Train."),
      button("plain", "Go to Train", "Train or embed", () => this.page.open("train")));
    if (few) return;
    if (!names.includes(this.first)) this.first = names.find((n) => n === this.used && n !== this.second) ?? names.find((n) => n !== this.second);
    if (!names.includes(this.second)) this.second = names.find((n) => n !== this.first);
    this.picks.forEach((pick, k) => {
      pick.replaceChildren(...names.map((name) => element("option", "", name, { value: name })));
      pick.value = this[["first", "second"][k]];
    });
    const wanted = names.join("/") + this.first + this.second;
    if (this.page.model.page === "compare" && this.asked !== wanted) this.ask();
    else this.drawTable();
    this.asked = wanted;
  }

  ask() {
    if (!this.first || !this.second) return;
    this.found = {};
    this.drawTable();
    this.page.send("compare", { first: this.first, second: this.second });
    this.askNear();
    if (!this.offered) this.page.send("offer");
  }

  askNear() {
    if (this.row >= 0 && this.first && this.second) this.page.send("near", { first: this.first, second: this.second, row: this.row });
  }

  compared(data) {
    if (data.first !== this.first || data.second !== this.second) return;
    this.found[data.part] = data.found;
    this.drawTable();
  }

  drawTable() {
    const { facts, agreement, first, second } = this.found;
    const rows = [];
    const line = (title, a, b, better, hint = "") => {
      const row = element("tr", "");
      const head = element("th", "", title, { scope: "row", title: hint });
      const cells = [a, b].map((text, k) => element("td", better === k ? "better" : "", text));
      row.append(head, ...cells);
      rows.push(row);
    };
    const head = element("tr", "head");
    head.append(element("th", ""), ...this.picks.map((pick, k) => {
      const cell = element("th", "", "", { scope: "col" }), name = this[["first", "second"][k]];
      const use = button("use", name === this.used ? "in use" : "use it", name === this.used ? "Maps, search and suggestions go by it"
        : `Search, suggestions and new maps by ${name} from now on`, () => this.page.send("use", { name }));
      use.disabled = name === this.used;
      cell.append(element("i", "", "AB"[k]), pick, use);
      return cell;
    }));
    if (Array.isArray(facts)) {
      line("encoder", ...facts.map((f) => f.encoder || "–"));
      line("numbers an object", ...facts.map((f) => `${f.dimension} × ${f.kind}`));
      line("on disk", ...facts.map((f) => bytes(f.bytes)));
      line("objects with a vector", ...facts.map((f) => whole(f.objects)));
    }
    const single = [...new Set([...Object.keys(first ?? {}), ...Object.keys(second ?? {})])].filter((key) => key.startsWith("probe "));
    const value = (side, key) => {
      if (side === undefined) return "measuring …";
      if (side.problem) return "–";
      const error = key === "two_point" ? side.two_point_error : undefined;
      return number(side[key]) + (Number.isFinite(error) ? ` ± ${number(error, 2)}` : "");
    };
    if (first?.problem || second?.problem) {
      const row = element("tr", ""), cell = element("td", "hint", `Not measured: ${first?.problem ?? second?.problem}`, { colspan: "3" });
      row.append(cell);
      rows.push(row);
    }
    const measure = (key, title) => {
      const values = [first?.[key], second?.[key]], sense = BETTER[key] ?? (key.startsWith("probe") ? 1 : 0);
      const unsure = key === "two_point" ? Math.hypot(first?.two_point_error ?? 0, second?.two_point_error ?? 0) : 0;
      const better = sense && values.every(Number.isFinite) && Math.abs(values[0] - values[1]) > unsure
        ? Number(sense * (values[1] - values[0]) > 0) : -1;
      line(title, value(first, key), value(second, key), better, MEANING[key] ?? "Area under the ROC curve of a linear classifier, cross-validated");
    };
    for (const key of Object.keys(MEANING)) measure(key, QUALITY[key] ?? key);
    if (single.length) {
      const row = element("tr", ""), cell = element("td", "", "", { colspan: "3" });
      cell.append(button("use fold", this.unfolded ? "fewer" : `${single.length} probes one by one`, "The linear probe of each question", () => {
        this.unfolded = !this.unfolded; this.drawTable();
      }));
      row.append(cell);
      rows.push(row);
      if (this.unfolded) for (const key of single) measure(key, key.slice(6));
    }
    const share = element("tr", "agreement"), cell = element("td", "", "", { colspan: "2" });
    if (!agreement) cell.textContent = this.first === this.second ? "one and the same" : "…";
    else if (agreement.problem) cell.textContent = agreement.problem;
    else if (agreement.mean === undefined) cell.textContent = "one and the same";
    else {
      const percent = (v) => (100 * v).toFixed(v < 0.1 ? 1 : 0);
      const bar = element("div", "track");
      bar.append(element("div", "part"));
      bar.firstChild.style.width = `${100 * agreement.mean}%`;
      cell.append(element("b", "", `${percent(agreement.mean)} %`), ` ± ${(100 * agreement.error).toFixed(1)} of the 15 nearest are the same`, bar);
      cell.title = `Among ${whole(agreement.objects)} objects; by chance ${percent(agreement.chance)} %`;
    }
    share.append(element("th", "", "neighbours in common", { scope: "row" }), cell);
    this.table.replaceChildren(head, share, ...rows);
  }

  showOffered(frame) {
    const { header, pictures } = frame;
    this.offered = header;
    this.swap("offered", pictures);
    this.offersHead.textContent = header.selected ? `The selection (${whole(header.selected)}). Point at one, or click it.`
      : "A few from everywhere: select some on the map to see them here. Point at one, or click it.";
    this.offers.replaceChildren(...header.rows.map((row, k) => this.tile(row, header.ids[k], this.urls.offered[k])));
    if (!(this.row >= 0) && header.rows.length) { this.row = header.rows[0]; this.askNear(); }
    this.mark();
  }

  swap(kind, pictures) {
    const old = this.urls[kind];
    this.urls[kind] = pictures.map(url);
    setTimeout(() => old.forEach((u) => u && URL.revokeObjectURL(u)), 2000);
  }

  tile(row, id, picture, { score, common } = {}) {
    const made = element("button", common ? "tile common" : "tile", "", { type: "button", title: score === undefined ? id : `${id} · likeness ${number(score)}`, "data-row": row });
    const image = element("img", "", "", { alt: id, draggable: "false" });
    if (picture) image.src = picture; else made.classList.add("unreadable");
    made.append(image);
    made.addEventListener("click", () => { this.fix(row); this.look(row, 0); this.page.send("cursor", { row }); });
    if (score === undefined) {
      made.addEventListener("pointerenter", () => this.look(row, HOVER));
      made.addEventListener("pointerleave", () => { if (this.fixed >= 0) this.look(this.fixed, 2 * HOVER); });
    }
    return made;
  }

  fix(row) {
    this.fixed = row;
    if (this.clicked[this.clicked.length - 1] === row) return;
    this.clicked = [...this.clicked, row].slice(-2);
    this.drawWalk();
  }

  // The way between the two objects chosen last, where an autoencoder was trained.
  drawWalk() {
    this.walk.hidden = !this.walks.length;
    if (!this.walks.length) return;
    if (!this.walks.includes(this.by)) this.by = this.walks[0];
    if (!this.strip) {
      this.strip = element("img", "", "", { alt: "" });
      this.walkHead = element("h3", "");
      this.walkBy = element("select", "metric", "", { "aria-label": "Autoencoder" });
      this.walkBy.addEventListener("change", () => { this.by = this.walkBy.value; this.drawWalk(); });
      this.walkHint = element("span", "hint");
      this.walkHead.append("A walk through", this.walkBy, this.walkHint);
      this.walk.append(this.walkHead, this.strip);
    }
    this.walkBy.replaceChildren(...this.walks.map((name) => element("option", "", name, { value: name })));
    this.walkBy.value = this.by;
    const [first, second] = this.clicked;
    if (second === undefined) { this.walkHint.textContent = "Click two objects to see what it makes of the way between them."; return; }
    const key = `${this.by}/${first}/${second}`;
    if (this.walkAsked === key) return;
    this.walkAsked = key;
    this.walkHint.textContent = "drawing …";
    this.page.send("walk", { name: this.by, first, second });
  }

  showWalk(frame) {
    const { header, pictures } = frame;
    if (this.walkAsked !== `${header.name}/${header.rows.join("/")}`) return;
    const old = this.strip.src;
    this.strip.src = url(pictures[0]);
    this.strip.alt = `From ${header.ids[0]} to ${header.ids[1]}`;
    this.walkHint.textContent = `${header.ids[0]} → ${header.ids[1]}: the first and last are the objects, between them what it draws.`;
    if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
  }

  look(row, pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { if (row !== this.row) { this.row = row; this.askNear(); this.mark(); } }, pause);
  }

  focus(row) {
    if (row < 0) return;
    this.fix(row);
    if (this.page.model.page === "compare") this.look(row, 0); else this.row = row;
  }

  mark() {
    for (const tile of this.offers.children) tile.classList.toggle("chosen", Number(tile.dataset.row) === this.row);
  }

  showNear(frame) {
    const { header, pictures } = frame;
    if (header.row !== this.row || header.names[0] !== this.first || header.names[1] !== this.second) return;
    this.swap("near", pictures);
    const common = new Set(header.common), total = Math.max(header.rows[0].length, header.rows[1].length);
    const main = element("img", "", "", { alt: header.ids[0] });
    if (this.urls.near[0]) main.src = this.urls.near[0];
    const words = element("div", "");
    words.append(element("b", "", header.ids[0]), element("span", "", `${common.size} of its ${total} nearest are the same in both (framed)`));
    this.object.replaceChildren(main, words);
    let at = 1;
    this.columns.forEach((column, k) => {
      const tiles = header.rows[k].map((row, j) => {
        const tile = this.tile(row, header.ids[at], this.urls.near[at], { score: header.scores[k][j], common: common.has(row) });
        at += 1;
        return tile;
      });
      const grid = element("div", "tiles");
      grid.append(...tiles);
      const title = element("h3", "");
      title.append(element("i", "", "AB"[k]), header.names[k]);
      column.replaceChildren(title, header.problems[k] ? element("p", "hint", header.problems[k]) : grid);
    });
  }
}

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
