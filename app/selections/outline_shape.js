// An outline as it is changed by hand: its corners, those among them that can be grasped, and what a pull does to the others.
// Nothing here knows of the page: positions are [x, y] in any unit.

// Where a pull begins: `grip` says what is held ("handle", "inside"), of a ring with `held` corners (indices, ascending).
function pulled(start, grip, dx, dy) {
  const { ring, held, kind } = start;
  if (grip.type === "inside") return ring.map(([x, y]) => [x + dx, y + dy]);
  if (kind === "box") return boxed(ring, grip.corner, dx, dy);
  const made = ring.map((corner) => corner.slice());
  const place = held.indexOf(grip.corner), count = ring.length;
  made[grip.corner] = [ring[grip.corner][0] + dx, ring[grip.corner][1] + dy];
  for (const step of [-1, 1]) { // the corners on either side follow, less and less towards the next one held
    const stop = held[(place + step + held.length) % held.length], way = between(grip.corner, stop, step, count);
    const lengths = [0];
    let last = ring[grip.corner];
    for (const index of [...way, stop]) {
      lengths.push(lengths.at(-1) + Math.hypot(ring[index][0] - last[0], ring[index][1] - last[1]));
      last = ring[index];
    }
    way.forEach((index, k) => {
      const share = lengths.at(-1) > 0 ? 1 - lengths[k + 1] / lengths.at(-1) : 0;
      made[index] = [ring[index][0] + share * dx, ring[index][1] + share * dy];
    });
  }
  return made;
}

// A box with one corner moved: the opposite one stays. Corners go round, so that neighbours share one coordinate.
function boxed(ring, corner, dx, dy) {
  const made = ring.map((c) => c.slice()), [x, y] = [ring[corner][0] + dx, ring[corner][1] + dy];
  const across = (corner + 2) % 4, [ox, oy] = ring[across], even = corner % 2 === 0;
  made[corner] = [x, y];
  made[(corner + 1) % 4] = even ? [ox, y] : [x, oy];
  made[(corner + 3) % 4] = even ? [x, oy] : [ox, y];
  return made;
}

// Corners strictly between two, going one way round.
function between(from, to, step, count) {
  const found = [];
  for (let i = (from + step + count) % count; i !== to && i !== from; i = (i + step + count) % count) found.push(i);
  return found;
}

// The shape with one more corner to hold, on the edge behind corner `after`.
function inserted({ ring, held }, after, point) {
  const at = after + 1;
  return { kind: "polygon", ring: [...ring.slice(0, at), point, ...ring.slice(at)],
    held: [...held.map((h) => (h >= at ? h + 1 : h)), at].sort((a, b) => a - b) };
}

// The shape without a corner that was held: a straight line takes its place. Null where a triangle is all there is.
function removed({ ring, held }, corner) {
  if (held.length <= 3) return null;
  const place = held.indexOf(corner), count = ring.length;
  const next = (step) => held[(place + step + held.length) % held.length];
  const gone = new Set([corner, ...between(corner, next(-1), -1, count), ...between(corner, next(1), 1, count)]);
  const kept = ring.map((_, index) => index).filter((index) => !gone.has(index));
  const place_of = new Map(kept.map((index, k) => [index, k]));
  return { kind: "polygon", ring: kept.map((index) => ring[index]),
    held: held.filter((h) => h !== corner).map((h) => place_of.get(h)) };
}

// Whether a point is inside, by the even-odd rule.
function within(ring, x, y) {
  let inside = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [ax, ay] = ring[i], [bx, by] = ring[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

// The nearest point of an outline: { distance, after, point }.
function nearest(ring, x, y) {
  let best = { distance: Infinity, after: -1, point: null };
  ring.forEach(([ax, ay], after) => {
    const [bx, by] = ring[(after + 1) % ring.length], dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
    const t = length > 0 ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
    const point = [ax + t * dx, ay + t * dy], distance = Math.hypot(x - point[0], y - point[1]);
    if (distance < best.distance) best = { distance, after, point };
  });
  return best;
}

// What a box of the screen lets see of a closed outline, as the data of an SVG path: far corners would be drawn for ever.
function clipped(ring, left, top, right, bottom) {
  let path = "", at = null;
  for (let i = 0; i < ring.length; i++) {
    const cut = segment(ring[i], ring[(i + 1) % ring.length], left, top, right, bottom);
    if (!cut) { at = null; continue; }
    const [a, b] = cut.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`);
    path += at === a ? `L${b}` : `M${a}L${b}`;
    at = b;
  }
  return path;
}

// The part of a line inside a box (Liang and Barsky), or null.
function segment([ax, ay], [bx, by], left, top, right, bottom) {
  const dx = bx - ax, dy = by - ay;
  let from = 0, to = 1;
  for (const [p, q] of [[-dx, ax - left], [dx, right - ax], [-dy, ay - top], [dy, bottom - ay]]) {
    if (p === 0) { if (q < 0) return null; continue; }
    const t = q / p;
    if (p < 0) from = Math.max(from, t);
    else to = Math.min(to, t);
    if (from > to) return null;
  }
  return [[ax + from * dx, ay + from * dy], [ax + to * dx, ay + to * dy]];
}
