// The search by likeness in the browser: chips of what is asked for, options, files that are dropped, keys + and −, and the two
// signs on the object under the pointer while the tab Similar is open. What is asked for is Python's (app/hunt/likeness.py).

const ICON = {
  image: "M2 3h12v10H2zM2 11l3.5-4 3 3 2-2L14 11M10.5 6.2h.01",
  place: "M8 1v4M8 11v4M1 8h4M11 8h4M8 8h.01",
  options: "M2 4h7M12 4h2M2 8h2M7 8h7M2 12h8M13 12h1M9 2.5v3M4 6.5v3M10 10.5v3",
  select: "M3 3h2M7 3h2M11 3h2v2M13 7v2M13 11v2h-2M9 13H7M5 13H3v-2M3 9V7M3 5V3",
  clear: "M4 4l8 8M12 4l-8 8",
};
const EXPLAINED = {
  selected: "search among the selected objects only",
  unlabelled: "leave out what has a label for the target",
  apart: "of objects closer together on the sky only the one most alike",
  turned: "see what is asked for in its eight positions (flips and quarter turns): slower, encodes anew",
};
const WAYS = { components: "components (as published)", vectors: "whole vectors" };

function icon(name, title, action) {
  const made = button("icon", "", title, action);
  made.innerHTML = `<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="${ICON[name]}"/></svg>`;
  return made;
}

// Whether a key is being typed, or belongs to a dialog or a list.
function typed(event) {
  return event.composedPath().some((node) => node instanceof Element && (node.isContentEditable
    || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName) || node.getAttribute("role") === "dialog"));
}

const galleryOf = (event) => event.composedPath().find((node) => node instanceof Element && node.classList.contains("gallery"));

class Likeness {
  constructor(model) {
    this.model = model;
    this.header = null;
    this.urls = [];
    this.files = 0;
    this.open = ""; // "place" or "options"
    this.build();
    this.hands = new Hands((type, row) => this.send(type, { row }));
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  build() {
    this.root = element("section", "likeness", "", { "aria-label": "What to be like" });
    this.chips = element("div", "chips", "", { role: "list", "aria-label": "What is asked for" });
    this.file = element("input", "", "", { type: "file", accept: ".fits,.fit,.fts,.gz,image/*", hidden: "" });
    this.file.addEventListener("change", () => { this.take(this.file.files); this.file.value = ""; });
    this.buttons = {
      image: icon("image", "Be like a picture or FITS file (or drop one on the gallery)", () => this.file.click()),
      place: icon("place", "Be like the object nearest to a place", () => this.unfold("place")),
      options: icon("options", "What may be found, and how", () => this.unfold("options")),
      select: icon("select", "Select what is listed: it joins the selection", () => this.send("select")),
      clear: icon("clear", "Forget all that is asked for", () => this.send("clear")),
    };
    const row = element("div", "row");
    row.append(this.chips, ...Object.values(this.buttons), this.file);
    this.place = this.buildPlace();
    this.options = element("div", "options");
    this.said = element("p", "said", "", { role: "status" });
    this.hint = element("div", "drop", "Drop it: what looks like it?");
    this.hint.hidden = this.place.hidden = this.options.hidden = this.said.hidden = true;
    this.root.append(row, this.place, this.options, this.said, this.hint);
  }

  buildPlace() {
    const form = element("form", "place");
    this.where = element("input", "", "", { type: "text", placeholder: "RA Dec, such as 150.11 2.20", "aria-label": "RA and Dec", maxlength: "200" });
    const go = element("button", "go", "Nearest", { type: "submit", title: "The object nearest to this place is one to be like" });
    form.append(this.where, go);
    form.addEventListener("submit", (event) => { event.preventDefault(); this.send("near", { text: this.where.value }); });
    return form;
  }

  unfold(name) {
    this.open = this.open === name ? "" : name;
    for (const part of ["place", "options"]) {
      this[part].hidden = this.open !== part;
      this.buttons[part].setAttribute("aria-expanded", this.open === part);
    }
    if (this.open === "place") this.where.focus();
  }

  // -- what came ------------------------------------------------------------------------------------------------------

  show(buffer) {
    const frame = parse(buffer);
    if (!frame) return;
    this.header = frame.header;
    const old = this.urls;
    this.urls = frame.pictures.map((picture) => (picture.length ? URL.createObjectURL(new Blob([picture], { type: "image/jpeg" })) : ""));
    setTimeout(() => old.forEach((url) => url && URL.revokeObjectURL(url)), 2000);
    this.drawChips();
    this.drawOptions();
    this.say(this.header.said);
    const { chips, pixels } = this.header;
    this.buttons.image.disabled = !pixels;
    this.buttons.select.disabled = !chips.some(({ kind }) => kind !== "unlike");
    this.buttons.clear.disabled = chips.length === 0;
    this.root.dataset.chips = chips.length;
    this.root.dataset.ready = "1";
  }

  drawChips() {
    let number = 0;
    const made = this.header.chips.map((chip, k) => this.chip(chip, this.urls[k], chip.kind === "example" ? number++ : -1));
    if (!made.length) made.push(element("span", "none", "Press s or + on an object, or drop a picture here"));
    this.chips.replaceChildren(...made);
  }

  chip({ row, kind, name, notes }, url, number) {
    const away = kind === "unlike";
    const words = `${away ? "unlike" : "like"} ${name}${notes?.length ? ` (${notes.join("; ")})` : ""}`;
    const chip = element("span", `chip ${kind}`, "", { role: "listitem", title: words });
    chip.dataset.row = row;
    const face = button("face", "", row >= 0 ? `${words}: look at it` : words, () => row >= 0 && this.send("cursor", { row }));
    if (url) face.append(element("img", "", "", { src: url, alt: "", draggable: "false" }));
    face.append(element("b", "", away ? "−" : "+"));
    const drop = button("away", "×", `Not ${words}`, () => (number >= 0 ? this.send("forget", { number }) : this.send("drop", { row })));
    chip.append(face, drop);
    chip.addEventListener("keydown", (event) => {
      if (event.key !== "Delete" && event.key !== "Backspace") return;
      event.preventDefault();
      drop.click();
    });
    return chip;
  }

  drawOptions() {
    const { options, kinds, counts, target, selection, filtered } = this.header;
    this.buttons.options.classList.toggle("on", filtered || options.turned);
    if (this.options.contains(this.root.getRootNode().activeElement) && this.options.childElementCount) {
      this.follow(options); // a field keeps its focus
      return;
    }
    const check = (name, text, disabled = false) => {
      const label = element("label", disabled ? "check off" : "check", "", { title: EXPLAINED[name] });
      const box = element("input", "", "", { type: "checkbox", "data-name": name });
      box.checked = options[name];
      box.disabled = disabled;
      box.addEventListener("change", () => this.send("option", { name, value: box.checked }));
      label.append(box, element("span", "", text));
      return label;
    };
    const apart = check("apart", "apart on the sky by");
    const arcsec = element("input", "arcsec", "", { type: "number", min: "0.1", max: "3600", step: "0.1", "aria-label": "arcsec", "data-name": "separation" });
    arcsec.value = options.separation || 5;
    arcsec.addEventListener("change", () => this.send("option", { name: "separation", value: Number(arcsec.value) }));
    const apartRow = element("span", "pair");
    apartRow.append(apart, arcsec, element("span", "unit", "″"));
    const condition = element("input", "condition", "", { type: "text", placeholder: "only where, such as snr > 10", "aria-label": "Condition", maxlength: "500", "data-name": "condition" });
    condition.value = options.condition;
    condition.addEventListener("change", () => this.send("option", { name: "condition", value: condition.value }));
    const many = selection === null ? "the selection (none)" : `the ${selection.toLocaleString("en-US")} selected`;
    this.options.replaceChildren(condition,
      check("selected", `among ${many}`, selection === null && !options.selected), check("unlabelled", `without label ‘${target}’`),
      apartRow, check("turned", "turned eight ways", !this.header.pixels),
      this.choice("features", "by", kinds.map((kind) => [kind, WAYS[kind] ?? kind]), options.features),
      this.choice("top", "list", counts.map((size) => [size, size.toLocaleString("en-US")]), options.top));
  }

  choice(name, text, choices, value) {
    const label = element("label", "choice", text);
    const list = element("select", "", "", { "aria-label": name, "data-name": name });
    list.append(...choices.map(([key, words]) => new Option(words, key)));
    list.value = value;
    list.addEventListener("change", () => this.send("option", { name, value: typeof value === "number" ? Number(list.value) : list.value }));
    label.append(list);
    return label;
  }

  follow(options) {
    for (const field of this.options.querySelectorAll("[data-name]")) {
      if (field.type === "checkbox") field.checked = options[field.dataset.name];
    }
  }

  say({ tone, text }) {
    this.said.textContent = text;
    this.said.dataset.kind = tone;
    this.said.hidden = !text;
  }

  // -- files ----------------------------------------------------------------------------------------------------------

  async take(files) {
    const [file] = files;
    if (!file) return;
    const { largest } = this.header ?? { largest: 0 };
    if (file.size > largest) {
      this.say({ tone: "error", text: `${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MiB; a page may send ${largest >> 20}. Cut the object out of it first.` });
      return;
    }
    this.say({ tone: "busy", text: `Reading ${file.name}…` });
    const bytes = new Uint8Array(await file.arrayBuffer());
    const header = new TextEncoder().encode(JSON.stringify({ name: file.name, number: (this.files += 1), sizes: [bytes.length] }));
    const message = new Uint8Array(4 + header.length + bytes.length);
    new DataView(message.buffer).setUint32(0, header.length, true);
    message.set(header, 4);
    message.set(bytes, 4 + header.length);
    this.model.upload = message.buffer;
  }

  drag(event) {
    const gallery = galleryOf(event);
    const brings = gallery && this.header?.pixels && event.dataTransfer?.types.includes("Files");
    if (gallery !== undefined || !brings) this.hint.hidden = !brings;
    if (!brings) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    const box = gallery.getBoundingClientRect();
    Object.assign(this.hint.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
  }

  drop(event) {
    this.hint.hidden = true;
    if (!galleryOf(event) || !event.dataTransfer?.files.length || !this.header?.pixels) return;
    event.preventDefault();
    this.take(event.dataTransfer.files);
  }

  // -- keys and the pointer -------------------------------------------------------------------------------------------

  key(event) {
    const type = { "+": "more", "=": "more", "-": "less", "−": "less" }[event.key];
    if (!type || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.repeat || typed(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.send(type);
  }

  // Of moves, not of entering: from one tile to another inside the gallery's own tree, entering is not told outside of it.
  over(event) {
    const shown = this.root.isConnected && this.root.getClientRects().length > 0;
    const tile = shown && event.composedPath().find((node) => node instanceof Element && node.classList.contains("tile") && node.dataset.row && galleryOf(event));
    if (tile) this.hands.hold(tile);
    else if (!event.composedPath().includes(this.hands.root)) this.hands.let();
  }

  theme(dark) { this.root.dataset.theme = dark ? "dark" : "light"; }

  destroy() { this.urls.forEach((url) => url && URL.revokeObjectURL(url)); this.hands.let(); }
}

// The signs + and − on the tile under the pointer. They lie in the tile, in a tree of their own, and go with the pointer.
class Hands {
  constructor(act) {
    this.root = element("span");
    this.root.style.cssText = "position:absolute;right:3px;top:3px;z-index:3;display:flex";
    const inner = this.root.attachShadow({ mode: "open" });
    const style = element("style", "", `
      button { width: 24px; height: 24px; margin-left: 3px; border: 0; border-radius: 12px; font: 700 16px/1 system-ui, sans-serif; cursor: pointer;
        color: #071018; box-shadow: 0 0 0 1.5px #05070a; opacity: .92; }
      .hand.more { background: #3fcf8e } .hand.less { background: #ff6b6b } button:hover { opacity: 1; filter: brightness(1.12) }
      button:focus-visible { outline: 2px solid #fff }`);
    const make = (type, sign, title) => {
      const made = button(`hand ${type}`, sign, title, (event) => { event.stopPropagation(); act(type, Number(this.root.parentElement?.dataset.row)); });
      made.addEventListener("dblclick", (event) => event.stopPropagation());
      made.tabIndex = -1; // the keys + and − do the same
      return made;
    };
    inner.append(style, make("more", "+", "Be like this one, too (+)"), make("less", "−", "Be unlike this one (−)"));
  }

  hold(tile) { if (this.root.parentElement !== tile) tile.append(this.root); }

  let() { this.root.remove(); }
}

export function render({ model }) {
  const likeness = new Likeness(model);
  const heard = { keydown: (e) => likeness.key(e), dragover: (e) => likeness.drag(e), drop: (e) => likeness.drop(e), pointermove: (e) => likeness.over(e) };
  for (const [kind, hear] of Object.entries(heard)) window.addEventListener(kind, hear, true);
  model.on("frame", () => likeness.show(model.frame));
  model.on("dark", () => likeness.theme(model.dark));
  model.on("msg:custom", (data) => { const message = data.data ?? data; if (message.type === "said") likeness.say(message); });
  model.on("remove", () => {
    for (const [kind, hear] of Object.entries(heard)) window.removeEventListener(kind, hear, true);
    likeness.destroy();
  });
  likeness.theme(model.dark);
  if (model.frame?.byteLength) likeness.show(model.frame);
  return likeness.root;
}
