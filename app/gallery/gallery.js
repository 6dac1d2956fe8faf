// The gallery in the browser: draws frames (see app/frames.py), moves the cursor, shows a label before it is confirmed.
// Keys that move never label. While a page is on its way keys wait in a queue, so that none labels an object not yet seen.

const CODES = { yes: 1, no: 2, unsure: 3 };
const TITLES = { selection: "Selection", suggestions: "Suggestions", outliers: "Outliers", similar: "Similar", labelled: "Labelled" };
const SIZE_KEY = "skysieve.tile";
const PATIENCE = 4000; // ms until an unconfirmed label is pointed out

const number = (n) => n.toLocaleString("en-US");

// Whether a key belongs to something else: a field, an open menu, or a button that Enter or space would press.
function taken(event) {
  for (const node of event.composedPath()) {
    if (!(node instanceof Element)) continue;
    if (node.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName)) return true;
    if (["menu", "listbox", "combobox", "dialog", "slider", "textbox"].includes(node.getAttribute("role"))
        && !node.dataset.gallery) return true;
    if ((node.tagName === "BUTTON" || node.tagName === "A") && (event.key === "Enter" || event.key === " ")) return true;
  }
  return false;
}

class Gallery {
  constructor(model) {
    this.model = model;
    this.header = null;
    this.pictures = new Map(); // row → {bitmap (undefined: being decoded; null: none), ready}
    this.tiles = [];
    this.index = -1; // of the cursor on the page
    this.cursor = -1; // row under the cursor, on the page or not
    this.pending = new Map(); // token → {row, before, timer}
    this.token = 0;
    this.inspecting = false;
    this.turning = false;
    this.queue = [];
    this.asking = false;
    this.build();
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  // -- building -------------------------------------------------------------------------------------------------------

  build() {
    this.root = element("section", "gallery", "", { tabindex: "0", "aria-label": "Gallery" });
    this.tabs = element("nav", "tabs", "", { role: "tablist", "aria-label": "What the gallery shows" });
    this.tools = element("div", "tools");
    this.above = element("div", "above");
    this.above.append(this.model.get_child("above"));
    this.line = element("div", "line");
    this.strip = element("div", "strip", "", { role: "alert" });
    this.grid = element("div", "grid", "", { role: "listbox", "aria-label": "Objects", "data-gallery": "1" });
    this.empty = element("div", "empty");
    this.busy = element("div", "busy", "", { role: "status" });
    this.body = element("div", "body");
    this.body.append(this.grid, this.empty, this.busy);
    this.root.append(this.tabs, this.above, this.tools, this.line, this.strip, this.body, this.buildFooter());
    this.buildTools();
    this.strip.hidden = this.line.hidden = this.empty.hidden = this.busy.hidden = true;
    this.grid.addEventListener("click", (event) => this.clicked(event));
    this.grid.addEventListener("dblclick", (event) => this.clicked(event, true));
  }

  buildTools() {
    this.order = element("select", "order", "", { title: "Order of the objects", "aria-label": "Order of the objects" });
    this.order.addEventListener("change", () => { this.send("sort", { name: this.order.value }); this.order.blur(); });
    this.turn = button("icon turn", "↓", "Turn the order round", () => this.send("sort", { name: this.header.sort, turned: true }));
    this.batch = element("span", "batch");
    this.verdicts = element("span", "verdicts", "", { role: "group", "aria-label": "Which labels" });
    this.size = element("input", "size", "", {
      type: "range", min: "64", max: "192", step: "8", title: "Size of the pictures", "aria-label": "Size of the pictures" });
    this.size.value = this.storedSize();
    const resize = () => { this.root.style.setProperty("--tile", `${this.size.value}px`); this.dense(); };
    this.size.addEventListener("input", resize);
    this.size.addEventListener("change", () => {
      try { localStorage.setItem(SIZE_KEY, this.size.value); } catch { /* private window: forget it */ }
      this.size.blur();
      this.scrollToCursor();
    });
    resize();
    this.stretch = button("stretch", "", "How pictures are drawn (x)", () => this.send("stretching"));
    this.stretch.append(element("i", "ramp"), element("span", "", "Stretch"));
    this.chip = button("chip", "", "As the survey is drawn by itself", () => this.send("unstretch"));
    this.chip.append(element("span"), element("b", "", "✕"));
    this.chip.hidden = true;
    this.tools.append(this.order, this.turn, this.batch, this.verdicts, element("span", "space"), this.chip, this.stretch, this.size);
  }

  buildFooter() {
    const footer = element("footer", "footer");
    const labels = element("div", "labels", "", { role: "group", "aria-label": "Label the object under the cursor" });
    for (const [key, verdict] of Object.entries(LABEL_KEYS)) {
      const made = button(`verdict ${verdict}`, "", `Label ${verdict} (${key}; with shift: all that are listed)`,
        (event) => (event.shiftKey ? this.askAll(verdict) : this.label(verdict)));
      made.append(element("b", "", SIGNS[CODES[verdict]]), element("span", "word", verdict), element("kbd", "", key));
      labels.append(made);
    }
    const undo = button("verdict undo", "", "Undo the last label (z)", () => this.send("undo"));
    undo.append(element("b", "", "↶"), element("kbd", "", "z"));
    labels.append(undo);
    this.pager = element("div", "pager");
    this.previous = button("icon", "‹", "Previous page ([)", () => this.turnPage(-1, 0));
    this.range = element("span", "range");
    this.next = button("icon", "›", "Next page (])", () => this.turnPage(1, 0));
    this.pager.append(this.previous, this.range, this.next);
    footer.append(labels, element("span", "space"), this.pager);
    this.footer = footer;
    return footer;
  }

  storedSize() {
    let stored = NaN;
    try { stored = parseInt(localStorage.getItem(SIZE_KEY), 10); } catch { /* none */ }
    return stored >= 64 && stored <= 192 ? stored : 96;
  }

  dense() { this.root.classList.toggle("small", Number(this.size.value) < 88); }

  // -- frames ---------------------------------------------------------------------------------------------------------

  keep({ header, pictures }) {
    for (const row of header.drop) this.forget(row);
    header.pictured.forEach((row, k) => {
      this.forget(row);
      const entry = { bitmap: pictures[k].length ? undefined : null, ready: null };
      if (entry.bitmap === undefined) {
        entry.ready = createImageBitmap(new Blob([pictures[k]], { type: "image/jpeg" }))
          .then((bitmap) => { entry.bitmap = bitmap; }, () => { entry.bitmap = null; });
      }
      this.pictures.set(row, entry);
    });
  }

  forget(row) {
    this.pictures.get(row)?.bitmap?.close();
    this.pictures.delete(row);
  }

  // The same page under another stretch. A tile keeps its picture until the new one is decoded, and all change in one go.
  async redraw(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    const { rows, number } = frame.header;
    const shown = new Set(rows);
    for (const row of [...this.pictures.keys()]) if (!shown.has(row)) this.forget(row); // drawn under the old one
    const entries = rows.map((row) => {
      const entry = { bitmap: this.pictures.get(row)?.bitmap ?? null, ready: null };
      this.pictures.set(row, entry);
      return entry;
    });
    const bitmaps = await Promise.all(frame.pictures.map((picture) => (picture.length
      ? createImageBitmap(new Blob([picture], { type: "image/jpeg" })).catch(() => null) : null)));
    rows.forEach((row, k) => {
      if (this.pictures.get(row) !== entries[k]) { bitmaps[k]?.close(); return; } // a newer one has come meanwhile
      if (entries[k].bitmap !== bitmaps[k]) entries[k].bitmap?.close();
      entries[k].bitmap = bitmaps[k];
      const tile = this.header ? this.tiles[this.header.rows.indexOf(row)] : undefined;
      if (tile) this.picture(tile, bitmaps[k]);
    });
    this.root.dataset.redrawn = number;
  }

  async show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    this.keep(frame);
    const { rows, sequence } = frame.header;
    this.newest = sequence;
    if (rows.some((row) => !this.pictures.has(row))) { // drawn anew, with an empty memory
      this.send("again");
      return;
    }
    const decoding = rows.map((row) => this.pictures.get(row)).filter((entry) => entry.bitmap === undefined);
    if (decoding.length) await Promise.all(decoding.map((entry) => entry.ready));
    if (sequence === this.newest) this.draw(frame.header); // else a later frame has come meanwhile
  }

  draw(header) {
    this.header = header;
    this.busy.hidden = true;
    this.root.classList.remove("waiting");
    this.drawTiles();
    this.drawChanging();
    this.drawTools();
    this.drawEmpty();
    this.drawPager();
    this.inspecting = this.header.inspecting;
    this.setCursor(this.header.cursor, { tell: false });
    this.root.dataset.sequence = this.header.sequence;
    this.turning = false;
    const waiting = this.queue.splice(0);
    for (const key of waiting) this.act(key);
  }

  drawTiles() {
    const { rows, ids } = this.header;
    while (this.tiles.length < rows.length) this.tiles.push(this.makeTile());
    this.grid.replaceChildren(...this.tiles.slice(0, rows.length).map((tile) => tile.root));
    rows.forEach((row, k) => {
      const tile = this.tiles[k];
      const bitmap = this.pictures.get(row)?.bitmap;
      tile.root.dataset.row = row;
      tile.root.dataset.index = k;
      this.picture(tile, bitmap);
      tile.name.textContent = ids[k];
    });
    this.grid.scrollTop = 0;
  }

  picture(tile, bitmap) {
    tile.root.classList.toggle("unreadable", !bitmap);
    if (bitmap) this.paint(tile.image, bitmap);
  }

  // A canvas instead of an <img>: a picture decoded ahead is there in the same frame (100 object URLs cost 100 ms more).
  paint(canvas, bitmap) {
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
  }

  makeTile() {
    const root = element("div", "tile", "", { role: "option" });
    const image = element("canvas", "picture", "", { "aria-hidden": "true" });
    const tile = { root, image, mark: element("span", "mark"), text: element("span", "text"),
      caption: element("span", "caption"), name: element("b"), more: element("i") };
    tile.caption.append(tile.name, tile.more);
    root.append(image, tile.mark, tile.text, tile.caption);
    return tile;
  }

  // What labels and rankings change; also called alone, with nothing else moved.
  drawChanging(changes = null) {
    if (changes) Object.assign(this.header, changes);
    const { rows, codes, texts, captions, ids } = this.header;
    if (codes.length !== rows.length) return; // news of a page that is already gone
    for (const { row, code } of this.pending.values()) {
      const k = rows.indexOf(row);
      if (k >= 0) codes[k] = code;
    }
    rows.forEach((row, k) => {
      const tile = this.tiles[k];
      tile.text.textContent = texts[k];
      tile.more.textContent = captions[k];
      tile.root.setAttribute("aria-label", `${ids[k]}${codes[k] ? ", " + VERDICTS[codes[k]] : ""}`);
      this.mark(k);
    });
    this.drawTabs();
    this.drawLine();
  }

  mark(k) {
    const tile = this.tiles[k];
    const code = this.header.codes[k];
    const row = this.header.rows[k];
    tile.root.dataset.label = VERDICTS[code];
    tile.mark.textContent = SIGNS[code];
    tile.root.classList.toggle("pending", [...this.pending.values()].some((p) => p.row === row));
  }

  drawTabs() {
    this.tabs.replaceChildren(...this.header.tabs.map(({ name, count }) => {
      const chosen = name === this.header.tab;
      const made = button(chosen ? "tab chosen" : "tab", TITLES[name], TITLES[name], () => this.send("tab", { tab: name }));
      made.setAttribute("role", "tab");
      made.setAttribute("aria-selected", chosen);
      if (count !== null) made.append(element("span", "count", number(count)));
      return made;
    }));
  }

  drawLine() {
    const { line, stale, tab } = this.header;
    const parts = line ? [element("span", "", line)] : [];
    if (stale) {
      const text = tab === "suggestions" ? "Next batch" : "Sort anew";
      const made = button("link", `${text} `, `${text}: the ranking has changed (r)`, () => this.refresh());
      made.append(element("kbd", "", "r"));
      parts.push(made);
    }
    this.line.replaceChildren(...parts);
    this.line.hidden = parts.length === 0;
  }

  drawTools() {
    const { orders, sort, tab, batch, batches, verdict, rows } = this.header;
    const name = sort.replace(/^-/, "");
    const inherent = { suggestions: "best first", outliers: "strangest first", similar: "most similar first", labelled: "newest first" }[tab] ?? "as it comes";
    const options = [new Option(inherent, "")];
    for (const group of orders) {
      const made = group.names.map((n) => new Option(n === "random" ? "at random" : n, n));
      if (group.title) {
        const box = element("optgroup");
        box.label = group.title;
        box.append(...made);
        options.push(box);
      } else options.push(...made);
    }
    this.order.replaceChildren(...options);
    this.order.value = name;
    this.turn.textContent = sort.startsWith("-") ? "↓" : "↑";
    this.turn.disabled = !name || name === "random";
    this.turn.title = sort.startsWith("-") ? "Largest first; click for smallest first" : "Smallest first; click for largest first";
    this.batch.replaceChildren();
    if (tab === "suggestions") {
      this.batch.append("Next ", ...batches.map((size) => {
        const made = button(size === batch ? "choice chosen" : "choice", String(size), `Suggest ${size} at a time`,
          () => this.send("batch", { size }));
        return made;
      }));
    }
    this.verdicts.replaceChildren();
    if (tab === "labelled") {
      for (const value of ["", "yes", "no", "unsure"]) {
        const text = value ? `${SIGNS[CODES[value]]} ${value}` : "all";
        this.verdicts.append(button(value === verdict ? "choice chosen" : "choice", text, `Show ${value || "all"}`,
          () => this.send("verdict", { verdict: value })));
      }
    }
    this.tools.classList.toggle("idle", rows.length === 0 && tab === "selection");
    this.drawStretch(this.header.stretch);
    this.stretch.setAttribute("aria-pressed", this.header.stretching);
  }

  drawStretch(text) {
    this.header.stretch = text;
    this.chip.hidden = !text;
    this.chip.firstChild.textContent = text;
    this.chip.title = `Stretch: ${text}. Click for the survey's own`;
  }

  drawEmpty() {
    const { rows, title, advice, waiting } = this.header;
    this.empty.hidden = rows.length > 0;
    this.grid.hidden = rows.length === 0;
    this.footer.classList.toggle("idle", rows.length === 0);
    if (rows.length) return;
    this.empty.replaceChildren(element("div", waiting ? "sign waiting" : "sign"), element("h3", "", title), element("p", "", advice));
  }

  drawPager() {
    const { start, rows, total, page, pages } = this.header;
    this.range.textContent = total ? `${number(start + 1)}–${number(start + rows.length)} of ${number(total)}` : "";
    this.previous.disabled = page <= 0;
    this.next.disabled = page >= pages - 1;
    this.pager.classList.toggle("single", pages < 2);
  }

  // -- cursor ---------------------------------------------------------------------------------------------------------

  setCursor(row, { tell = true, scroll = true } = {}) {
    if (row >= 0 && this.strip.dataset.kind === "info") this.strip.hidden = true;
    if (this.index >= 0 && this.tiles[this.index]) {
      this.tiles[this.index].root.classList.remove("cursor");
      this.tiles[this.index].root.removeAttribute("aria-selected");
    }
    this.cursor = row;
    this.index = this.header ? this.header.rows.indexOf(row) : -1;
    if (this.index >= 0) {
      this.tiles[this.index].root.classList.add("cursor");
      this.tiles[this.index].root.setAttribute("aria-selected", "true");
      if (scroll) this.scrollToCursor();
    }
    if (tell) this.send("cursor", { row });
  }

  scrollToCursor() {
    if (this.index >= 0) this.tiles[this.index].root.scrollIntoView({ block: "nearest" });
  }

  columns() { return getComputedStyle(this.grid).gridTemplateColumns.split(" ").length; }

  move(step) {
    const { rows, page, pages } = this.header;
    if (!rows.length) return;
    if (this.index < 0) { this.setCursor(rows[0]); return; }
    const to = this.index + step;
    if (to >= 0 && to < rows.length) { this.setCursor(rows[to]); return; }
    if (to >= rows.length && page < pages - 1) this.turnPage(1, Math.abs(step) === 1 ? 0 : this.index % this.columns());
    else if (to < 0 && page > 0) this.turnPage(-1, -1);
  }

  turnPage(step, place) {
    const { page, pages } = this.header;
    const to = page + step;
    if (to < 0 || to >= pages || this.turning) return;
    this.turning = true;
    this.send("page", { page: to, place: place < 0 ? 1e6 : place });
    setTimeout(() => { this.turning = false; }, PATIENCE);
  }

  clicked(event, twice = false) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const row = Number(tile.dataset.row);
    this.root.focus({ preventScroll: true });
    this.setCursor(row, { scroll: false });
    if (twice) this.send("open", { row });
  }

  // -- labels ---------------------------------------------------------------------------------------------------------

  label(verdict) {
    if (!this.header || this.turning) return;
    const row = this.cursor;
    if (row < 0) { this.tell("Put the cursor on an object first: click it.", "info"); return; }
    const k = this.header.rows.indexOf(row);
    if (k < 0 && !this.inspecting) { // never label what is not to be seen
      this.tell("The object under the cursor is not listed here: click one that is, or open it (Enter).", "info");
      return;
    }
    const token = ++this.token;
    const before = k >= 0 ? this.header.codes[k] : 0;
    const timer = setTimeout(() => this.tell("The label is not saved yet: waiting for the server.", "warning"), PATIENCE);
    this.pending.set(token, { row, before, code: CODES[verdict], timer });
    if (k >= 0) { this.header.codes[k] = CODES[verdict]; this.mark(k); }
    this.send("label", { row, value: verdict, token });
    if (k >= 0) this.advance();
  }

  advance() {
    const { rows, page, pages } = this.header;
    if (this.index < rows.length - 1 || page < pages - 1) this.move(1);
  }

  saved({ token, good, problem }) {
    const entry = this.pending.get(token);
    if (!entry) return;
    clearTimeout(entry.timer);
    this.pending.delete(token);
    const k = this.header.rows.indexOf(entry.row);
    if (!good) {
      if (k >= 0) this.header.codes[k] = entry.before;
      this.tell(`Not saved: ${problem}`, "error");
    } else if (!this.pending.size && this.strip.dataset.kind === "warning") this.strip.hidden = true;
    if (k >= 0) this.mark(k);
  }

  undone({ rows, good, problem }) {
    if (!good) this.tell(`Not undone: ${problem}`, "error");
    else if (rows.length === 1 && this.header.rows.includes(rows[0])) this.setCursor(rows[0]);
  }

  askAll(verdict) { this.send("all", { value: verdict }); }

  ask({ text, value }) {
    this.asking = true;
    const confirm = button(`primary ${value}`, "", "Confirm (Enter)", () => this.answer(true));
    confirm.append("Label all ", element("kbd", "", "Enter"));
    const cancel = button("plain", "", "Cancel (Esc)", () => this.answer(false));
    cancel.append("Cancel ", element("kbd", "", "Esc"));
    this.strip.replaceChildren(element("span", "", text), confirm, cancel);
    this.strip.dataset.kind = "ask";
    this.strip.hidden = false;
  }

  answer(yes) {
    this.asking = false;
    this.strip.hidden = true;
    this.send(yes ? "confirm" : "cancel");
  }

  tell(text, kind) {
    if (this.asking) return;
    this.strip.replaceChildren(element("span", "", text), button("plain", "Close", "Close", () => { this.strip.hidden = true; }));
    this.strip.dataset.kind = kind;
    this.strip.hidden = false;
  }

  refresh() { this.send("refresh"); }

  // -- keys -----------------------------------------------------------------------------------------------------------

  key(event) {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!this.header || !this.root.isConnected || this.root.getClientRects().length === 0 || taken(event)) return;
    const label = LABEL_KEYS[event.key.toLowerCase()];
    if (this.asking) {
      if (event.key === "Enter" || event.key === "Escape") this.answer(event.key === "Enter");
      else if (!label) return;
      this.consume(event); // a stray verdict must not label while a question is open
      return;
    }
    if (event.key === "Escape") {
      if (this.strip.hidden) return; // the map's
      this.strip.hidden = true;
      this.consume(event);
      return;
    }
    if (event.key === "Enter" && this.inspecting) return; // the inspector's: as large as the window
    if (event.key === "Enter" && document.documentElement.dataset.skysieve === "editing") return; // the outline's
    const once = label !== undefined || event.key === "z";
    if (!once && !this.moves[event.key]) return;
    this.consume(event);
    if (once && event.repeat) return; // a key held down must not label a row of objects
    const action = { key: event.key, label, whole: label !== undefined && event.shiftKey };
    if (this.turning) this.queue.push(action);
    else this.act(action);
  }

  act(action) {
    if (this.turning) { this.queue.push(action); return; }
    if (action.whole) this.askAll(action.label);
    else if (action.label) this.label(action.label);
    else if (action.key === "z") this.send("undo");
    else this.moves[action.key]?.();
  }

  consume(event) { event.preventDefault(); event.stopImmediatePropagation(); }

  get moves() {
    return this._moves ??= {
      ArrowRight: () => this.move(1),
      ArrowLeft: () => this.move(-1),
      ArrowDown: () => this.move(this.columns()),
      ArrowUp: () => this.move(-this.columns()),
      Home: () => this.header.rows.length && this.setCursor(this.header.rows[0]),
      End: () => this.header.rows.length && this.setCursor(this.header.rows.at(-1)),
      "[": () => this.turnPage(-1, 0),
      "]": () => this.turnPage(1, 0),
      PageUp: () => this.turnPage(-1, 0),
      PageDown: () => this.turnPage(1, 0),
      Enter: () => this.cursor >= 0 && this.send("open", { row: this.cursor }),
      s: () => this.cursor >= 0 && this.send("similar", { row: this.cursor }),
      r: () => this.refresh(),
    };
  }

  // -- messages -------------------------------------------------------------------------------------------------------

  message(data) {
    if (data.type === "busy") {
      this.busy.textContent = data.text;
      this.busy.hidden = false;
      this.root.classList.add("waiting");
    } else if (data.type === "done") {
      this.busy.hidden = true;
      this.root.classList.remove("waiting");
      if (!data.good) this.tell(`Not saved: ${data.problem}`, "error");
    } else if (data.type === "cursor") this.setCursor(data.row, { tell: false });
    else if (data.type === "changed") { if (this.header) this.drawChanging(data); }
    else if (data.type === "inspecting") this.inspecting = data.open;
    else if (data.type === "saved") this.saved(data);
    else if (data.type === "undone") this.undone(data);
    else if (data.type === "ask") this.ask(data);
    else if (data.type === "stretch") { if (this.header) this.drawStretch(data.text); }
    else if (data.type === "stretching") this.stretch.setAttribute("aria-pressed", data.open);
  }

  theme(dark) { this.root.dataset.theme = dark ? "dark" : "light"; }

  destroy() {
    for (const row of [...this.pictures.keys()]) this.forget(row);
    for (const { timer } of this.pending.values()) clearTimeout(timer);
  }
}

export function render({ model }) {
  const gallery = new Gallery(model);
  const onKey = (event) => gallery.key(event);
  window.addEventListener("keydown", onKey, true); // before the document's listeners: an open question comes first
  model.on("frame", () => gallery.show(model.frame));
  model.on("redrawn", () => gallery.redraw(model.redrawn));
  model.on("ahead", () => { const frame = parse(model.ahead); if (frame) gallery.keep(frame); });
  model.on("dark", () => gallery.theme(model.dark));
  model.on("msg:custom", (data) => gallery.message(data.data ?? data));
  model.on("remove", () => { window.removeEventListener("keydown", onKey, true); gallery.destroy(); });
  gallery.theme(model.dark);
  if (model.frame && model.frame.byteLength) gallery.show(model.frame);
  return gallery.root;
}
