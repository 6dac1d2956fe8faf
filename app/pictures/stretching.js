// The stretch's panel in the browser. A change is sent when the gallery has been drawn with the one before (message "drawn"),
// at most every PACE ms; the last one is always sent. x opens and closes it, Esc closes it, its head drags it.

const PACE = 40; // ms
const PATIENCE = 1500; // ms: a drawing that does not come must not stop the sliders
const LOGARITHMIC = new Set(["softness", "gain", "white"]);
const ROUGH = { percent: 1, black: 1, smooth: 1 }; // decimals
const ROWS = [
  ["softness", "Softness", "Flux below so many noise sd is shown linearly; less shows fainter light"],
  ["gain", "Gain", "Brightness"],
  ["black", "Black", "Black level, in noise sd above the sky; below zero the sky is grey"],
  ["white", "White", "White level, as a share of the survey's bright level"],
  ["smooth", "Smooth", "Sd of a Gaussian, pixels of the cutout"],
];
const PICTURE_TIPS = { softness: "Less shows fainter light; 3 leaves the picture as it is", black: "Black level, 0-255",
  white: "White level, as a share of 255" };
const UNITS = { softness: " σ", gain: " ×", percent: " %", black: " σ", white: " ×", smooth: " px" };
const PICTURE_UNITS = { softness: "", black: "" };
const NAMES = { asinh: "asinh", log: "log", linear: "linear", sqrt: "sqrt", survey: "survey", zscale: "zscale",
  percentile: "percentile", gentle: "gentle", lupton: "Lupton", all: "all", three: "three", one: "one" };
const TIPS = {
  survey: "The same black and white for every object, as measured for the survey", zscale: "For each cutout and band, as IRAF's zscale finds them",
  percentile: "For each cutout and band: a share of the pixels is between them",
  gentle: "Colour fades into the noise and whitens in the core", lupton: "Ratios of the bands kept everywhere (Lupton et al. 2004)",
  all: "All bands, folded into three in order of wavelength", three: "Choose a band for red, green and blue", one: "One band, in grey",
};

class Stretching {
  constructor(model) {
    this.model = model;
    this.about = model.about;
    this.settings = { ...model.settings };
    this.rows = {};
    this.choices = {};
    this.dirty = this.waiting = false;
    this.sent = 0;
    this.build();
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  // -- building -------------------------------------------------------------------------------------------------------

  build() {
    const { bands, science } = this.about;
    this.root = element("div", "layer");
    this.panel = element("section", "panel", "", { role: "dialog", "aria-label": "Stretch" });
    this.head = element("header", "head");
    const close = button("icon", "✕", "Close (Esc)", () => this.show(false));
    this.head.append(element("h2", "", "Stretch"), element("kbd", "", "x"), element("span", "space"), close);
    const body = element("div", "body");
    const presets = element("div", "presets", "", { role: "group", "aria-label": "Presets" });
    presets.append(...this.about.presets.map((name) => button("preset", name, `${name}: set all at once`,
      () => this.send("preset", { name }))));
    body.append(presets, this.choice("curve", "Curve", this.about.choices.curve),
      this.choice("limits", "Limits", this.about.choices.limits), this.slider("percent", "", "Share of the pixels between black and white"));
    for (const [name, title, tip] of ROWS) body.append(this.slider(name, title, (!science && PICTURE_TIPS[name]) || tip));
    const last = element("div", "pair");
    last.append(this.choice("bin", "Bin", this.about.choices.bin, "px"), this.tick());
    body.append(last);
    if (bands.length > 1) body.append(this.buildBands());
    const foot = element("footer", "foot");
    this.save = button("plain", "Save as the survey's default", "Draws the stored thumbnails anew, as a job", () => this.send("save"));
    this.reset = button("plain", "Reset", "As the survey is drawn by itself", () => this.send("reset"));
    foot.append(this.save, element("span", "space"), this.reset);
    this.panel.append(this.head, body, foot);
    this.root.append(this.panel);
    this.head.addEventListener("pointerdown", (event) => this.drag(event));
    this.draw();
    this.visible();
  }

  slider(name, title, tip) {
    const row = element("label", "row", "", { title: tip });
    const [low, high] = this.about.sliders[name];
    const input = element("input", "", "", { type: "range", min: "0", max: "1", step: this.step(name), "aria-label": title || tip });
    const value = element("output");
    input.addEventListener("input", () => this.change({ [name]: this.rounded(name, this.at(name, Number(input.value))) }));
    input.addEventListener("pointerup", () => input.blur()); // keys belong to the gallery again; those of a keyboard stay
    input.addEventListener("dblclick", () => this.change({ [name]: this.about.default[name] }));
    row.append(element("span", "name", title), input, value);
    this.rows[name] = { row, input, value, low, high };
    return row;
  }

  choice(name, title, values, unit = "") {
    const row = element("div", "row", "", { role: "group", "aria-label": title });
    const box = element("span", "choices");
    const made = values.map((value) => {
      const one = button("choice", NAMES[value] ?? `${value}`, TIPS[value] ?? `${title}: ${value}${unit && ` ${unit}`}`,
        () => this.choose(name, value));
      box.append(one);
      return [value, one];
    });
    row.append(element("span", "name", title), box);
    this.choices[name] = { row, made };
    return row;
  }

  choose(name, value) {
    if (name === "mode") this.change({ rgb: this.defaultBands(value) });
    else this.change({ [name]: value });
  }

  tick() {
    const line = element("label", "tick");
    this.invert = element("input", "", "", { type: "checkbox" });
    this.invert.addEventListener("change", () => this.change({ invert: this.invert.checked }));
    line.append(this.invert, element("span", "", "Negative"));
    return line;
  }

  buildBands() {
    const part = element("div", "part");
    part.append(this.choice("mode", "Bands", ["all", "three", "one"]));
    this.menus = element("div", "menus");
    part.append(this.menus, this.choice("colour", "Colour", this.about.choices.colour));
    this.weights = element("details", "weights");
    this.weights.append(element("summary", "", "Weights of the bands"), element("div", "list"));
    part.append(this.weights);
    this.weighed = "";
    return part;
  }

  // -- values ---------------------------------------------------------------------------------------------------------

  at(name, share) {
    const { low, high } = this.rows[name];
    return LOGARITHMIC.has(name) ? low * (high / low) ** share : low + (high - low) * share;
  }

  share(name, value) {
    const { low, high } = this.rows[name];
    return LOGARITHMIC.has(name) ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  }

  decimals(name) { return name === "black" && !this.about.science ? 0 : ROUGH[name]; }

  rounded(name, value) { return Number(name in ROUGH ? value.toFixed(this.decimals(name)) : value.toPrecision(3)); }

  // A step of an arrow key changes the rounded value, or the slider would stay where it is.
  step(name) {
    const [low, high] = this.about.sliders[name];
    return name in ROUGH ? 10 ** -this.decimals(name) / (high - low) : 0.005;
  }

  get mode() { return this.settings.rgb === null ? "all" : this.settings.rgb.length === 1 ? "one" : "three"; }

  defaultBands(mode) {
    const { bands, science } = this.about;
    if (mode === "all") return null;
    if (mode === "one") return [this.settings.rgb?.[0] ?? bands[bands.length >> 1]];
    const order = [bands[0], bands[(bands.length - 1) >> 1], bands.at(-1)];
    return science ? order.reverse() : order; // reddest band → red
  }

  change(some) {
    Object.assign(this.settings, some);
    this.draw();
    this.dirty = true;
    this.pump();
  }

  pump() {
    clearTimeout(this.timer);
    if (!this.dirty) return;
    const now = performance.now();
    const left = this.waiting ? this.sent + PATIENCE - now : this.sent + PACE - now;
    if (left > 0) { this.timer = setTimeout(() => this.pump(), left); return; }
    this.dirty = false;
    this.waiting = true;
    this.sent = now;
    const { own, ...settings } = this.settings;
    this.send("set", { settings });
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  draw() {
    const { science, bands } = this.about;
    for (const [name, { row, input, value }] of Object.entries(this.rows)) {
      const now = this.settings[name];
      input.value = Math.min(1, Math.max(0, this.share(name, now)));
      const unit = science ? UNITS[name] : PICTURE_UNITS[name] ?? UNITS[name];
      value.textContent = `${String(now).replace("-", "−")}${unit}`;
      row.classList.toggle("changed", now !== this.about.default[name]);
    }
    this.rows.percent.row.hidden = this.settings.limits !== "percentile";
    const softened = this.settings.curve === "asinh" || this.settings.curve === "log";
    this.rows.softness.input.disabled = !softened;
    this.rows.softness.row.classList.toggle("idle", !softened);
    for (const [name, { made }] of Object.entries(this.choices)) {
      const now = name === "mode" ? this.mode : this.settings[name];
      for (const [value, one] of made) {
        one.classList.toggle("chosen", value === now);
        one.setAttribute("aria-pressed", value === now);
      }
    }
    this.invert.checked = this.settings.invert;
    if (bands.length > 1) this.drawBands();
    this.save.disabled = this.reset.disabled = this.settings.own && !this.dirty;
  }

  drawBands() {
    const { bands, science } = this.about;
    const rgb = this.settings.rgb ?? [];
    this.menus.hidden = !rgb.length;
    if (this.menus.children.length !== rgb.length) {
      this.menus.replaceChildren(...rgb.map((_, k) => this.menu(k, rgb.length)));
    }
    rgb.forEach((name, k) => { this.menus.children[k].querySelector("select").value = name; });
    this.choices.colour.row.hidden = !science || this.mode === "one";
    const weighed = bands.filter((name) => !rgb.length || rgb.includes(name));
    if (this.weighed !== weighed.join("\n")) {
      this.weighed = weighed.join("\n");
      this.weights.lastChild.replaceChildren(...weighed.map((name) => this.weight(name)));
    }
    for (const row of this.weights.lastChild.children) {
      const value = this.settings.weights[row.dataset.band] ?? 1;
      row.querySelector("input").value = value;
      row.querySelector("output").textContent = `${value} ×`;
      row.classList.toggle("changed", value !== 1);
    }
  }

  menu(k, count) {
    const title = count === 1 ? "Grey" : ["Red", "Green", "Blue"][k];
    const line = element("label", `menu ${title.toLowerCase()}`);
    const select = element("select", "", "", { "aria-label": title });
    select.append(...this.about.bands.map((name) => new Option(name, name)));
    select.addEventListener("change", () => {
      const rgb = [...this.settings.rgb];
      rgb[k] = select.value;
      this.change({ rgb });
    });
    line.append(element("span", "", title), select);
    return line;
  }

  weight(name) {
    const row = element("label", "row", "", { title: `What the light of ${name} is multiplied by` });
    row.dataset.band = name;
    const input = element("input", "", "", { type: "range", min: "0", max: this.about.weight, step: "0.05", "aria-label": `Weight of ${name}` });
    const set = (value) => this.change({ weights: { ...this.settings.weights, [name]: value } });
    input.addEventListener("input", () => set(Number(input.value)));
    input.addEventListener("pointerup", () => input.blur());
    input.addEventListener("dblclick", () => set(1));
    row.append(element("span", "name", name), input, element("output"));
    return row;
  }

  // -- where it is ----------------------------------------------------------------------------------------------------

  show(open) {
    this.model.open = open;
    this.visible();
  }

  visible() {
    this.panel.hidden = !this.model.open;
    this.panel.classList.toggle("beside", this.model.inspecting);
  }

  drag(event) {
    if (event.target.closest("button")) return;
    event.preventDefault();
    const box = this.panel.getBoundingClientRect();
    const room = this.root.getBoundingClientRect();
    const [dx, dy] = [event.clientX - box.left, event.clientY - box.top];
    const move = ({ clientX, clientY }) => {
      const left = Math.min(Math.max(clientX - dx - room.left, 0), Math.max(0, room.width - box.width));
      const top = Math.min(Math.max(clientY - dy - room.top, 0), Math.max(0, room.height - 40));
      Object.assign(this.panel.style, { left: `${left}px`, top: `${top}px`, right: "auto", maxHeight: `${room.height - top}px` });
    };
    this.head.setPointerCapture(event.pointerId);
    this.head.addEventListener("pointermove", move);
    this.head.addEventListener("pointerup", () => this.head.removeEventListener("pointermove", move), { once: true });
  }

  // -- keys and messages ----------------------------------------------------------------------------------------------

  key(event) {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!this.root.isConnected) return;
    if (event.key === "Escape" && this.model.open && !foreign(event, this.panel)) this.show(false);
    else if (event.key.toLowerCase() === "x" && !event.repeat && !typing(event) && !foreign(event, this.panel)) this.show(!this.model.open);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  told() {
    if (this.dirty) return; // the hand is ahead of the server
    this.settings = { ...this.model.settings };
    this.draw();
  }

  message(data) {
    if (data.type !== "drawn") return;
    this.waiting = false;
    this.pump();
  }

  theme(dark) { this.root.dataset.theme = dark ? "dark" : "light"; }
}

// Whether a key belongs to a field that takes text, or to an open menu.
const typing = (event) => event.composedPath().some((node) => node instanceof Element && (node.isContentEditable
  || ["TEXTAREA", "SELECT"].includes(node.tagName) || (node.tagName === "INPUT" && !["range", "checkbox"].includes(node.type))));

// Whether another dialog or menu is open, whose Esc it is.
const foreign = (event, panel) => event.composedPath().some((node) => node instanceof Element && node !== panel
  && (node.tagName === "DIALOG" || ["dialog", "menu", "listbox"].includes(node.getAttribute("role")) && !node.dataset.gallery));

export function render({ model }) {
  const part = new Stretching(model);
  const onKey = (event) => part.key(event);
  window.addEventListener("keydown", onKey, true);
  model.on("settings", () => part.told());
  model.on("open", () => part.visible());
  model.on("inspecting", () => part.visible());
  model.on("dark", () => part.theme(model.dark));
  model.on("msg:custom", (data) => part.message(data.data ?? data));
  model.on("remove", () => window.removeEventListener("keydown", onKey, true));
  part.theme(model.dark);
  return part.root;
}
