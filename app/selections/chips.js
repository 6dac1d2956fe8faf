// Kept selections in the rail: the field that keeps, a chip each, its menu. One menu is open at a time.

const SETTLED = 1600; // ms after which what the server changed while the page was built is asked for
const FEW = 8; // chips above which the list scrolls

class Chips {
  constructor(model) {
    this.model = model;
    this.header = { items: [] };
    this.open = "";
    this.doing = ""; // "rename" or "colour" in the open menu
    this.root = element("div", "kept");
    this.form = element("form", "keep");
    this.field = element("input", "", "", { type: "text", "aria-label": "Keep selection as", maxlength: 100, spellcheck: "false" });
    this.keepButton = element("button", "small", "Keep", { type: "submit" });
    this.form.append(this.field, this.keepButton);
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.keep(); });
    this.said = element("div", "said", "", { role: "status" });
    this.list = element("div", "list", "", { role: "list", "aria-label": "Kept selections" });
    this.undo = element("div", "undo");
    this.root.append(this.form, this.said, this.undo, this.list);
    this.outside = (event) => { if (this.open && !event.composedPath().includes(this.root)) this.shut(); };
    window.addEventListener("pointerdown", this.outside, true);
    this.root.addEventListener("keydown", (event) => this.key(event));
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  key(event) {
    if (event.key !== "Escape" || !this.open) return;
    const { open } = this;
    this.shut();
    this.list.querySelector(`[data-name="${CSS.escape(open)}"] .more`)?.focus();
    event.preventDefault();
    event.stopPropagation();
  }

  keep(overwrite = false) {
    const name = this.field.value.trim();
    if (!name || this.header.selected === null) return;
    this.keeping = name;
    this.send("keep", { name, overwrite });
    this.field.blur();
  }

  // -- what is shown ----------------------------------------------------------------------------------------------------

  show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    const shown = this.header = frame.header, nothing = shown.selected === null;
    this.field.disabled = this.keepButton.disabled = nothing;
    this.field.placeholder = nothing ? "Nothing to keep yet" : "Keep as …";
    this.showSaid(shown);
    this.undo.replaceChildren(...(shown.undo ? [element("span", "", shown.undo), button("link", "Undo", "Bring it back", () => this.send("undo")),
      button("shut", "×", "Dismiss", () => this.send("forget"))] : []));
    const typing = this.list.querySelector("input");
    if (typing && this.list.getRootNode().activeElement === typing && shown.items.some((item) => item.name === this.open)) return; // not under the fingers
    this.draw();
  }

  showSaid({ said: [kind, text] }) {
    this.said.className = `said ${kind}`;
    if (kind === "asks") {
      this.said.replaceChildren(element("span", "", `There is ‘${text}’ already.`), button("link", "Replace it", `Replace ‘${text}’`, () => {
        this.field.value = text;
        this.keep(true);
      }));
      return;
    }
    this.said.textContent = text;
    if (!this.keeping || kind || !this.header.items.some((item) => item.name === this.keeping)) return;
    this.field.value = this.keeping = "";
  }

  draw() {
    const { items, current } = this.header;
    this.list.classList.toggle("many", items.length > FEW);
    this.list.replaceChildren(...items.map((item) => this.chip(item, item.name === current)));
    if (!items.length) this.list.append(element("p", "none", "Selections kept under a name appear here."));
  }

  chip(item, current) {
    const line = element("div", item.problem ? "chip damaged" : current ? "chip current" : "chip", "", { role: "listitem", "data-name": item.name });
    line.style.setProperty("--own", item.colour || "var(--muted)");
    const dot = button("dot", "", item.shown ? "Drawn on the map: hide" : "Draw on the map", () => this.send("show", { name: item.name, shown: !item.shown }));
    dot.setAttribute("aria-pressed", String(item.shown));
    dot.disabled = Boolean(item.problem);
    const name = button("name", item.name, item.title, () => this.send("recall", { name: item.name }));
    name.disabled = Boolean(item.problem);
    name.setAttribute("aria-label", item.name);
    const count = element("span", "count", item.problem ? "damaged" : item.count.toLocaleString("en-US"), { title: item.title });
    const more = button("more", "⋯", `More on ‘${item.name}’`, () => { this.open = this.open === item.name ? "" : item.name; this.doing = ""; this.draw(); });
    more.setAttribute("aria-expanded", String(this.open === item.name));
    line.append(dot, name, count, more);
    if (this.open === item.name) line.append(this.menu(item));
    return line;
  }

  shut() { this.open = this.doing = ""; this.draw(); }

  menu(item) {
    const made = element("div", "menu", "", { role: "menu" }), { name } = item, some = this.header.selected !== null;
    const entry = (text, title, action, { off = false, stays = false } = {}) => {
      const one = button("entry", text, title, () => { if (!stays) this.shut(); action(); });
      one.setAttribute("role", "menuitem");
      one.setAttribute("aria-label", text);
      one.disabled = off;
      made.append(one);
    };
    if (item.problem) { entry("Delete", item.problem, () => this.send("delete", { name })); return made; }
    if (this.doing === "rename") return this.renaming(made, name);
    if (this.doing === "colour") return this.colouring(made, item);
    const off = !some;
    entry("Add to the selection", "The selection and this", () => this.send("join", { name, mode: "add" }), { off });
    entry("Take out of the selection", "The selection without this", () => this.send("join", { name, mode: "subtract" }), { off });
    entry("Keep what is in both", "Objects of the selection that are in this", () => this.send("join", { name, mode: "intersect" }), { off });
    entry("Replace by the selection", "Keep what is selected now under this name", () => this.send("keep", { name, overwrite: true }), { off });
    made.append(element("hr"));
    entry("Rename …", "Give it another name", () => { this.doing = "rename"; this.draw(); this.list.querySelector("input")?.select(); }, { stays: true });
    entry("Colour …", "Draw it in another colour", () => { this.doing = "colour"; this.draw(); }, { stays: true });
    entry("Export …", "Write a catalogue of it", () => this.send("export", { name }));
    entry("Delete", "Delete it; it can be brought back", () => this.send("delete", { name }));
    return made;
  }

  renaming(made, name) {
    const form = element("form", "rename"), field = element("input", "", "", { type: "text", value: name, maxlength: 100, "aria-label": "New name", spellcheck: "false" });
    form.append(field, element("button", "small", "Rename", { type: "submit" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = field.value.trim();
      this.shut();
      if (text && text !== name) this.send("rename", { name, text });
    });
    made.append(form);
    return made;
  }

  colouring(made, item) {
    const row = element("div", "colours");
    for (const colour of this.header.colours) {
      const one = button("swatch", "", `Colour ${colour}`, () => { this.shut(); this.send("recolour", { name: item.name, text: colour }); });
      one.style.setProperty("--own", colour);
      one.setAttribute("aria-pressed", String(colour === item.colour));
      row.append(one);
    }
    const own = element("input", "own", "", { type: "color", value: item.colour || "#888888", "aria-label": "Another colour", title: "Another colour" });
    own.addEventListener("change", () => { this.shut(); this.send("recolour", { name: item.name, text: own.value }); });
    row.append(own);
    made.append(row);
    return made;
  }

  destroy() { window.removeEventListener("pointerdown", this.outside, true); }
}

export function render({ model }) {
  const chips = new Chips(model);
  model.on("frame", () => chips.show(model.frame));
  model.on("remove", () => chips.destroy());
  if (model.frame && model.frame.byteLength) chips.show(model.frame);
  setTimeout(() => model.send_msg({ type: "ready" }), SETTLED);
  return chips.root;
}
