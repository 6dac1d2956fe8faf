// Thumbnails over the map: one canvas, drawn at every step of a pan or zoom from bitmaps that are kept here, and a list of
// what it shows for who cannot see it. Where each lies is the same arithmetic as `app.map.portraits.Gathered.boxes`.

const FADE = 150; // ms in which a picture appears, goes, or moves to its new place
const PATIENCE = 3000; // ms after which pictures that have not come are asked for once more
const ROUND = 0.05; // radius of the corners, as a share of the side

const eased = (t) => (t >= 1 ? 1 : 1 - (1 - t) ** 3);
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

class Portraits {
  constructor(model, view) {
    this.model = model;
    this.bitmaps = new Map(); // row → {bitmap (null: unreadable), epoch}
    this.items = new Map(); // row → what is drawn
    this.header = { rows: [], number: 0, epoch: 0 };
    this.members = this.tints = null;
    this.camera = null;
    this.asked = 0;
    this.root = element("div", "portraits");
    this.canvas = element("canvas", "", "", { "aria-hidden": "true" });
    this.list = element("ul", "list", "", { "aria-label": "Galaxies on the map" });
    this.words = element("div", "words", "", { role: "status" });
    this.root.append(this.canvas, this.list, this.words);
    this.colours = null;
    this.unfollow = follow(view, model.figure, (camera) => { this.camera = camera; this.draw(); });
  }

  // -- what comes from the server -------------------------------------------------------------------------------------

  show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    const header = this.header = frame.header, now = performance.now();
    const { rows, drop } = header; // members and tints of those that stay hold until the new ones are there
    const shown = new Set(rows);
    for (const row of drop) if (!shown.has(row)) this.forget(row);
    for (const [row, item] of this.items) if (!shown.has(row) && !item.leaving) this.leave(item, now);
    rows.forEach((row, k) => {
      const place = { x: header.xy[k][0], y: header.xy[k][1], column: header.cells[k][0], line: header.cells[k][1] };
      const old = this.items.get(row);
      if (old) Object.assign(old, place, { from: old.box, moved: now, leaving: 0 });
      else this.items.set(row, { row, ...place, from: null, moved: 0, box: null, born: 0, leaving: 0 });
    });
    this.drawList();
    this.awaitPictures();
    this.again();
  }

  leave(item, now) {
    if (item.born) item.leaving = now;
    else this.items.delete(item.row);
  }

  async take(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    const { rows, epoch } = frame.header;
    const made = await Promise.all(frame.pictures.map((bytes) => (bytes.length ? decoded(bytes) : null)));
    rows.forEach((row, k) => {
      const old = this.bitmaps.get(row);
      if (old && old.epoch > epoch) { made[k]?.close(); return; }
      old?.bitmap?.close();
      this.bitmaps.set(row, { bitmap: made[k], epoch });
    });
    for (const [row, entry] of this.bitmaps) { // drawn under another stretch, and not to be seen: not to be kept
      if (entry.epoch < epoch && !this.items.has(row)) this.forget(row);
    }
    this.again();
  }

  forget(row) {
    this.bitmaps.get(row)?.bitmap?.close();
    this.bitmaps.delete(row);
  }

  // Pictures can be lost with a page that was drawn anew: ask again for what does not come.
  awaitPictures() {
    clearTimeout(this.patience);
    const { number, rows } = this.header;
    if (rows.every((row) => this.bitmaps.has(row))) return;
    this.patience = setTimeout(() => {
      if (number === this.header.number && !rows.some((row) => this.bitmaps.has(row))) this.model.send_msg({ type: "again" });
    }, PATIENCE);
  }

  mark(marks) {
    if (marks.number !== this.header.number) return;
    Object.assign(this.header, { codes: marks.codes, selecting: marks.selecting });
    if (!marks.selecting) this.members = null;
    this.drawList();
    this.again();
  }

  message(data) {
    if (data.type !== "marked" || data.number !== this.header.number) return;
    this.members = data.members && new Set(this.header.rows.filter((row, k) => data.members[k]));
    this.tints = data.tints && new Map(this.header.rows.map((row, k) => [row, data.tints[k]]));
    this.drawList();
    this.again();
  }

  theme() { this.colours = null; this.again(); }

  // -- drawing --------------------------------------------------------------------------------------------------------

  again() {
    if (this.asked || !this.camera) return;
    this.asked = requestAnimationFrame(() => { this.asked = 0; this.draw(); });
  }

  palette() {
    const style = getComputedStyle(this.root);
    const read = (name) => style.getPropertyValue(name).trim() || "#888";
    return { line: read("--line"), text: read("--text"), ground: read("--ground"), accent: read("--accent"),
      verdicts: ["", read("--yes"), read("--no"), read("--unsure"), read("--muted")] };
  }

  // Where a picture lies: over its object, inside its cell.
  target(item, camera) {
    const { lower, side: across, largest, share, space } = this.header;
    const cell = (across / (camera.x1 - camera.x0)) * camera.width;
    const side = Math.min(share * cell, largest);
    const left = camera.x(lower[0] + across * item.column), bottom = camera.y(lower[1] + across * item.line);
    const inside = (at, low, high) => Math.max(low, Math.min(at, Math.max(high, low)));
    return { left: inside(camera.x(item.x) - side / 2, left + space, left + cell - space - side),
      top: inside(camera.y(item.y) - side / 2, bottom - cell + space, bottom - space - side), side };
  }

  // The same on its way from where it was: the way is kept relative to the object, so that it goes on under a moving map.
  boxOf(item, camera, now) {
    const x = camera.x(item.x), y = camera.y(item.y);
    if (item.leaving && item.box) return { left: x + item.box.left, top: y + item.box.top, side: item.box.side, x, y };
    const to = this.target(item, camera), t = item.from && !still() ? eased((now - item.moved) / FADE) : 1;
    const offset = { left: to.left - x, top: to.top - y, side: to.side };
    if (t < 1) for (const name of ["left", "top", "side"]) offset[name] = item.from[name] + t * (offset[name] - item.from[name]);
    else item.from = null;
    item.box = offset;
    return { left: x + offset.left, top: y + offset.top, side: offset.side, x, y };
  }

  draw() {
    const camera = this.camera, ratio = window.devicePixelRatio || 1, { canvas } = this;
    const width = Math.round(camera.width * ratio), height = Math.round(camera.height * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    canvas.style.width = `${camera.width}px`;
    canvas.style.height = `${camera.height}px`;
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, camera.width, camera.height);
    this.colours ??= this.palette();
    const now = performance.now(), calm = still();
    let moving = false;
    const last = [];
    const codes = new Map(this.header.rows.map((row, k) => [row, this.header.codes[k]]));
    for (const item of this.items.values()) {
      const bitmap = this.bitmaps.get(item.row)?.bitmap;
      if (!bitmap) continue;
      if (!item.born) item.born = now;
      const alpha = calm ? (item.leaving ? 0 : 1) : Math.min(1, (now - item.born) / FADE) * (item.leaving ? 1 - (now - item.leaving) / FADE : 1);
      if (item.leaving && alpha <= 0) { this.items.delete(item.row); continue; }
      const box = this.boxOf(item, camera, now);
      moving ||= alpha < 1 || item.from !== null || item.leaving > 0;
      const ringed = item.row === this.model.cursor || item.row === this.model.hovered;
      const one = { item, bitmap, box, alpha, code: codes.get(item.row) ?? 0 };
      if (ringed) last.push(one); // over its neighbours
      else this.portrait(pen, one);
    }
    for (const one of last) this.portrait(pen, one);
    if (moving) this.again();
    else this.note(camera);
  }

  portrait(pen, { item, bitmap, box, alpha, code }) {
    const { left, top, side } = box, { colours } = this;
    if (left > this.camera.width || top > this.camera.height || left + side < 0 || top + side < 0) return;
    const aside = this.header.selecting && this.members !== null && !this.members.has(item.row);
    pen.globalAlpha = Math.max(0, alpha) * (aside ? 0.3 : 1);
    pen.drawImage(bitmap, left, top, side, side);
    const stroke = (colour, thick, out) => {
      pen.strokeStyle = colour;
      pen.lineWidth = thick;
      pen.beginPath();
      pen.roundRect(left - out, top - out, side + 2 * out, side + 2 * out, Math.max(0, ROUND * side + out));
      pen.stroke();
    };
    if (code) stroke(colours.verdicts[code], 2, -1);
    else if (this.members?.has(item.row)) stroke(colours.accent, 1.5, -0.75);
    else if (this.tints?.has(item.row)) stroke(this.tints.get(item.row), 1.5, -0.75);
    else stroke(colours.line, 1, -0.5);
    pen.globalAlpha = 1;
    if (item.row === this.model.cursor) { stroke(colours.ground, 2, 1); stroke(colours.text, 2, 2.5); }
    else if (item.row === this.model.hovered) stroke(colours.text, 1.5, 0.75);
    if (item.row === this.model.hovered) this.spot(pen, box);
  }

  // Where the object itself is, under its picture.
  spot(pen, { x, y }) {
    for (const [colour, thick] of [[this.colours.ground, 3], [this.colours.text, 1.5]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = thick;
      pen.beginPath();
      pen.arc(x, y, 4, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  // -- in words -------------------------------------------------------------------------------------------------------

  drawList() {
    const { rows, ids, codes } = this.header;
    this.list.replaceChildren(...rows.map((row, k) => {
      const words = [ids[k], VERDICTS[codes[k]], this.members?.has(row) ? "selected" : ""].filter(Boolean).join(", ");
      return element("li", "", words, { "data-row": row });
    }));
    this.note(null);
  }

  // When nothing moves: what is seen, and where, for tests and for who asks the page.
  note(camera) {
    const seen = camera === null ? [] : [...this.items.values()].filter((item) => item.box && this.bitmaps.get(item.row)?.bitmap);
    const boxes = new Map(seen.map((item) => [String(item.row),
      [camera.x(item.x) + item.box.left, camera.y(item.y) + item.box.top, item.box.side].map((v) => v.toFixed(2)).join(" ")]));
    for (const line of this.list.children) {
      const box = boxes.get(line.dataset.row);
      if (box) line.dataset.box = box;
      else delete line.dataset.box;
    }
  }

  destroy() {
    this.unfollow();
    cancelAnimationFrame(this.asked);
    clearTimeout(this.patience);
    for (const row of [...this.bitmaps.keys()]) this.forget(row);
  }
}

// A picture with round corners, at least as fine as it is drawn.
async function decoded(bytes) {
  let plain = null;
  try { plain = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" })); } catch { return null; }
  const side = Math.max(96, plain.width, plain.height);
  const paper = new OffscreenCanvas(side, side), pen = paper.getContext("2d");
  pen.beginPath();
  pen.roundRect(0, 0, side, side, ROUND * side);
  pen.clip();
  pen.imageSmoothingEnabled = 2 * plain.width > side;
  pen.drawImage(plain, 0, 0, side, side);
  plain.close();
  return paper.transferToImageBitmap();
}

export function render({ model, view }) {
  const portraits = new Portraits(model, view);
  const say = () => { portraits.words.textContent = model.words; };
  model.on("frame", () => portraits.show(model.frame));
  model.on("pictures", () => portraits.take(model.pictures));
  model.on("marks", () => portraits.mark(model.marks));
  model.on("words", say);
  for (const name of ["cursor", "hovered"]) model.on(name, () => portraits.again());
  model.on("dark", () => requestAnimationFrame(() => portraits.theme()));
  model.on("msg:custom", (data) => portraits.message(data.data ?? data));
  model.on("remove", () => portraits.destroy());
  say();
  if (model.frame && model.frame.byteLength) { portraits.show(model.frame); portraits.take(model.pictures); }
  return portraits.root;
}
