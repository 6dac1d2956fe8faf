// The views of an object: one large, the others small beneath it, or six alike; what lies under the pointer. Pictures are
// decoded once and kept, so that a blink is one drawing; the numbers under the pointer came with them (app/inspector/views.py).

const PERIOD = 500; // ms a band when bands blink by themselves, and between steps while a key is held
const FURTHEST = 64; // how many times the whole the main view magnifies at most
const SMALLEST = 4; // pixels of the cutout: a smaller part is a slip of the hand
const NARROWEST = 130; // px: smaller views carry no scale bar

// Outlines on a square of 16.
const ICONS = {
  back: "M10 3 5 8l5 5", on: "M6 3l5 5-5 5", play: "M5 3v10l8-5z", pause: "M5 3v10M11 3v10",
  crosshair: "M8 1v4M8 11v4M1 8h4M11 8h4", six: "M2 3h3v4H2zM6.5 3h3v4h-3zM11 3h3v4h-3zM2 9h3v4H2zM6.5 9h3v4h-3zM11 9h3v4h-3z",
  part: "M2 5V2h3M11 2h3v3M14 11v3h-3M5 14H2v-3M6 6h4v4H6z", large: "M9.5 2H14v4.5M6.5 14H2V9.5M14 2 9 7M2 14l5-5", small: "M4 4l8 8M12 4l-8 8",
};

function setIcon(made, name) {
  made.innerHTML = `<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
}

class Views {
  constructor(act) {
    this.act = act; // {send}
    this.list = []; // {key, title, extent, bitmap}
    this.chosen = "colour";
    this.zoom = { by: 1, x: 0, y: 0 }; // of the whole; shift of the middle, pixels of the cutout
    this.crosshair = this.six = this.large = this.part = false;
    this.box = null; // of a part that is being drawn: x0, y0, x1, y1, pixels of the cutout
    this.turn = 0; // rises with each object and drawing: what was decoded for an earlier one is dropped
    this.build();
  }

  // -- building -------------------------------------------------------------------------------------------------------

  build() {
    this.root = element("section", "views", "", { "aria-label": "Views" });
    this.stage = element("div", "stage");
    this.main = element("canvas", "main");
    this.title = element("div", "title");
    this.note = element("p", "note");
    this.stage.append(this.main, this.title, this.note);
    this.grid = element("div", "six");
    this.readout = new Readout();
    this.strip = element("div", "strip-of-views", "", { role: "group", "aria-label": "Choose a view" });
    this.root.append(this.stage, this.grid, this.buildTools(), this.strip, this.readout.root);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.stage);
    new ResizeObserver(() => this.draw()).observe(this.grid);
  }

  buildTools() {
    const tools = element("div", "view-tools", "", { role: "toolbar", "aria-label": "Views" });
    this.buttons = {
      back: button("icon", "", "Blink back (,)", () => this.manual(-1)),
      play: button("icon", "", "Blink by itself (p)", () => this.play(!this.playing)),
      on: button("icon", "", "Blink on (.)", () => this.manual(1)),
      crosshair: button("icon", "", "Crosshair (c)", () => this.toggle("crosshair")),
      six: button("icon", "", "Six views at once (g)", () => this.toggle("six")),
      part: button("icon", "", "More like a part of it: then drag a box over the part", () => this.toggle("part")),
      stretch: button("plain", "Stretch…", "How pictures are drawn (x)", () => { this.setLarge(false); this.act.send("stretching"); }),
      large: button("icon", "", "As large as the window (Enter)", () => this.setLarge(!this.large)),
    };
    for (const [name, made] of Object.entries(this.buttons)) if (ICONS[name]) setIcon(made, name);
    const { back, play, on, crosshair, six, part, stretch, large } = this.buttons;
    tools.append(back, play, on, element("span", "gap"), crosshair, six, part, element("span", "space"), stretch, large);
    return tools;
  }

  listen() {
    const main = this.main;
    main.addEventListener("wheel", (event) => {
      if (!this.view()) return;
      event.preventDefault();
      this.zoomAt(event, Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)));
    }, { passive: false });
    main.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      main.setPointerCapture(event.pointerId);
      if (this.part && this.camera()) { this.box = [...under(main, this.camera(), event), ...under(main, this.camera(), event)]; return; }
      this.drag = { x: event.clientX, y: event.clientY, from: { ...this.zoom } };
    });
    for (const kind of ["pointerup", "pointercancel"]) main.addEventListener(kind, () => { this.drag = null; this.endBox(kind === "pointerup"); });
    main.addEventListener("dblclick", () => this.reset());
    main.addEventListener("pointermove", (event) => {
      if (this.drag) this.pan(event);
      if (this.box) { this.box.splice(2, 2, ...under(main, this.camera(), event)); this.draw(); }
      this.point(main, this.view(), this.camera(), event);
    });
    main.addEventListener("pointerleave", () => this.tell());
  }

  // -- what came ------------------------------------------------------------------------------------------------------

  // An object of which only the thumbnail is there yet.
  start(header, thumbnail) {
    const turn = (this.turn += 1);
    this.header = this.numbers = null;
    this.list = [];
    this.row = header.row;
    this.zoom = { by: 1, x: 0, y: 0 };
    this.stage.classList.remove("unreadable");
    this.note.textContent = "";
    this.decode([thumbnail]).then(([bitmap]) => {
      if (turn !== this.turn || this.header || !bitmap) return;
      this.list = [{ key: "colour", title: "", extent: [0, 0, bitmap.width, bitmap.height], bitmap, rough: true }];
      this.draw();
    });
    this.tell();
  }

  async decode(pictures) {
    return Promise.all(pictures.map((picture) => (picture?.length
      ? createImageBitmap(new Blob([picture])).catch(() => null) : null)));
  }

  // The colour picture.
  async showPicture({ header, pictures }) {
    const turn = (this.turn += 1);
    const [bitmap] = await this.decode(pictures);
    if (turn !== this.turn) return;
    const first = this.header === null;
    this.header = header;
    this.stage.classList.toggle("unreadable", Boolean(header.problem));
    this.note.textContent = header.problem ? `The pixels cannot be read: ${header.problem}` : "";
    const { width, height } = header;
    this.root.style.setProperty("--ratio", width ? Math.min(1.6, Math.max(0.8, width / height)) : 1);
    if (header.problem) this.list = [];
    else this.put([{ key: "colour", title: header.title, extent: [0, 0, width, height], bitmap }], first);
    this.drawStrip();
    this.draw();
    this.tell();
  }

  // All other pictures of the same object.
  async showViews({ header, pictures }) {
    const latest = (this.latest = pictures);
    const bitmaps = await this.decode(pictures);
    if (latest !== this.latest || !this.header || header.row !== this.header.row || header.row !== this.row) return;
    this.put(header.views.map((view, k) => ({ ...view, bitmap: bitmaps[k] })));
    this.card = header.card;
    this.blinks = header.blinks;
    this.drawStrip();
    this.draw();
  }

  // Replace what is there already under the same keys, keep the rest, in the order in which they came.
  put(views, alone = false) {
    const kept = alone ? [] : this.list.filter((view) => !view.rough);
    for (const view of views) {
      const at = kept.findIndex((old) => old.key === view.key);
      if (at >= 0) kept[at] = view;
      else kept.push(view);
    }
    this.list = kept;
  }

  // The pixels themselves.
  showNumbers({ header, pictures }) {
    if (header.row !== this.row) return;
    const bytes = pictures[0].slice(); // aligned
    const values = header.kind === "uint8" ? bytes : new Float32Array(bytes.buffer);
    this.numbers = { ...header, values };
    this.draw();
    this.tell();
  }

  empty() { this.turn += 1; this.list = []; this.row = -1; this.header = this.numbers = null; this.play(false); this.setLarge(false); }

  // -- which view -----------------------------------------------------------------------------------------------------

  view(key = this.chosen) { return this.list.find((view) => view.key === key) ?? this.list.find((view) => view.key === "colour"); }

  choose(key) {
    if (this.six) this.toggle("six");
    this.chosen = key;
    this.markChosen();
    this.draw();
  }

  manual(step) { this.play(false); this.blink(step); }

  // To the next band that is there, or to the one before; round and round.
  blink(step) {
    const keys = this.blinks ?? [];
    if (keys.length < 2) return;
    const at = keys.indexOf(this.chosen);
    this.choose(keys[at < 0 ? (step > 0 ? 0 : keys.length - 1) : (at + step + keys.length) % keys.length]);
  }

  play(on) {
    clearInterval(this.timer);
    this.playing = on;
    if (on) {
      this.timer = setInterval(() => (this.root.isConnected ? this.blink(1) : this.play(false)), PERIOD);
      this.blink(1);
    }
    setIcon(this.buttons.play, on ? "pause" : "play");
    this.buttons.play.setAttribute("aria-pressed", on);
  }

  toggle(name) {
    this[name] = !this[name];
    if (name === "six" && this.six) this.play(false);
    if (name === "part" && this.part && this.six) this.toggle("six");
    this.buttons[name].setAttribute("aria-pressed", this[name]);
    this.root.classList.toggle("all", this.six);
    this.drawGrid();
    this.draw();
  }

  // A box was drawn around a part: it is asked for what looks like it.
  endBox(done) {
    if (!this.box) return;
    const [x0, y0, x1, y1] = this.box;
    this.box = null;
    this.draw();
    if (!done || Math.min(Math.abs(x1 - x0), Math.abs(y1 - y0)) < SMALLEST) return;
    this.toggle("part");
    this.setLarge(false);
    this.act.send("part", { box: [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)] });
  }

  setLarge(large) {
    if (large === this.large) return;
    this.large = large;
    this.root.classList.toggle("large", large);
    if (large) { // the top layer: above whatever the drawer is in
      this.root.setAttribute("popover", "manual");
      this.root.showPopover();
    } else {
      this.root.hidePopover();
      this.root.removeAttribute("popover");
    }
    setIcon(this.buttons.large, large ? "small" : "large");
    this.draw();
  }

  // The keys of the views; whether this was one.
  key(event) {
    const steps = { ",": -1, ".": 1 };
    if (event.key in steps) {
      if (event.repeat && performance.now() - this.stepped < PERIOD) return true; // held: as it blinks by itself
      this.stepped = performance.now();
      this.manual(steps[event.key]);
    } else if (event.repeat) return false;
    else if (event.key === "p") this.play(!this.playing);
    else if (event.key === "c") this.toggle("crosshair");
    else if (event.key === "g") this.toggle("six");
    else {
      if (event.key === "x") this.setLarge(false); // the stretch's panel would open beneath
      return false;
    }
    return true;
  }

  // -- the camera -----------------------------------------------------------------------------------------------------

  camera() {
    const view = this.view();
    if (!view) return null;
    const whole = fit(this.main, view.extent);
    return { x: whole.x + this.zoom.x, y: whole.y + this.zoom.y, scale: whole.scale * this.zoom.by };
  }

  zoomAt(event, factor) {
    const before = under(this.main, this.camera(), event);
    this.zoom.by = Math.min(FURTHEST, Math.max(1, this.zoom.by * factor));
    const after = under(this.main, this.camera(), event);
    this.zoom.x += before[0] - after[0];
    this.zoom.y += before[1] - after[1];
    this.settle();
    this.point(this.main, this.view(), this.camera(), event);
  }

  pan(event) {
    const { scale } = this.camera();
    this.zoom.x = this.drag.from.x - (event.clientX - this.drag.x) / scale;
    this.zoom.y = this.drag.from.y - (event.clientY - this.drag.y) / scale;
    this.settle();
  }

  reset() { this.zoom = { by: 1, x: 0, y: 0 }; this.draw(); }

  // The middle of the view stays on the picture; the whole is not moved at all.
  settle() {
    const [, , width, height] = this.view()?.extent ?? [0, 0, 0, 0];
    const room = 1 - 1 / this.zoom.by;
    this.zoom.x = Math.max(-width / 2 * room, Math.min(width / 2 * room, this.zoom.x));
    this.zoom.y = Math.max(-height / 2 * room, Math.min(height / 2 * room, this.zoom.y));
    this.draw();
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    const view = this.view();
    if (view && !this.six) {
      this.drawOne(this.main, view, this.camera(), true);
      const missing = view.key !== this.chosen && this.header; // it has no such view
      this.title.textContent = missing ? this.header.title : titleOf(view);
    } else if (!view) {
      this.main.getContext("2d").clearRect(0, 0, this.main.width, this.main.height);
      this.title.textContent = "";
    }
    for (const canvas of this.root.querySelectorAll("canvas[data-key]")) {
      const one = this.list.find((found) => found.key === canvas.dataset.key);
      if (one) this.drawOne(canvas, one, fit(canvas, one.extent), canvas.clientWidth >= NARROWEST);
    }
  }

  drawOne(canvas, view, camera, roomy) {
    const context = paint(canvas, view, camera);
    if (!context || view.rough) return;
    const { width, height } = this.header;
    if (view.extent[2] > width) drawOutline(context, canvas, camera, [0, 0, width, height]);
    if (this.crosshair && this.numbers) drawCrosshair(context, canvas, camera, this.numbers.place);
    if (roomy && this.numbers?.scale) drawBar(context, canvas, camera, this.numbers.scale);
    if (canvas === this.main && this.numbers?.sky) drawCompass(context, canvas, this.numbers.sky);
    if (canvas === this.main && this.box) {
      const [x0, y0, x1, y1] = this.box;
      drawOutline(context, canvas, camera, [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)]);
    }
  }

  drawStrip() {
    this.root.classList.toggle("single", this.list.length < 2);
    this.buttons.back.disabled = this.buttons.on.disabled = this.buttons.play.disabled = (this.blinks ?? []).length < 2;
    const same = this.list.map((view) => `${view.key} ${view.bitmap ? 1 : 0}`).join("\n");
    if (same !== this.striped) { // a new stretch or object with the same views needs no new elements
      this.striped = same;
      this.strip.replaceChildren(...this.list.map((view) => this.small(view, "small")));
      this.markChosen();
    }
    this.drawGrid();
  }

  drawGrid() {
    if (!this.six) { this.grid.replaceChildren(); this.gridded = ""; return; }
    const band = this.chosen.startsWith("band:") && !this.card?.includes(this.chosen) && this.view(this.chosen)?.key === this.chosen;
    let free = band; // the band last looked at stands in for the one chosen here
    const keys = (this.card ?? ["colour"]).map((key) => (free && key.startsWith("band:") ? ((free = false), this.chosen) : key));
    const views = keys.map((key) => this.list.find((view) => view.key === key)).filter(Boolean);
    const same = views.map((view) => `${view.key} ${view.bitmap ? 1 : 0}`).join("\n");
    if (same === this.gridded) return;
    this.gridded = same;
    this.grid.dataset.count = views.length;
    this.grid.replaceChildren(...views.map((view) => this.small(view, "one")));
  }

  small(view, name) {
    const made = button(name, "", `Show ${titleOf(view)} large`, () => this.choose(view.key));
    made.dataset.view = view.key;
    const canvas = element("canvas");
    canvas.dataset.key = view.key;
    const short = name === "small" ? { ...view, title: view.title.split(",")[0] } : view;
    made.append(canvas, element("span", "", titleOf(short)));
    canvas.addEventListener("pointermove", (event) => {
      const current = this.list.find((found) => found.key === view.key);
      if (current) this.point(canvas, current, fit(canvas, current.extent), event);
    });
    canvas.addEventListener("pointerleave", () => this.tell());
    return made;
  }

  markChosen() {
    for (const made of this.strip.children) {
      made.classList.toggle("chosen", made.dataset.view === this.chosen);
      made.setAttribute("aria-pressed", made.dataset.view === this.chosen);
    }
  }

  // -- what lies under the pointer ------------------------------------------------------------------------------------

  point(canvas, view, camera, event) {
    if (!view || view.rough || !this.numbers) return;
    const [x, y] = under(canvas, camera, event);
    const [left, top, width, height] = view.extent;
    const on = x >= left && x < left + width && y >= top && y < top + height;
    this.tell(on ? [Math.floor(x), Math.floor(y)] : null);
  }

  tell(pixel = null) { this.readout.show(this.header, this.numbers, pixel); }

  destroy() { clearInterval(this.timer); cancelAnimationFrame(this.frame); }
}

const titleOf = (view) => (view.bitmap ? view.title : `${view.title}: none`);
