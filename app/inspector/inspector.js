// The inspector in the browser: draws its frames (object, picture, views, numbers, neighbours; see app/frames.py) as they come.

const address = (picture) => (picture.length ? URL.createObjectURL(new Blob([picture])) : "");

// Parameters of the component, and what shows each.
const LATER = [["picture", "showPicture"], ["views", "showViews"], ["numbers", "showNumbers"], ["near", "showNear"]];
const FRAMES = [["frame", "showObject"], ...LATER];

class Inspector {
  constructor(model) {
    this.model = model;
    this.header = null;
    this.shown = null; // row of which something is shown
    this.urls = { near: [] };
    this.views = new Views({ send: (type, rest = {}) => this.send(type, { row: this.header?.row, ...rest }) });
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
    this.labels = element("div", "labels", "", { role: "group", "aria-label": "Label this object" });
    this.scores = element("dl", "facts scores");
    this.comments = element("div", "comments");
    this.near = element("section", "near");
    this.facts = element("dl", "facts");
    this.history = element("ol", "history");
    this.content.append(this.place, this.views.root, this.comments, this.scores, this.near,
      this.section("Catalogue", this.facts), this.section("History", this.history));
    this.root.append(head, this.empty, this.content, this.labels);
    this.content.hidden = this.labels.hidden = true;
  }

  section(title, body) {
    const made = element("section", "part");
    made.append(element("h3", "", title), body);
    return made;
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
    this.content.hidden = this.labels.hidden = header.row < 0;
    this.empty.hidden = header.row >= 0;
    this.header = header;
    if (header.row < 0) { this.title.textContent = ""; this.shown = null; this.views.empty(); return; }
    this.title.textContent = header.id;
    this.drawPlace();
    if (this.shown !== header.row) { // until the pixels come
      this.shown = header.row;
      this.views.start(header, pictures[0]);
      this.near.replaceChildren();
      this.content.scrollTop = 0;
      // Panel keeps no order between two messages: what came before its object is taken now
      for (const [name, show] of LATER) if (this.model[name]?.byteLength) this[show](this.model[name]);
    }
    this.drawFacts();
    this.drawChanging();
  }

  // Pictures, views and numbers belong to their object; what is still on its way of an earlier one is dropped.
  ofThis(buffer) {
    const frame = parse(buffer);
    return frame && this.header && frame.header.row === this.header.row ? frame : null;
  }

  showPicture(buffer) { const frame = this.ofThis(buffer); if (frame) this.views.showPicture(frame); }

  showViews(buffer) { const frame = this.ofThis(buffer); if (frame) this.views.showViews(frame); }

  showNumbers(buffer) { const frame = this.ofThis(buffer); if (frame) this.views.showNumbers(frame); }

  showNear(buffer) {
    const frame = this.ofThis(buffer);
    if (!frame) return;
    const { rows, ids, score, codes } = frame.header;
    this.replace("near", frame.pictures.map(address));
    const strip = element("div", "strip");
    rows.forEach((row, k) => {
      const made = button("tile", "", `${ids[k]}, similarity ${score[k]?.toFixed(2)}`, () => this.send("cursor", { row }));
      made.dataset.row = row;
      made.dataset.label = labelName(codes[k]);
      if (this.urls.near[k]) made.append(element("img", "", "", { src: this.urls.near[k], alt: "", draggable: "false" }));
      made.append(element("span", "mark", labelSign(codes[k], this.header.choices)));
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

  drawChanging(changes = null) {
    if (changes) {
      if (!this.header || changes.row !== this.header.row) return;
      Object.assign(this.header, changes);
    }
    this.drawLabels();
    this.comments.replaceChildren(...this.header.comments.map(({ user, text }) => {
      const line = element("p", "", `“${text}” `);
      line.append(element("i", "", user));
      return line;
    }));
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
      tile.dataset.label = labelName(this.header.near_codes[k]);
      tile.querySelector(".mark").textContent = labelSign(this.header.near_codes[k], this.header.choices);
    });
  }

  drawLabels() {
    const { code, target, row, choices } = this.header;
    const made = choices.map((choice) => {
      const given = code === choice.code, known = VERDICTS.includes(choice.value);
      const one = button(`verdict ${known ? choice.value : "choice"}${given ? " given" : ""}`, "", `‘${target}’: ${choice.value} (${choice.key})`, () => {
        this.header.code = choice.code;
        this.drawLabels();
        this.send("label", { row, value: choice.value });
      });
      one.setAttribute("aria-pressed", given);
      one.style.setProperty("--mark", choice.colour);
      if (known) one.append(element("b", "", choice.sign));
      if (choice.sign !== choice.value) one.append(element("span", "", choice.value));
      one.append(element("kbd", "", choice.key));
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

  // -- keys and messages ------------------------------------------------------------------------------------------------

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!this.root.isConnected || this.root.getClientRects().length === 0) return;
    const field = event.composedPath().some((node) => node instanceof Element
      && (["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName) || node.isContentEditable || node.getAttribute("role") === "dialog"));
    if (field) return;
    if (event.key === "Escape") {
      if (this.views.large) this.views.setLarge(false);
      else this.send("close");
    } else if (!(this.header?.row >= 0)) return;
    else if (event.key === "Enter" && event.composedPath()[0].tagName !== "BUTTON") this.views.setLarge(!this.views.large);
    else if (!this.views.key(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  message(data) { if (data.type === "changed" && this.header?.row >= 0) this.drawChanging(data); }

  theme(dark) { this.root.dataset.theme = dark ? "dark" : "light"; }

  destroy() { this.views.destroy(); Object.values(this.urls).flat().forEach((url) => url && URL.revokeObjectURL(url)); }
}

export function render({ model }) {
  const inspector = new Inspector(model);
  const onKey = (event) => inspector.key(event);
  document.addEventListener("keydown", onKey, true);
  for (const [name, show] of FRAMES) model.on(name, () => inspector[show](model[name]));
  model.on("dark", () => inspector.theme(model.dark));
  model.on("msg:custom", (data) => inspector.message(data.data ?? data));
  model.on("remove", () => { document.removeEventListener("keydown", onKey, true); inspector.destroy(); });
  inspector.theme(model.dark);
  if (model.frame?.byteLength) inspector.showObject(model.frame);
  return inspector.root;
}
