// Names of clusters over the map: one button each, moved with the camera. Which have room is decided here, largest first,
// at every step; a click selects, a double click renames, and a drag or the wheel goes on to the map below.

const PAD = [9, 4]; // pixels kept free around a name, across and down
const ROOM = 22000; // pixels of the map a name needs, on average: more would be a list, not a map
const SMALLEST = 14; // pixels that a cluster must be wide to be spoken of, unless it is one of the FIRST
const FIRST = 6;
const LONGEST = 34; // letters of a name on the map; the rest is in its title
const EDGE = 6; // pixels from the edge of the map
const STEPS = [0, 1, -1, 2, -2]; // lines that a name may move up or down to find room
const LOOK = 400; // ms between two looks at what floats above the map
const FLOATING = ".top > *, .legend, .bar > *, .elsewhere, .note"; // of the other layers
const CALM = 100; // ms without a move
const DRAG = 4; // pixels that make a press a drag

class Names {
  constructor(model, view) {
    this.model = model;
    this.view = view;
    this.header = { items: [], places: [], number: 0 };
    this.items = [];
    this.nodes = new Map(); // code → its button
    this.near = new Map(); // code → where it is densest in the view
    this.camera = null;
    this.taken = { at: 0, boxes: [] };
    this.editing = null;
    this.moving = 0;
    this.pen = element("canvas").getContext("2d");
    this.root = element("div", "names");
    this.send = (message) => model.send_msg(message);
    this.menu = new ClusterMenu(this.root, this.send, (shown) => this.rename(shown));
    this.listen();
    this.unfollow = follow(view, model.figure, (camera) => { this.camera = camera; this.move(); });
  }

  // -- what comes from the server -------------------------------------------------------------------------------------

  show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    this.header = frame.header;
    this.near.clear();
    this.items = this.header.items.map((told, k) => ({ ...cluster(told), place: this.header.places[k] }));
    const codes = new Set(this.items.map((item) => item.code));
    for (const [code, node] of this.nodes) if (!codes.has(code)) { node.remove(); this.nodes.delete(code); }
    for (const item of this.items) this.fit(item);
    this.draw();
  }

  message(data) {
    if (data.type !== "near" || data.number !== this.header.number) return;
    this.near = new Map(data.places.map(([code, x, y]) => [code, [x, y]]));
    this.draw();
  }

  // How large a name is written, and how much room that takes.
  fit(item) {
    const share = item.count / (this.items[0]?.count || 1);
    item.size = share > 0.25 ? 14 : share > 0.05 ? 13 : 12;
    this.font ??= getComputedStyle(this.root).fontFamily;
    this.pen.font = `600 ${item.size}px ${this.font}`;
    item.shown = item.name.length > LONGEST ? `${item.name.slice(0, LONGEST - 1).trimEnd()}…` : item.name;
    item.width = this.pen.measureText(item.shown).width + (this.header.coloured ? 13 : 0);
    this.pen.font = `400 ${item.size - 2}px ${this.font}`;
    item.width += 6 + this.pen.measureText(brief(item.count)).width;
    item.height = item.size + 6;
    if (this.nodes.has(item.code)) this.fill(this.nodes.get(item.code), item);
  }

  fill(node, item) {
    node.style.fontSize = `${item.size}px`;
    const full = item.shown === item.name ? "" : `${item.name}\n`;
    node.title = `${full}${item.why ? `${item.why}\n` : ""}Click selects its ${grouped(item.count)} objects · double click renames · right click for more`;
    const dot = element("i");
    dot.style.background = item.colour;
    node.replaceChildren(...(this.header.coloured ? [dot] : []), element("b", "", item.shown),
      element("span", "count", brief(item.count)), element("span", "more", "⋯", { title: "More" }));
  }

  node(item) {
    let node = this.nodes.get(item.code);
    if (!node) {
      node = element("button", "name", "", { type: "button", tabindex: -1, "data-code": item.code });
      this.fill(node, item);
      this.nodes.set(item.code, node);
      this.root.append(node);
    }
    return node;
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  // Where a cluster's name would be: its own place, or the densest in view; null if neither is seen.
  spot(item, camera) {
    for (const place of [item.place, this.near.get(item.code)]) {
      if (!place || place[0] === null) continue;
      const x = camera.x(place[0]), y = camera.y(place[1]);
      if (x >= 0 && y >= 0 && x <= camera.width && y <= camera.height) return [x, y];
    }
    return null;
  }

  // Where there is room for a name at a place, or a line or two from it but no further than its cluster reaches.
  room(item, at, camera, taken, reach) {
    const half = item.width / 2, tall = item.height / 2, into = (value, low, high) => Math.max(low, Math.min(value, high));
    const x = into(at[0], half + EDGE, camera.width - half - EDGE);
    for (const step of STEPS) {
      const y = into(at[1] + step * (item.height + 2), tall + EDGE, camera.height - tall - EDGE);
      if (Math.abs(y - at[1]) > Math.max(item.height + 2, reach)) continue;
      const box = [x - half - PAD[0], y - tall - PAD[1], x + half + PAD[0], y + tall + PAD[1]];
      if (!taken.some((b) => b[0] < box[2] && box[0] < b[2] && b[1] < box[3] && box[1] < b[3])) return { x, y, box };
    }
    return null;
  }

  // Boxes of what floats above the map: a name under them could not be read.
  floating() {
    const now = performance.now();
    if (now - this.taken.at > LOOK) {
      const own = this.view.el.getBoundingClientRect(), boxes = [], map = this.view.el.parentNode;
      const parts = [...(map?.host?.parentNode?.querySelectorAll(".beside-choice") ?? [])];
      for (const host of map?.children ?? []) {
        if (host !== this.view.el) parts.push(...(host.shadowRoot?.querySelectorAll(FLOATING) ?? []));
      }
      for (const part of parts) {
        const box = part.getBoundingClientRect();
        if (box.width) boxes.push([box.left - own.left, box.top - own.top, box.right - own.left, box.bottom - own.top]);
      }
      this.taken = { at: now, boxes };
    }
    return this.taken.boxes;
  }

  // The camera has moved: names come at once, and fade in only when it rests. (The figure asks for styles at every step, and
  // transitions that run made that four times as long.)
  move() {
    this.moving = performance.now();
    this.draw();
  }

  draw() {
    const camera = this.camera;
    if (!camera) return;
    const taken = this.floating().map((box) => [...box]), unit = camera.width / (camera.x1 - camera.x0);
    const most = Math.max(3, Math.floor((camera.width * camera.height) / ROOM));
    let written = 0;
    const seen = new Set();
    for (const [rank, item] of this.items.entries()) {
      if (written >= most) break;
      if (rank >= FIRST && item.place[2] * unit < SMALLEST) continue;
      const at = this.spot(item, camera);
      if (!at) continue;
      const found = this.room(item, at, camera, taken, (item.place[2] * unit) / 2);
      if (!found) continue;
      const { x, y, box } = found;
      taken.push(box);
      seen.add(item.code);
      written += 1;
      const node = this.node(item);
      if (node !== this.editing) node.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px) translate(-50%, -50%)`;
    }
    const fades = performance.now() - this.moving > CALM && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (const [code, node] of this.nodes) {
      const shown = seen.has(code) || node === this.editing;
      if (shown === node.classList.contains("seen")) continue;
      node.classList.toggle("seen", shown);
      if (shown && fades) node.animate([{ opacity: 0 }, { opacity: 1 }], 150);
    }
  }

  // -- the pointer ----------------------------------------------------------------------------------------------------

  listen() {
    const { root } = this;
    const of = (event) => {
      const node = event.target.closest?.(".name");
      return node && node !== this.editing ? this.items.find((item) => item.code === Number(node.dataset.code)) : undefined;
    };
    let press = null;
    root.addEventListener("pointerdown", (event) => { if (of(event)) press = { event, x: event.clientX, y: event.clientY }; });
    this.moved = (event) => {
      if (!press || Math.hypot(event.clientX - press.x, event.clientY - press.y) < DRAG) return;
      const { event: first } = press;
      press = null;
      this.letThrough(first); // the map is dragged, or a lasso drawn, from here
    };
    this.raised = () => { press = null; root.classList.remove("through"); };
    document.addEventListener("pointermove", this.moved, true);
    document.addEventListener("pointerup", this.raised, true);
    document.addEventListener("pointercancel", this.raised, true);
    root.addEventListener("wheel", (event) => {
      if (!of(event)) return;
      event.preventDefault();
      this.below(event)?.dispatchEvent(new WheelEvent("wheel", event));
    }, { passive: false });
    root.addEventListener("click", (event) => {
      const item = of(event);
      if (!item) return;
      if (event.target.classList.contains("more")) this.more(item, event);
      else this.send({ type: "select", code: item.code });
    });
    root.addEventListener("dblclick", (event) => { const item = of(event); if (item) this.rename(item); });
    root.addEventListener("contextmenu", (event) => {
      const item = of(event);
      if (item) { event.preventDefault(); this.more(item, event); }
    });
  }

  more(item, event) { this.menu.open(item, this.header, event.clientX + 4, event.clientY + 4); }

  // What lies under the names at an event's place.
  below(event) {
    this.root.classList.add("through");
    let node = document.elementFromPoint(event.clientX, event.clientY);
    while (node?.shadowRoot) {
      const inner = node.shadowRoot.elementFromPoint(event.clientX, event.clientY);
      if (!inner || inner === node) break;
      node = inner;
    }
    this.root.classList.remove("through");
    return node;
  }

  letThrough(first) {
    const target = this.below(first);
    this.root.classList.add("through");
    const copied = ["pointerId", "pointerType", "isPrimary", "button", "buttons", "clientX", "clientY", "screenX", "screenY",
      "shiftKey", "ctrlKey", "altKey", "metaKey"];
    const init = Object.fromEntries(copied.map((name) => [name, first[name]]));
    target?.dispatchEvent(new PointerEvent("pointerdown", { ...init, bubbles: true, cancelable: true, composed: true }));
  }

  rename(shown) {
    const item = this.items.find((one) => one.code === shown.code), node = item && this.node(item);
    if (!node) return;
    this.editing = node;
    const field = nameField(item, (text) => {
      this.editing = null;
      if (text !== null) {
        item.name = text;
        this.send({ type: "rename", code: item.code, text });
      }
      this.fit(item);
      this.fill(node, item);
      this.draw();
    });
    field.style.width = `${Math.max(140, item.width + 24)}px`;
    node.replaceChildren(field);
  }

  destroy() {
    this.unfollow();
    this.menu.close();
    document.removeEventListener("pointermove", this.moved, true);
    document.removeEventListener("pointerup", this.raised, true);
    document.removeEventListener("pointercancel", this.raised, true);
  }
}

export function render({ model, view }) {
  const names = new Names(model, view);
  model.on("frame", () => names.show(model.frame));
  model.on("msg:custom", (data) => names.message(data.data ?? data));
  model.on("remove", () => names.destroy());
  if (model.frame && model.frame.byteLength) names.show(model.frame);
  return names.root;
}
