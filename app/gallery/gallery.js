// The gallery in the browser: draws frames (see app/frames.py), moves the cursor, shows a label before it is confirmed, and goes
// on to the next batch of suggestions, which came ahead, without asking.

const TITLES = { selection: "Selection", suggestions: "Suggestions", outliers: "Outliers", similar: "Similar", labelled: "Labelled" };
const RETURN = 8000; // ms until keys stop waiting for a page that does not come

const number = (n) => n.toLocaleString("en-US");

class Gallery {
  constructor(model) {
    this.model = model;
    this.header = null;
    this.index = -1; // of the cursor on the page
    this.cursor = -1; // row under the cursor, on the page or not
    this.inspecting = false;
    this.turning = false;
    this.following = null; // header of the batch that comes next
    this.early = null; // the same, of a batch that came before the page it follows was drawn
    this.visited = new Set(); // rows of this batch that the cursor has been on
    this.build();
  }

  send(type, rest = {}) { this.model.send_msg({ type, ...rest }); }

  // -- building -------------------------------------------------------------------------------------------------------

  build() {
    this.root = element("section", "gallery", "", { tabindex: "0", "aria-label": "Gallery" });
    this.tabs = element("nav", "tabs", "", { role: "tablist", "aria-label": "What the gallery shows" });
    const tools = element("div", "tools");
    this.above = element("div", "above");
    this.above.append(this.model.get_child("above"));
    this.line = element("div", "line");
    const strip = element("div", "strip", "", { role: "alert" });
    this.grid = element("div", "grid", "", { role: "listbox", "aria-label": "Objects", "data-gallery": "1" });
    this.empty = element("div", "empty");
    this.busy = element("div", "busy", "", { role: "status" });
    this.body = element("div", "body");
    this.body.append(this.grid, this.empty, this.busy);
    this.root.append(this.tabs, this.above, tools, this.line, strip, this.body, this.buildFooter());
    this.line.hidden = this.empty.hidden = this.busy.hidden = true;
    this.pictures = new Pictures();
    this.tiles = new Tiles(this.grid, this.pictures);
    this.strip = new Strip(strip, {
      answer: (yes) => this.send(yes ? "confirm" : "cancel"),
      write: (row, text) => this.said(row, text),
      closed: () => { this.root.focus({ preventScroll: true }); if (this.sifting.on) this.sifting.draw(); },
    });
    this.labels = new Labels({ send: (type, rest) => this.send(type, rest), changed: (row) => this.mark(row), strip: this.strip });
    this.sifting = new Sifting({
      header: () => this.header, strip: this.strip,
      marked: (answers, picked) => this.drawIntended(answers, picked),
      commit: (plan) => this.commit(plan),
      ended: () => { this.root.classList.remove("sifting"); this.drawIntended(new Map(), new Set()); },
    });
    this.tools = new Tools(tools, this, (type, rest) => this.send(type, rest));
    this.keys = new Keys(this);
    this.grid.addEventListener("click", (event) => this.clicked(event));
    this.grid.addEventListener("dblclick", (event) => this.clicked(event, true));
  }

  buildFooter() {
    this.footer = element("footer", "footer");
    this.answers = element("div", "labels", "", { role: "group", "aria-label": "Label the object under the cursor" });
    const more = element("div", "labels more");
    for (const [key, name, title, sign, act] of [
      ["a", "artefact", "No galaxy: an artefact (a)", "", () => this.markArtefact()],
      ["w", "comment", "Write a comment (w)", "", () => this.comment()],
      ["z", "undo", "Undo the last label (z); Shift Z gives it again", "↶", () => this.step("undo")],
    ]) {
      const made = button(`verdict ${name}`, "", title, act);
      made.append(element("b", "", sign), element("kbd", "", key));
      more.append(made);
    }
    this.pager = element("div", "pager");
    this.previous = button("icon", "‹", "Previous page ([)", () => this.turnPage(-1, 0));
    this.range = element("span", "range");
    this.next = button("icon", "›", "Next page (])", () => this.turnPage(1, 0));
    this.pager.append(this.previous, this.range, this.next);
    this.footer.append(this.answers, more, element("span", "space"), this.pager);
    return this.footer;
  }

  // The buttons of the answers that this target takes.
  drawAnswers() {
    const { choices, target } = this.header;
    const wanted = JSON.stringify([target, choices]);
    if (wanted === this.answered) return;
    this.answered = wanted;
    requestAnimationFrame(() => this.root.style.setProperty("--foot", `${this.footer.offsetHeight + 6}px`));
    this.answers.classList.toggle("many", choices.length > 4);
    this.answers.replaceChildren(...choices.map((choice) => {
      const rated = /^[0-9]$/.test(choice.value), known = VERDICTS.includes(choice.value);
      const made = button(`verdict ${known ? choice.value : "choice"}`, "",
        `‘${target}: ${choice.value}’ (${choice.key}; with shift: all that are listed)`,
        (event) => (event.shiftKey ? this.send("all", { value: choice.value }) : this.keys.act(() => this.label(choice))));
      made.dataset.value = choice.value;
      if (known) made.append(element("b", "", choice.sign));
      else {
        made.append(element("i", "dot"));
        made.style.setProperty("--mark", choice.colour);
      }
      if (!rated) made.append(element("span", "word", choice.value));
      made.append(element("kbd", "", choice.key));
      return made;
    }));
  }

  // -- frames ---------------------------------------------------------------------------------------------------------

  async redraw(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    this.following = null; // drawn under the old stretch
    await this.pictures.replace(frame.header.rows, frame.pictures, (row, bitmap) => {
      const tile = this.tiles.of(row);
      if (tile) this.tiles.picture(tile, bitmap);
    });
    this.root.dataset.redrawn = frame.header.number;
  }

  async show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    this.pictures.keep(frame);
    const { rows, sequence } = frame.header;
    this.newest = sequence;
    if (!this.pictures.has(rows)) { // drawn anew, with an empty memory
      this.send("again");
      return;
    }
    const decoding = this.pictures.decoded(rows);
    if (decoding) await decoding;
    if (sequence === this.newest) this.draw(frame.header); // else a later frame has come meanwhile
  }

  // The batch that comes next: kept until this one is labelled through.
  async follow(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    this.pictures.keep(frame);
    if (!this.pictures.has(frame.header.rows)) return;
    const decoding = this.pictures.decoded(frame.header.rows);
    if (decoding) await decoding;
    if (frame.header.sequence < (this.newest ?? 0)) return; // of a list that is gone
    if (frame.header.sequence > (this.header?.sequence ?? -1) && frame.header.page !== this.header?.pages) {
      this.early = frame.header; // the batch before it is still being decoded
      return;
    }
    this.offered(frame.header);
  }

  offered(header) {
    if (header.page !== this.header.pages) return; // after a batch that is gone
    this.following = header;
    this.root.dataset.following = header.sequence;
    if (this.waits) this.goOn();
  }

  draw(header) {
    this.following = null;
    this.header = header;
    this.busy.hidden = true;
    this.root.classList.remove("waiting");
    this.drawPage();
    this.tools.draw(header);
    this.drawEmpty();
    this.inspecting = header.inspecting;
    this.setCursor(header.cursor, { tell: false });
    const { early } = this;
    this.early = null;
    if (early && early.sequence > header.sequence) this.offered(early);
    this.arrived();
  }

  drawPage() {
    this.visited.clear();
    this.tiles.draw(this.header);
    this.root.dataset.sequence = this.header.sequence;
    this.drawChanging();
    this.drawPager();
    if (this.sifting.on) {
      if (this.header.rows.length) this.sifting.reset();
      else this.sifting.toggle(false);
    }
  }

  // What labels and rankings change; also called alone, with nothing else moved.
  drawChanging(changes = null) {
    if (changes) {
      if (changes.of !== this.header.sequence) { // news of a page that is already gone: what belongs to no page is still true
        const { tabs, counts, line, stale, choices } = changes;
        changes = { tabs, counts, line, stale, choices };
      }
      Object.assign(this.header, changes);
    }
    this.labels.reapply();
    this.tiles.write(this.labels.rows);
    this.drawAnswers();
    this.drawTabs();
    this.drawLine();
    if (changes?.filters?.length) this.tools.drawFilters(changes);
    if (this.sifting.on) this.sifting.draw();
    else if (changes) this.goOnIfDone();
  }

  mark(row) {
    const k = this.header ? this.header.rows.indexOf(row) : -1;
    if (k >= 0) this.tiles.mark(k, this.labels.rows.has(row));
  }

  drawIntended(answers, picked) {
    this.root.classList.toggle("sifting", this.sifting.on);
    const pending = this.labels.rows;
    this.header.rows.forEach((row, k) => {
      this.tiles.mark(k, pending.has(row), answers.get(row) ?? null);
      this.tiles.tiles[k].root.classList.toggle("picked", picked.has(row));
    });
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

  drawEmpty() {
    const { rows, title, advice, waiting } = this.header;
    this.empty.hidden = rows.length > 0;
    this.grid.hidden = rows.length === 0;
    this.footer.classList.toggle("idle", rows.length === 0);
    if (rows.length) return;
    this.empty.replaceChildren(element("div", waiting ? "sign waiting" : "sign"), element("h3", "", title), element("p", "", advice));
  }

  drawPager() {
    const { start, rows, total, page, pages, tab } = this.header;
    const range = `${number(start + 1)}–${number(start + rows.length)}`;
    this.range.textContent = !total ? "" : tab === "suggestions" ? range : `${range} of ${number(total)}`;
    this.previous.disabled = page <= 0;
    this.next.disabled = tab !== "suggestions" && page >= pages - 1;
    this.pager.classList.toggle("single", pages < 2 && tab !== "suggestions");
  }

  // -- cursor ---------------------------------------------------------------------------------------------------------

  setCursor(row, { tell = true, scroll = true } = {}) {
    const before = this.tiles.tiles[this.index];
    if (before) {
      before.root.classList.remove("cursor");
      before.root.removeAttribute("aria-selected");
    }
    this.cursor = row;
    this.visited.add(row);
    this.index = this.header ? this.header.rows.indexOf(row) : -1;
    if (this.index >= 0) {
      const { root } = this.tiles.tiles[this.index];
      root.classList.add("cursor");
      root.setAttribute("aria-selected", "true");
      if (scroll) this.scrollToCursor();
    }
    if (tell) { this.strip.hideInfo(); this.send("cursor", { row }); }
  }

  scrollToCursor() {
    if (this.index >= 0) this.tiles.tiles[this.index].root.scrollIntoView({ block: "nearest" });
  }

  move(step) {
    const { rows, page, pages } = this.header;
    if (!rows.length) return;
    if (this.index < 0) { this.setCursor(rows[0]); return; }
    const to = this.index + step;
    if (to >= 0 && to < rows.length) { this.setCursor(rows[to]); return; }
    const alone = Math.abs(step) === 1;
    if (to >= rows.length && page < pages - 1) this.turnPage(1, alone ? 0 : this.index % this.tiles.columns());
    else if (to >= rows.length && alone && this.header.tab === "suggestions") this.goOn();
    else if (to < 0 && page > 0) this.turnPage(-1, -1);
  }

  turnPage(step, place) {
    const { page, pages, tab } = this.header;
    const to = page + step;
    if (to >= pages && tab === "suggestions") { this.goOn(); return; }
    if (to < 0 || to >= pages || this.turning) return;
    this.await();
    this.send("page", { page: to, place: place < 0 ? 1e6 : place });
  }

  // Keys wait for what the server sends.
  await(patience = RETURN) {
    this.turning = true;
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.arrived(), patience);
  }

  arrived() {
    clearTimeout(this.patience);
    this.turning = this.waits = false;
    this.keys.release();
  }

  clicked(event, twice = false) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const row = Number(tile.dataset.row);
    this.root.focus({ preventScroll: true });
    this.setCursor(row, { scroll: false });
    if (this.sifting.on) { if (!twice) this.sifting.pick(row); } // two quick clicks pick and let go
    else if (twice) this.send("open", { row });
  }

  // -- the queue of suggestions ------------------------------------------------------------------------------------------

  // The next batch: it is here already, or comes as soon as there is one.
  goOn() {
    if (!this.header || this.header.tab !== "suggestions") return;
    const { following } = this;
    if (!following) {
      if (this.waits) return;
      this.waits = true;
      this.await(60_000);
      this.busy.textContent = "Ranking for the next batch…";
      this.busy.hidden = false;
      this.send("next", { number: 0 });
      return;
    }
    this.following = null;
    this.newest = following.sequence;
    this.busy.hidden = true;
    this.header = { ...this.header, ...following, texts: following.texts, stale: false };
    this.drawPage();
    const first = Math.max(0, this.header.codes.findIndex((code) => !code));
    this.setCursor(this.header.rows[first], { tell: false });
    this.send("next", { number: following.sequence, row: this.cursor });
    this.arrived();
  }

  goOnIfDone() {
    const { tab, rows, codes, page, pages } = this.header;
    if (tab === "suggestions" && rows.length && page === pages - 1 && !this.turning && codes.every((code) => code)) this.goOn();
  }

  // The object to look at after one was dealt with.
  advance() {
    const { rows, codes, tab, page, pages } = this.header;
    if (tab !== "suggestions") {
      if (this.index < rows.length - 1 || page < pages - 1) this.move(1);
      return;
    }
    const open = (k) => !codes[k];
    const later = rows.findIndex((row, k) => k > this.index && open(k));
    const left = later >= 0 ? later : rows.findIndex((row, k) => open(k) && !this.visited.has(row));
    if (left >= 0) this.setCursor(rows[left]);
    else this.turnPage(1, 0);
  }

  // -- labels ---------------------------------------------------------------------------------------------------------

  // The object that a key is about: one that is to be seen.
  about() {
    const row = this.cursor;
    if (row < 0) { this.strip.tell("Put the cursor on an object first: click it.", "info"); return -1; }
    if (this.index < 0 && !this.inspecting) {
      this.strip.tell("The object under the cursor is not listed here: click one that is, or open it (Enter).", "info");
      return -1;
    }
    return row;
  }

  // Change one of the lists of the header (codes, artefacts, …) at a row, if it is on this page.
  writer(name, row, value) {
    return () => {
      const k = this.header.rows.indexOf(row);
      if (k >= 0) this.header[name][k] = value;
    };
  }

  toggled(name, row) {
    const k = this.header.rows.indexOf(row);
    return k >= 0 ? this.header[name][k] : 0;
  }

  label(choice) {
    const row = this.about();
    if (row < 0) return;
    const before = this.toggled("codes", row);
    this.labels.say("label", row, { value: choice.value }, this.writer("codes", row, choice.code), this.writer("codes", row, before));
    if (this.index >= 0) this.advance();
  }

  markArtefact() {
    const row = this.about();
    if (row < 0) return;
    const on = this.toggled("artefacts", row) ? 0 : 1;
    this.labels.say("artefact", row, { on: Boolean(on) }, this.writer("artefacts", row, on), this.writer("artefacts", row, 1 - on));
    if (on && this.index >= 0) this.advance();
  }

  reviewLater() {
    const row = this.about();
    if (row < 0) return;
    const on = this.toggled("later", row) ? 0 : 1;
    this.labels.say("later", row, { on: Boolean(on) }, this.writer("later", row, on), this.writer("later", row, 1 - on));
    if (on && this.index >= 0) this.advance();
  }

  comment() {
    const row = this.about();
    if (row < 0) return;
    const k = this.header.rows.indexOf(row);
    this.strip.write(row, k >= 0 ? this.header.ids[k] : "this object", k >= 0 ? this.header.comments[k] : "");
  }

  said(row, text) {
    const before = this.toggled("comments", row) || "";
    this.labels.say("comment", row, { text }, this.writer("comments", row, text), this.writer("comments", row, before));
  }

  step(type) {
    this.await();
    this.send(type);
  }

  undone({ good, problem, text, follows }) {
    if (!good) this.strip.tell(`Not done: ${problem}`, "error");
    else if (text) this.strip.tell(text, "info");
    if (!follows) this.arrived();
  }

  sift() {
    if (!this.header?.rows.length) return;
    this.sifting.toggle();
    this.tools.sift.setAttribute("aria-pressed", this.sifting.on);
  }

  // A page at one stroke: all of it is confirmed, or put back.
  commit(plan) {
    const codes = new Map([...plan.answers].map(([row, answer]) => [row, answer.code]));
    const before = new Map(plan.rows.map((row) => [row, this.toggled("codes", row)]));
    const write = (found) => () => found.forEach((code, row) => this.writer("codes", row, code)());
    this.sifting.answer = null;
    this.sifting.exceptions.clear();
    this.labels.say("sift", plan.rows[0], { rows: plan.rows, values: plan.values }, write(codes), write(before));
    const { tab, page, pages } = this.header;
    if (tab === "suggestions" || page < pages - 1) { this.sifting.draw(); this.turnPage(1, 0); }
    else this.sift();
    this.tiles.write(this.labels.rows);
  }

  refresh() { this.send("refresh"); }

  // -- messages -------------------------------------------------------------------------------------------------------

  message(data) {
    const { header } = this;
    if (data.type === "busy") {
      this.busy.textContent = data.text;
      this.busy.hidden = false;
      this.root.classList.add("waiting");
    } else if (data.type === "done") {
      this.busy.hidden = true;
      this.root.classList.remove("waiting");
      if (!data.good) this.strip.tell(`Not saved: ${data.problem}`, "error");
    } else if (data.type === "cursor") this.setCursor(data.row, { tell: false });
    else if (data.type === "changed") { if (header) this.drawChanging(data); }
    else if (data.type === "inspecting") this.inspecting = data.open;
    else if (data.type === "saved") this.labels.answered(data);
    else if (data.type === "undone") this.undone(data);
    else if (data.type === "exhausted") this.exhausted();
    else if (data.type === "ask") this.strip.ask(data);
    else if (data.type === "stretch") { if (header) this.tools.drawStretch(data.text); }
    else if (data.type === "stretching") this.tools.stretch.setAttribute("aria-pressed", data.open);
  }

  exhausted() {
    this.busy.hidden = true;
    this.keys.waiting.length = 0; // they were meant for objects that do not come
    this.arrived();
    this.strip.tell("No object is left to suggest: all of them were shown. r begins anew with what has no label.", "info");
  }

  theme(dark) { this.root.dataset.theme = dark ? "dark" : "light"; }

  destroy() {
    this.pictures.clear();
    this.labels.destroy();
  }
}

export function render({ model }) {
  const gallery = new Gallery(model);
  const onKey = (event) => gallery.keys.heard(event);
  window.addEventListener("keydown", onKey, true); // before the document's listeners: an open question comes first
  model.on("frame", () => gallery.show(model.frame));
  model.on("following", () => gallery.follow(model.following));
  model.on("redrawn", () => gallery.redraw(model.redrawn));
  model.on("ahead", () => { const frame = parse(model.ahead); if (frame) gallery.pictures.keep(frame); });
  model.on("dark", () => gallery.theme(model.dark));
  model.on("msg:custom", (data) => gallery.message(data.data ?? data));
  model.on("remove", () => { window.removeEventListener("keydown", onKey, true); gallery.destroy(); });
  gallery.theme(model.dark);
  if (model.frame && model.frame.byteLength) gallery.show(model.frame);
  if (model.following && model.following.byteLength) gallery.follow(model.following);
  return gallery.root;
}
