// Draws one view of an object on a canvas: the picture, hatching where nothing is known, and marks at fixed places.
// All views share one geometry, pixels of the cutout counted from the outer edge of its first, so that bands lie exactly on
// one another when they blink.

const CRISP = 2; // enlarged more than this, pixels are shown as they are instead of being blurred
const LONGEST = 240; // px of the scale bar
const MARK = "#62e0ff", HALO = "rgba(0, 0, 0, .75)";

let hatching = null;
function hatch(context) {
  if (!hatching) {
    hatching = document.createElement("canvas");
    hatching.width = hatching.height = 12;
    const ink = hatching.getContext("2d");
    ink.fillStyle = "#11151d";
    ink.fillRect(0, 0, 12, 12);
    ink.strokeStyle = "#2a3240";
    ink.lineWidth = 4;
    for (const shift of [-12, 0, 12]) {
      ink.beginPath();
      ink.moveTo(shift - 2, 14);
      ink.lineTo(shift + 14, -2);
      ink.stroke();
    }
  }
  return context.createPattern(hatching, "repeat");
}

// The camera that shows all of an extent: its middle, and screen pixels a pixel of the cutout.
function fit(canvas, [left, top, width, height]) {
  return { x: left + width / 2, y: top + height / 2, scale: Math.min(canvas.clientWidth / width, canvas.clientHeight / height) };
}

// Pixel coordinates (outer edge 0) under a point of the screen.
function under(canvas, camera, event) {
  const box = canvas.getBoundingClientRect();
  return [camera.x + (event.clientX - box.left - box.width / 2) / camera.scale,
    camera.y + (event.clientY - box.top - box.height / 2) / camera.scale];
}

// The inverse: where on the canvas, in CSS pixels.
function onto(canvas, camera, x, y) {
  return [canvas.clientWidth / 2 + (x - camera.x) * camera.scale, canvas.clientHeight / 2 + (y - camera.y) * camera.scale];
}

function paint(canvas, view, camera) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return null;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  const [left, top, wide, high] = view.extent;
  const scale = camera.scale * ratio;
  const x0 = Math.round(width / 2 + (left - camera.x) * scale), y0 = Math.round(height / 2 + (top - camera.y) * scale);
  const w = Math.max(1, Math.round(wide * scale)), h = Math.max(1, Math.round(high * scale));
  context.fillStyle = hatch(context);
  context.fillRect(x0, y0, w, h);
  if (view.bitmap) {
    const enlarged = w / view.bitmap.width;
    context.imageSmoothingEnabled = enlarged <= CRISP || view.rough === true;
    context.imageSmoothingQuality = "high";
    context.drawImage(view.bitmap, x0, y0, w, h);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

// Light over dark, so that it is seen on any picture.
function trace(context, draw, width = 1.25) {
  context.lineCap = "butt";
  for (const [colour, wide] of [[HALO, width + 2], [MARK, width]]) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.beginPath();
    draw(context);
    context.stroke();
  }
}

// Four arms that leave the middle open.
function drawCrosshair(context, canvas, camera, [px, py]) {
  const [x, y] = onto(canvas, camera, px + 0.5, py + 0.5).map((v) => Math.round(v) + 0.5); // a sharp line
  const size = Math.min(canvas.clientWidth, canvas.clientHeight);
  const gap = Math.max(7, 0.11 * size), arm = Math.max(6, 0.12 * size);
  trace(context, (c) => {
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      c.moveTo(x + dx * gap, y + dy * gap);
      c.lineTo(x + dx * (gap + arm), y + dy * (gap + arm));
    }
  }, size > 150 ? 1.5 : 1);
}

// The cutout's own outline in a view of what lies around it.
function drawOutline(context, canvas, camera, [left, top, width, height]) {
  const [x0, y0] = onto(canvas, camera, left, top);
  const [x1, y1] = onto(canvas, camera, left + width, top + height);
  context.setLineDash([5, 3]);
  trace(context, (c) => c.rect(x0, y0, x1 - x0, y1 - y0), 1);
  context.setLineDash([]);
}

function write(context, text, x, y, align) {
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = HALO;
  context.strokeText(text, x, y);
  context.fillStyle = "#f2f5f9";
  context.fillText(text, x, y);
}

// A round length of sky; `scale` in arcsec a pixel.
function drawBar(context, canvas, camera, scale) {
  const length = round(Math.min(canvas.clientWidth / 3, LONGEST) / camera.scale * scale);
  const long = length / scale * camera.scale, x = 10, y = canvas.clientHeight - 10;
  trace(context, (c) => { c.moveTo(x, y); c.lineTo(x + long, y); }, 2);
  write(context, length >= 60 ? `${+(length / 60).toPrecision(3)}′` : `${+length.toPrecision(3)}″`, x + long / 2, y - 10, "center");
}

// Where north and east are.
function drawCompass(context, canvas, sky) {
  const [e, n] = [1, 2].map((k) => [sky.east[k], sky.north[k]]); // of a step in x, of a step in y
  const turn = e[0] * n[1] - e[1] * n[0];
  const towards = (east, north) => {
    const x = (east * n[1] - north * n[0]) / turn, y = (north * e[0] - east * e[1]) / turn, long = Math.hypot(x, y);
    return [x / long, y / long];
  };
  const reach = 20, inset = 34, x = canvas.clientWidth - inset, y = canvas.clientHeight - inset;
  for (const [name, [dx, dy]] of [["N", towards(0, 1)], ["E", towards(1, 0)]]) {
    trace(context, (c) => { c.moveTo(x, y); c.lineTo(x + dx * reach * 0.75, y + dy * reach * 0.75); }, 1.5);
    write(context, name, x + dx * (reach + 4), y + dy * (reach + 4), "center");
  }
}
