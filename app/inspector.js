// The inspector in the browser: draws three frames (object, picture, neighbours; see app/frames.py) as they come.

const CRISP = 2; // enlarged more than this, pixels are shown as they are instead of being blurred

const address = (picture) => (picture.length ? URL.createObjectURL(new Blob([picture])) : "");

class Inspector {
  constructor(model) {
    this.model = model;
    this.header = null;
    this.portrait = null;
    this.urls = { object: [], picture: [], near: [] };
    this.chosen = 0; // 0: colour, k: the k-th band
    this.large = false;
    this.build();
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  // -- building -------------------------------------------------------------------------------------------------------

  build() {
    this.root = element("aside", "inspector", "", { "aria-label": "Inspector" });
    this.empty = element("div", "empty");
    this.empty.append(element("div", "sign"), element("h3", "", "Click a galaxy"),
      element("p", "", "On the map or in the gallery; here it is shown large, with all that is known of it."));
    this.content = element("div", "content");
    this.title = element("h2");
    const close = button("icon close", "✕", "Close (Esc)", () => this.send("close"));
    const head = element("header", "head");
    head.append(this.title, close);
    this.place = element("div", "place");
    this.buildPicture();
    this.labels = element("div", "labels", "", { role: "group", "aria-label": "Label this object" });
    this.scores = element("dl", "facts scores");
    this.near = element("section", "near");
    this.facts = element("dl", "facts");
    this.history = element("ol", "history");
    this.content.append(this.place, this.frame, this.bands, this.labels, this.scores, this.buildStretch(), this.near,
      this.section("Catalogue", this.facts), this.section("History", this.history));
    this.root.append(head, this.empty, this.content);
    this.content.hidden = true;
  }

  section(title, body) {
    const made = element("section", "part");
    made.append(element("h3", "", title), body);
    return made;
  }

  buildPicture() {
    this.frame = element("figure", "frame");
    this.image = element("img", "", "", { alt: "", draggable: "false" });
    this.caption = element("figcaption");
    this.enlarge = button("icon enlarge", "⤢", "As large as the window (Enter)", () => this.setLarge(!this.large));
    this.frame.append(this.image, this.caption, this.enlarge);
    this.image.addEventListener("click", () => this.setLarge(!this.large));
    this.image.addEventListener("load", () => {
      this.image.style.setProperty("--ratio", this.image.naturalWidth / this.image.naturalHeight);
      this.crisp();
    });
    this.bands = element("div", "bands", "", { role: "group", "aria-label": "Bands" });
    new ResizeObserver(() => this.crisp()).observe(this.frame);
  }

  buildStretch() {
    this.controls = {};
    const body = element("div", "stretch");
    for (const [name, title] of [["softness", "Softness"], ["gain", "Gain"]]) {
      const input = element("input", "", "", { type: "range", min: "0", max: "1", step: "0.005", "aria-label": title });
      const value = element("output");
      input.addEventListener("input", () => this.stretched());
      input.addEventListener("change", () => input.blur());
      this.controls[name] = { input, value };
      const line = element("label", "slider");
      line.append(element("span", "", title), input, value);
      body.append(line);
    }
    const row = element("div", "checks");
    for (const [name, title] of [["invert", "Invert"], ["gallery", "Gallery too"]]) {
      const input = element("input", "", "", { type: "checkbox" });
      input.addEventListener("change", () => { this.stretched(); input.blur(); });
      this.controls[name] = { input };
      const line = element("label", "check");
      line.append(input, element("span", "", title));
      row.append(line);
    }
    row.append(element("span", "space"), button("plain", "Reset", "As the survey is drawn", () => this.resetStretch()));
    body.append(row);
    return this.section("Stretch", body);
  }

  // -- frames ---------------------------------------------------------------------------------------------------------

  replace(kind, urls) {
    const old = this.urls[kind];
    this.urls[kind] = urls;
    setTimeout(() => old.forEach((url) => url && URL.revokeObjectURL(url)), 2000); // not while it may still be loading
  }

  showObject(buffer) {
    const frame = parse(buffer);
    if (!frame) return;
    const { header, pictures } = frame;
    this.content.hidden = header.row < 0;
    this.empty.hidden = header.row >= 0;
    this.header = header;
    if (header.row < 0) { this.title.textContent = ""; this.setLarge(false); return; }
    this.title.textContent = header.id;
    this.drawPlace();
    this.replace("object", pictures.map(address));
    if (this.portrait?.header.row !== header.row) { // until the pixels come
      this.portrait = null;
      this.chosen = Math.min(this.chosen, header.bands.length);
      this.frame.classList.add("waiting");
      this.frame.classList.remove("unreadable");
      this.setImage(this.urls.object[0]);
      this.caption.textContent = "";
      this.near.replaceChildren();
    }
    this.drawFacts();
    this.drawStretch();
    this.drawChanging();
    this.content.scrollTop = 0;
  }

  showPicture(buffer) {
    const frame = parse(buffer);
    if (!frame || (this.header && frame.header.row !== this.header.row)) return;
    this.portrait = frame;
    this.replace("picture", frame.pictures.map(address));
    const { width, height, missing, problem, bands } = frame.header;
    if (this.chosen > bands.length) this.chosen = 0;
    this.frame.classList.remove("waiting");
    this.frame.classList.toggle("unreadable", Boolean(problem));
    const lost = missing > 0 ? ` · ${missing < 0.001 ? "<0.1" : (100 * missing).toFixed(1)} % missing` : "";
    if (problem) this.caption.textContent = `The pixels cannot be read: ${problem}`;
    else this.caption.replaceChildren(element("span", "own", `${this.header?.id ?? ""} · `), `${width} × ${height} px${lost}`);
    this.drawBands();
    this.choose(this.chosen);
  }

  showNear(buffer) {
    const frame = parse(buffer);
    if (!frame || !this.header || frame.header.row !== this.header.row) return;
    const { rows, ids, score, codes } = frame.header;
    this.replace("near", frame.pictures.map(address));
    const strip = element("div", "strip");
    rows.forEach((row, k) => {
      const made = button("tile", "", `${ids[k]}, similarity ${score[k]?.toFixed(2)}`, () => this.send("cursor", { row }));
      made.dataset.row = row;
      made.dataset.label = VERDICTS[codes[k] ?? 0];
      if (this.urls.near[k]) made.append(element("img", "", "", { src: this.urls.near[k], alt: "", draggable: "false" }));
      made.append(element("span", "mark", SIGNS[codes[k] ?? 0]));
      strip.append(made);
    });
    const head = element("div", "row");
    const more = button("link", "More like this ", "List more in the gallery (s)", () => this.send("similar", { row: this.header.row }));
    more.append(element("kbd", "", "s"));
    head.append(element("h3", "", "Nearest neighbours"), more);
    this.near.replaceChildren(head, strip);
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  drawPlace() {
    const { position } = this.header;
    this.place.replaceChildren();
    if (!position) { this.place.append(element("span", "deg", "no position")); return; }
    this.place.append(element("span", "", `${position.ra_sexagesimal}  ${position.dec_sexagesimal}`),
      element("span", "deg", `${position.ra}°  ${position.dec}°`));
  }

  drawBands() {
    const { bands } = this.portrait.header;
    this.bands.hidden = bands.length === 0;
    this.bands.replaceChildren(...(bands.length ? ["colour", ...bands] : []).map((name, k) => {
      const made = button("band", "", k ? `Band ${name}` : "Colour", () => this.choose(k));
      const url = this.urls.picture[k];
      if (url) made.append(element("img", "", "", { src: url, alt: "", draggable: "false" }));
      else made.classList.add("unreadable");
      made.append(element("span", "", url ? name : `${name}: none`));
      return made;
    }));
  }

  choose(k) {
    this.chosen = k;
    [...this.bands.children].forEach((made, j) => made.classList.toggle("chosen", j === k));
    this.setImage(this.urls.picture[k]);
  }

  setImage(url) {
    if (url) this.image.src = url;
    else this.image.removeAttribute("src");
    this.frame.classList.toggle("blank", !url);
  }

  crisp() {
    const shown = Math.min(this.image.clientWidth, this.image.clientHeight);
    const own = Math.max(this.image.naturalWidth, this.image.naturalHeight);
    this.image.classList.toggle("crisp", !this.frame.classList.contains("waiting") && own > 0 && shown > CRISP * own);
  }

  setLarge(large) {
    this.large = large;
    if (large === this.frame.classList.contains("large")) return;
    this.frame.classList.toggle("large", large);
    if (large) { // the top layer: above whatever the drawer is in
      this.frame.setAttribute("popover", "manual");
      this.frame.showPopover();
    } else {
      this.frame.hidePopover();
      this.frame.removeAttribute("popover");
    }
    this.enlarge.textContent = large ? "✕" : "⤢";
    this.crisp();
  }

  drawChanging(changes = null) {
    if (changes) {
      if (!this.header || changes.row !== this.header.row) return;
      Object.assign(this.header, changes);
    }
    this.drawLabels();
    this.scores.replaceChildren(...this.header.scores.flatMap(({ name, value, share }) => {
      const shown = element("dd", "", value);
      if (share !== undefined && share !== null) {
        const bar = element("i", "bar");
        bar.style.setProperty("--share", share);
        shown.append(bar);
      }
      return [element("dt", "", name), shown];
    }));
    this.history.replaceChildren(...this.header.history.map(({ time, user, target, value }) => {
      const line = element("li");
      line.append(element("time", "", time), element("span", "", `${target}: ${value}`), element("i", "", user));
      return line;
    }));
    this.history.parentElement.hidden = this.header.history.length === 0;
    (this.header.near_rows ?? []).forEach((row, k) => {
      const tile = this.near.querySelector(`[data-row="${row}"]`);
      if (!tile) return;
      tile.dataset.label = VERDICTS[this.header.near_codes[k]];
      tile.querySelector(".mark").textContent = SIGNS[this.header.near_codes[k]];
    });
  }

  drawLabels() {
    const { code, target, row } = this.header;
    const made = Object.entries(LABEL_KEYS).map(([key, verdict], k) => {
      const one = button(`verdict ${verdict}${code === k + 1 ? " given" : ""}`, "", `‘${target}’: ${verdict} (${key})`, () => {
        this.header.code = k + 1;
        this.drawLabels();
        this.send("label", { row, value: verdict });
      });
      one.setAttribute("aria-pressed", code === k + 1);
      one.append(element("b", "", SIGNS[k + 1]), element("span", "", verdict), element("kbd", "", key));
      return one;
    });
    this.labels.replaceChildren(element("span", "target", `${target}?`), ...made);
  }

  drawFacts() {
    this.facts.replaceChildren(...this.header.catalogue.flatMap(({ name, value, unit }) => {
      const shown = element("dd", "", value);
      if (unit && value !== "–") shown.append(element("span", "unit", ` ${unit}`));
      return [element("dt", "", name, { title: name }), shown];
    }));
    this.facts.parentElement.hidden = this.header.catalogue.length === 0;
  }

  // -- stretch: sliders are logarithmic --------------------------------------------------------------------------------

  drawStretch() {
    const { stretch, limits } = this.header;
    for (const name of ["softness", "gain"]) {
      const [low, high] = limits[name];
      this.controls[name].input.value = Math.log(stretch[name] / low) / Math.log(high / low);
      this.controls[name].value.textContent = stretch[name].toPrecision(2);
    }
    this.controls.invert.input.checked = stretch.invert;
    this.controls.gallery.input.checked = stretch.gallery;
  }

  stretched() {
    const { stretch, limits } = this.header;
    for (const name of ["softness", "gain"]) {
      const [low, high] = limits[name];
      stretch[name] = low * (high / low) ** Number(this.controls[name].input.value);
      this.controls[name].value.textContent = stretch[name].toPrecision(2);
    }
    stretch.invert = this.controls.invert.input.checked;
    stretch.gallery = this.controls.gallery.input.checked;
    clearTimeout(this.later);
    this.later = setTimeout(() => this.send("stretch", stretch), 40); // a slider fires faster than pictures are drawn
  }

  resetStretch() {
    Object.assign(this.header.stretch, this.header.limits.default);
    this.drawStretch();
    this.send("stretch", this.header.stretch);
  }

  // -- keys and messages ------------------------------------------------------------------------------------------------

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!this.root.isConnected || this.root.getClientRects().length === 0) return;
    const field = event.composedPath().some((node) => node instanceof Element
      && (["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName) || node.isContentEditable || node.getAttribute("role") === "dialog"));
    if (field) return;
    if (event.key === "Escape") {
      if (this.large) this.setLarge(false);
      else this.send("close");
    } else if (event.key === "Enter" && this.header?.row >= 0 && event.composedPath()[0].tagName !== "BUTTON") {
      this.setLarge(!this.large);
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  message(data) { if (data.type === "changed" && this.header?.row >= 0) this.drawChanging(data); }

  theme(dark) { this.root.dataset.theme = dark ? "dark" : "light"; }

  destroy() { Object.values(this.urls).flat().forEach((url) => url && URL.revokeObjectURL(url)); }
}

export function render({ model }) {
  const inspector = new Inspector(model);
  const onKey = (event) => inspector.key(event);
  document.addEventListener("keydown", onKey, true);
  const frames = { frame: "showObject", picture: "showPicture", near: "showNear" };
  for (const [name, show] of Object.entries(frames)) model.on(name, () => inspector[show](model[name]));
  model.on("dark", () => inspector.theme(model.dark));
  model.on("msg:custom", (data) => inspector.message(data.data ?? data));
  model.on("remove", () => { document.removeEventListener("keydown", onKey, true); inspector.destroy(); });
  inspector.theme(model.dark);
  for (const [name, show] of Object.entries(frames)) if (model[name]?.byteLength) inspector[show](model[name]);
  return inspector.root;
}
