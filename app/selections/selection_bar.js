// The bar of the selection: counts, how the next outline joins, and what else can be done. Modifier keys and Ctrl+Z are heard here.

const SETTLED = 1600; // ms after which what the server changed while the page was built is asked for
const SQUARES = "M2.5 2.5h7.5v7.5H2.5z M6 6h7.5v7.5H6z";
const MODES = {
  replace: { title: "New selection", full: "M3 3h10v10H3z", faint: "" },
  add: { title: "Add to the selection (hold Ctrl while drawing)", full: "M2.5 2.5H10V6h3.5v7.5H6V10H2.5z", faint: "" },
  subtract: { title: "Take out of the selection (hold Alt while drawing)", full: "M2.5 2.5H10V6H6v4H2.5z", faint: SQUARES },
  intersect: { title: "Keep what lies in both (hold Ctrl and Alt while drawing)", full: "M6 6h4v4H6z", faint: SQUARES },
};
const ICONS = {
  invert: { title: "Invert: select all others", line: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z", full: "M8 2.5a5.5 5.5 0 0 0 0 11z" },
  near: { title: "Grow by neighbours, shrink to the core", line: "M8 5.6a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 0 0 0-4.8zM8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2M3.4 3.4l1.4 1.4M11.2 11.2l1.4 1.4M3.4 12.6l1.4-1.4M11.2 4.8l1.4-1.4" },
  edit: { title: "Change the outline (E)", line: "M3.5 4.5 11 3l2.5 6.5-6 4-4.5-3z", full: "M2.3 3.3h2.4v2.4H2.3zM9.8 1.8h2.4v2.4H9.8zM12.3 8.3h2.4v2.4h-2.4zM6.3 12.3h2.4v2.4H6.3zM1.8 9.3h2.4v2.4H1.8z" },
  back: { title: "Back to the selection before (Ctrl Z)", line: "M5.5 3 2.5 6l3 3M2.5 6h7a3.75 3.75 0 0 1 0 7.5H6" },
  forth: { title: "Forward again (Ctrl Shift Z)", line: "M10.5 3l3 3-3 3M13.5 6h-7a3.75 3.75 0 0 0 0 7.5H10" },
};
const CLEAR = "M4 4l8 8M12 4l-8 8";

function icon({ line = "", full = "", faint = "" }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  for (const [d, name] of [[faint, "faint"], [line, "line"], [full, "full"]]) {
    if (!d) continue;
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

// The mode that keys ask for, empty for none.
const asked = (event) => {
  const control = event.ctrlKey || event.metaKey;
  return control && event.altKey ? "intersect" : control ? "add" : event.altKey ? "subtract" : "";
};

class SelectionBar {
  constructor(model) {
    this.model = model;
    this.header = null;
    this.held = "";
    this.sent = "";
    this.root = element("div", "selection");
    this.bar = element("div", "bar");
    this.bar.setAttribute("role", "toolbar");
    this.bar.setAttribute("aria-label", "Selection");
    this.count = element("button", "count", "", { type: "button" });
    this.count.addEventListener("click", () => { this.send("clear"); this.count.blur(); });
    this.modes = element("div", "modes", "", { role: "radiogroup", "aria-label": "What the next outline or query does" });
    this.buttons = {};
    for (const [name, look] of Object.entries(MODES)) {
      const made = this.button(look, () => this.send("mode", { mode: name }));
      made.setAttribute("role", "radio");
      made.dataset.mode = name;
      this.modes.append(made);
      this.buttons[name] = made;
    }
    this.acts = element("div", "acts");
    for (const name of ["edit", "invert", "near", "back", "forth"]) {
      this.buttons[name] = this.button(ICONS[name], () => (name === "near" ? this.toggle() : this.send(name)));
      this.buttons[name].dataset.act = name;
      this.acts.append(this.buttons[name]);
    }
    this.elsewhere = element("div", "elsewhere");
    this.panel = element("form", "near");
    this.panel.hidden = true;
    this.panel.addEventListener("submit", (event) => event.preventDefault());
    this.bar.append(this.count, this.modes, this.acts);
    this.root.append(this.bar, this.elsewhere, this.panel);
    this.listen();
  }

  button(look, action) {
    const made = button("tool", "", look.title, action);
    made.append(icon(look));
    return made;
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  // -- what is shown ----------------------------------------------------------------------------------------------------

  show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    const shown = this.header = frame.header, some = shown.selected !== null;
    this.root.hidden = !some && !shown.past && !shown.future;
    this.root.classList.toggle("second", !shown.first);
    this.count.hidden = false;
    this.count.disabled = !some;
    this.count.title = some ? `${shown.how}. Clear the selection (Esc)` : "";
    this.count.replaceChildren(element("span", "", some ? shown.text : "Nothing selected"));
    if (some) this.count.append(icon({ line: CLEAR }));
    this.modes.hidden = !some;
    for (const name of ["edit", "invert", "near"]) this.buttons[name].hidden = !some;
    this.buttons.edit.disabled = !shown.editable;
    this.buttons.edit.setAttribute("aria-pressed", String(shown.editing));
    this.buttons.back.disabled = !shown.past;
    this.buttons.forth.hidden = !shown.future;
    if (!some) this.panel.hidden = true;
    this.showMode();
    this.showElsewhere();
    this.showPanel();
  }

  showMode() {
    const mode = this.held || this.header?.mode;
    for (const name of Object.keys(MODES)) {
      this.buttons[name].setAttribute("aria-checked", String(name === mode));
      this.buttons[name].classList.toggle("held", name === this.held);
    }
  }

  showElsewhere() {
    const { elsewhere, layouts } = this.header;
    this.elsewhere.hidden = elsewhere.length === 0;
    if (this.elsewhere.hidden) return;
    const parts = ["Drawn on "];
    elsewhere.forEach((name, k) => {
      if (k) parts.push(", ");
      if (!layouts.includes(name)) { parts.push(`‘${name}’, which is gone`); return; }
      parts.push(button("link", name, `Show ${name}`, () => this.send("layout", { layout: name })));
    });
    this.elsewhere.replaceChildren(...parts);
  }

  // -- neighbours -------------------------------------------------------------------------------------------------------

  toggle() {
    this.panel.hidden = !this.panel.hidden;
    this.buttons.near.setAttribute("aria-pressed", String(!this.panel.hidden));
    if (!this.panel.hidden) this.panel.querySelector("input")?.focus();
  }

  showPanel() {
    const shown = this.header;
    if (this.made === shown.neighbours) return; // its numbers are the person's
    this.made = shown.neighbours;
    if (!shown.neighbours) {
      this.panel.replaceChildren(element("p", "", "Neighbours are those of a representation; there is none yet."));
      return;
    }
    const number = (name, value, most) => element("input", "", "", { type: "number", min: 1, max: most, value, "aria-label": name });
    const by = number("Neighbours to add", shown.grow, shown.most), of = number("Neighbours to judge by", shown.judged, shown.most);
    const share = number("Percent that must be selected", shown.percent, 100);
    const act = (text, title, action) => button("act", text, title, action);
    const grow = element("div", "row"), shrink = element("div", "row");
    grow.append(element("span", "", "Add the"), by, element("span", "", "nearest of each"), act("Grow", "Add the nearest neighbours of every member",
      () => this.send("grow", { k: by.valueAsNumber })));
    shrink.append(element("span", "", "Keep if"), share, element("span", "", "% of"), of, element("span", "", "nearest are in"),
      act("Shrink", "Keep the members most of whose neighbours are members", () => this.send("shrink", { k: of.valueAsNumber, percent: share.valueAsNumber })));
    this.panel.replaceChildren(element("p", "", `By likeness in ‘${shown.neighbours}’, wherever the map has put them.`), grow, shrink);
  }

  // -- keys -------------------------------------------------------------------------------------------------------------

  listen() {
    this.heard = [[window, "pointerdown", (event) => this.press(event)], [document, "keydown", (event) => this.key(event)],
      [document, "keyup", (event) => this.hold(event)], [window, "blur", () => this.hold(null)], [window, "pointerdown", (event) => this.leave(event)]];
    for (const [target, name, call] of this.heard) target.addEventListener(name, call, true);
  }

  // Which keys are down when an outline is begun decides what it does; it is known before the outline is.
  press(event) {
    const over = event.composedPath().some((node) => node instanceof Element && node.classList.contains("bk-Canvas"));
    const mode = over && this.header?.selected !== null ? asked(event) : "";
    if (!over || mode === this.sent) return;
    this.sent = mode;
    this.send("held", { mode });
  }

  hold(event) {
    const held = event && this.header?.selected !== null ? asked(event) : "";
    if (held === this.held) return;
    this.held = held;
    this.showMode();
  }

  leave(event) {
    if (this.panel.hidden || event.composedPath().includes(this.panel) || event.composedPath().includes(this.buttons.near)) return;
    this.toggle();
  }

  key(event) {
    this.hold(event);
    const field = event.composedPath()[0];
    const types = field instanceof HTMLElement && (field.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(field.tagName));
    if (event.key === "Escape" && !this.panel.hidden) { this.toggle(); event.preventDefault(); event.stopImmediatePropagation(); return; }
    if (types || !this.header?.first || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase(), forth = key === "y" || (key === "z" && event.shiftKey);
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.send(forth ? "forth" : "back");
  }

  destroy() { for (const [target, name, call] of this.heard) target.removeEventListener(name, call, true); }
}

export function render({ model }) {
  const bar = new SelectionBar(model);
  bar.root.hidden = true;
  model.on("frame", () => bar.show(model.frame));
  model.on("remove", () => bar.destroy());
  if (model.frame && model.frame.byteLength) bar.show(model.frame);
  setTimeout(() => model.send_msg({ type: "ready" }), SETTLED);
  return bar.root;
}
