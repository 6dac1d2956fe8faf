// Outlines over the map: drawn at every step of the camera, changed by hand. Positions are the layout's until they are drawn.

const SVG = "http://www.w3.org/2000/svg";
const BEYOND = 60; // px around the window within which lines are drawn
const GRASP = 10, EDGE = 7; // px of a handle's and an edge's reach
const LIVE = 100; // ms between two forms that are sent while the hand moves
const SETTLED = 1600; // ms after which what the server changed while the page was built is asked for
const MANY = 500; // dots above which they are smaller

const drawn = (name, attributes = {}) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const pairs = (bytes, kind) => {
  const flat = new kind(bytes.slice().buffer), made = [];
  for (let i = 0; i < flat.length; i += 2) made.push([flat[i], flat[i + 1]]);
  return made;
};

class Outlines {
  constructor(model, view) {
    this.model = model;
    this.own = [];
    this.kept = [];
    this.camera = null;
    this.edit = null; // { number, kind, ring, held } while an outline is changed
    this.hand = null; // { grip, start, from, moved } while it is pulled
    this.touched = -1; // the handle last touched: Delete removes it
    this.over = null;
    this.waiting = false;
    this.later = null;
    this.pointed = "";
    this.root = element("div", "outlines");
    this.canvas = element("canvas", "", "", { "aria-hidden": "true" });
    this.svg = drawn("svg", { "aria-hidden": "true" });
    this.hint = element("div", "hint", "", { role: "status" });
    this.root.append(this.canvas, this.svg, this.hint);
    this.unfollow = follow(view, model.figure, (camera) => { this.camera = camera; this.draw(); });
    this.listen();
  }

  // -- from the server --------------------------------------------------------------------------------------------------

  show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    const { own, kept, editing } = frame.header, parts = [...frame.pictures];
    this.own = own.map((one) => ({ ...one, ring: pairs(parts.shift(), Float64Array) }));
    this.kept = kept.map((one) => ({
      ...one, rings: Array.from({ length: one.outlines }, () => pairs(parts.shift(), Float64Array)), points: pairs(parts.shift(), Float32Array) }));
    this.open(editing);
    this.draw();
  }

  // The corners are taken once, when editing begins; then they are in the hand here.
  open(editing) {
    if (!editing) { if (this.edit) this.shut(); return; }
    if (this.edit?.number === editing.number) return;
    const shape = this.own.find((one) => String(one.path) === String(editing.path));
    if (!shape) return;
    if (!this.edit) window.dispatchEvent(new CustomEvent("skysieve:tool", { detail: "pan" }));
    this.edit = { number: editing.number, path: editing.path, kind: editing.kind, ring: shape.ring, held: [...editing.handles] };
    this.hand = null;
    this.touched = -1;
    this.waiting = false;
    document.documentElement.dataset.skysieve = "editing"; // Enter ends it, and opens nothing
    this.hint.textContent = "Drag a handle or the whole outline · click an edge to add a handle · Delete removes one · Enter ends";
  }

  shut() {
    this.edit = this.hand = this.over = null;
    delete document.documentElement.dataset.skysieve;
    this.hint.textContent = "";
    this.point("");
  }

  message(data) {
    if (data.type !== "shown") return;
    this.waiting = false;
    if (this.later) { const form = this.later; this.later = null; this.tell(form.final); }
  }

  send(message) { this.model.send_msg(message); }

  // Send the form, one at a time: the next goes when the members of the last are shown, the final one at once.
  tell(final) {
    const now = performance.now();
    if (!final && (this.waiting || now - (this.told ?? 0) < LIVE)) {
      this.later = { final };
      if (!this.waiting) { clearTimeout(this.timer); this.timer = setTimeout(() => { if (this.later && !this.waiting) { this.later = null; this.tell(false); } }, LIVE); }
      return;
    }
    if (!this.edit) return;
    clearTimeout(this.timer);
    this.later = null;
    this.waiting = true;
    this.told = now;
    this.send({ type: "move", kind: this.edit.kind, ring: this.edit.ring, final });
  }

  // -- drawing ----------------------------------------------------------------------------------------------------------

  seen(ring) { const { camera } = this; return ring.map(([x, y]) => [camera.x(x), camera.y(y)]); }

  draw() {
    if (!this.camera) return;
    this.drawDots();
    const parts = [];
    for (const one of this.kept) {
      one.rings.forEach((ring, k) => parts.push(...this.line(ring, one.takes[k] ? "kept takes" : "kept", one.colour)));
      parts.push(...this.name(one));
    }
    for (const one of this.own) {
      const edited = this.edit && String(one.path) === String(this.edit.path);
      parts.push(...this.line(edited ? this.edit.ring : one.ring, edited ? "own edited" : one.takes ? "own takes" : "own"));
    }
    if (this.edit) parts.push(...this.handles());
    this.svg.replaceChildren(...parts);
    this.root.dataset.own = this.own.length;
    this.root.dataset.kept = this.kept.map((one) => `${one.name}:${one.rings.length}:${one.points.length}`).join("|");
  }

  line(ring, name, colour = "") {
    const { width, height } = this.camera, d = clipped(this.seen(ring), -BEYOND, -BEYOND, width + BEYOND, height + BEYOND);
    if (!d) return [];
    const halo = drawn("path", { d, class: "halo" }), path = drawn("path", { d, class: name });
    if (colour) path.style.stroke = colour;
    return [halo, path];
  }

  // A kept selection is named once, over the highest corner that is seen.
  name({ name, colour, rings }) {
    const { width, height } = this.camera, seen = rings.flatMap((ring) => this.seen(ring));
    const top = seen.filter(([x, y]) => x > 0 && x < width && y > 0 && y < height).reduce((a, b) => (a && a[1] <= b[1] ? a : b), null);
    if (!top) return [];
    const words = drawn("text", { x: Math.max(4, Math.min(top[0], width - 8 * name.length)), y: Math.max(14, top[1] - 6), class: "name" });
    words.textContent = name;
    words.style.fill = colour;
    return [words];
  }

  handles() {
    return this.edit.held.map((corner) => {
      const [x, y] = this.seen([this.edit.ring[corner]])[0];
      const hot = this.over?.corner === corner || this.hand?.grip.corner === corner || this.touched === corner;
      return drawn("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: hot ? 6 : 4.5, class: hot ? "handle hot" : "handle" });
    });
  }

  drawDots() {
    const { camera, canvas } = this, ratio = window.devicePixelRatio || 1;
    const width = Math.round(camera.width * ratio), height = Math.round(camera.height * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    canvas.style.width = `${camera.width}px`;
    canvas.style.height = `${camera.height}px`;
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, camera.width, camera.height);
    const ground = getComputedStyle(this.root).getPropertyValue("--ground").trim() || "#000";
    for (const { points, colour } of this.kept) this.dots(pen, points, colour, ground);
  }

  dots(pen, points, colour, ground) {
    const { camera } = this;
    const seen = points.filter(([x, y]) => x >= camera.x0 && x <= camera.x1 && y >= camera.y0 && y <= camera.y1)
      .map(([x, y]) => [camera.x(x), camera.y(y)]);
    const radius = seen.length > MANY ? 1.6 : 2.4;
    for (const [reach, fill] of [[radius + 1, ground], [radius, colour || "#888"]]) {
      pen.fillStyle = fill;
      pen.beginPath();
      for (const [x, y] of seen) { pen.moveTo(x + reach, y); pen.arc(x, y, reach, 0, 2 * Math.PI); }
      pen.fill();
    }
  }

  // -- the hand: heard before the map, which goes on as ever where nothing of the outline is -----------------------------

  listen() {
    this.heard = [
      [window, "pointerdown", (event) => this.press(event)], [window, "pointermove", (event) => this.move(event)],
      [window, "pointerup", (event) => this.release(event)], [window, "pointercancel", (event) => this.release(event)],
      [window, "keydown", (event) => this.key(event)], [window, "skysieve:pointer", (event) => this.hover(event)],
    ];
    for (const [target, name, call] of this.heard) target.addEventListener(name, call, true);
  }

  hover(event) { if (event.detail.at) this.where = event.detail.figure; }

  position(event) {
    const box = this.root.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // Whether the pointer is over the map itself, and not over a button or a card.
  onMap(event) {
    const [x, y] = this.position(event), { camera } = this;
    if (!camera || x < 0 || y < 0 || x > camera.width || y > camera.height) return false;
    return event.composedPath().some((node) => node instanceof Element && node.classList.contains("bk-Canvas"));
  }

  grip(event) {
    if (!this.edit || !this.onMap(event)) return null;
    const [x, y] = this.position(event), seen = this.seen(this.edit.ring);
    let best = null, reach = GRASP;
    for (const corner of this.edit.held) {
      const distance = Math.hypot(seen[corner][0] - x, seen[corner][1] - y);
      if (distance <= reach) { best = { type: "handle", corner }; reach = distance; }
    }
    if (best) return best;
    const edge = nearest(seen, x, y);
    if (edge.distance <= EDGE) return { type: "edge", after: edge.after, at: edge.point };
    if (within(seen, x, y)) return { type: "inside" };
    const other = this.own.find((one) => String(one.path) !== String(this.edit.path) && nearest(this.seen(one.ring), x, y).distance <= EDGE);
    return other ? { type: "other", path: other.path } : null;
  }

  value([x, y]) {
    const { camera } = this;
    return [camera.x0 + (x / camera.width) * (camera.x1 - camera.x0), camera.y1 - (y / camera.height) * (camera.y1 - camera.y0)];
  }

  press(event) {
    if (event.button !== 0) return;
    let grip = this.grip(event);
    if (!grip) return;
    consume(event);
    if (grip.type === "other") { this.send({ type: "pick", path: grip.path }); return; }
    if (grip.type === "handle" && event.altKey) { this.remove(grip.corner); return; }
    if (grip.type === "edge") {
      const made = inserted(this.edit, grip.after, this.value(grip.at));
      Object.assign(this.edit, made);
      grip = { type: "handle", corner: grip.after + 1, fresh: true };
    }
    if (grip.type === "handle") this.touched = grip.corner;
    this.hand = { grip, start: { ring: this.edit.ring, held: this.edit.held, kind: this.edit.kind }, from: this.position(event), moved: Boolean(grip.fresh) };
    this.draw();
  }

  move(event) {
    if (!this.edit) return;
    if (!this.hand) {
      this.over = this.grip(event);
      this.point({ handle: "grab", edge: "copy", inside: "move", other: "pointer" }[this.over?.type] ?? "", event);
      if (this.over) event.stopImmediatePropagation();
      this.draw();
      return;
    }
    consume(event);
    const [x, y] = this.position(event), [fx, fy] = this.hand.from;
    if (!this.hand.moved && Math.hypot(x - fx, y - fy) < 2) return;
    this.hand.moved = true;
    const to = this.value([x, y]), from = this.value([fx, fy]);
    this.edit.ring = pulled(this.hand.start, this.hand.grip, to[0] - from[0], to[1] - from[1]);
    this.draw();
    this.tell(false);
  }

  release(event) {
    if (!this.hand) return;
    consume(event);
    const { moved } = this.hand;
    this.hand = null;
    if (moved) this.tell(true);
    this.draw();
  }

  remove(corner) {
    const made = removed(this.edit, corner);
    if (!made) return;
    Object.assign(this.edit, made);
    this.touched = -1;
    this.over = null;
    this.tell(true);
    this.draw();
  }

  point(cursor, event = null) {
    const target = event?.composedPath()[0];
    if (this.pointing && this.pointing !== target) this.pointing.style.cursor = "";
    this.pointing = cursor && target instanceof HTMLElement ? target : null;
    if (this.pointing) this.pointing.style.cursor = cursor;
  }

  key(event) {
    const field = event.composedPath()[0];
    const types = field instanceof HTMLElement && (field.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(field.tagName));
    if (types || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const key = event.key.toLowerCase(), here = (this.where ?? "skysieve-map") === this.model.figure;
    if (this.edit && ["enter", "escape", "e"].includes(key)) this.send({ type: "done" });
    else if (this.edit && ["delete", "backspace"].includes(key) && this.touched >= 0) this.remove(this.touched);
    else if (!this.edit && key === "e" && here && !event.shiftKey && !event.repeat) this.send({ type: "edit" });
    else return;
    consume(event);
  }

  destroy() {
    this.unfollow();
    clearTimeout(this.timer);
    if (this.edit) this.shut();
    for (const [target, name, call] of this.heard) target.removeEventListener(name, call, true);
  }
}

function consume(event) { event.preventDefault(); event.stopImmediatePropagation(); }

export function render({ model, view }) {
  const outlines = new Outlines(model, view);
  model.on("frame", () => outlines.show(model.frame));
  model.on("dark", () => requestAnimationFrame(() => outlines.draw()));
  model.on("msg:custom", (data) => outlines.message(data.data ?? data));
  model.on("remove", () => outlines.destroy());
  if (model.frame && model.frame.byteLength) outlines.show(model.frame);
  setTimeout(() => model.send_msg({ type: "ready" }), SETTLED);
  return outlines.root;
}
