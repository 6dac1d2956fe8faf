// The curves of a hunt: found against labels given, precision and recall on unlabelled objects with 90 % bands, how many are left.
// Drawn as SVG, which is also what is saved.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 350, HIGH = 210, LEFT = 44, RIGHT = 10, TOP = 26, FOOT = 34;
const count = (n) => Math.round(n).toLocaleString("en");
const short = (n) => n >= 1e6 ? `${+(n / 1e6).toPrecision(2)}M` : n >= 1e4 ? `${+(n / 1e3).toPrecision(2)}k` : n.toLocaleString("en");

function shape(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

function ticks(most) {
  const raw = most / 4, power = 10 ** Math.floor(Math.log10(raw)), step = Math.max(1e-9, [1, 2, 5, 10].find((m) => m * power >= raw) * power);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, k) => k * step);
}

// One chart in a group: axes, a title, and functions from data to pixels.
class Chart {
  constructor(at, title, xTitle, yTitle, ink) {
    this.root = shape("g", { transform: `translate(${at[0]},${at[1]})` });
    this.ink = ink;
    this.root.append(shape("text", { x: 4, y: 14, fill: ink.text, "font-size": 12, "font-weight": 600 }, title),
      shape("text", { x: WIDE - RIGHT, y: HIGH - 4, fill: ink.muted, "font-size": 11, "text-anchor": "end" }, xTitle));
    this.yTitle = yTitle;
  }

  axes(xs, ys, x, y, percent) {
    this.x = x; this.y = y;
    for (const v of ys) {
      this.root.append(shape("line", { x1: LEFT, x2: WIDE - RIGHT, y1: y(v), y2: y(v), stroke: this.ink.line }),
        shape("text", { x: LEFT - 6, y: y(v) + 4, fill: this.ink.muted, "font-size": 11, "text-anchor": "end" }, percent ? `${Math.round(100 * v)} %` : short(v)));
    }
    for (const v of xs) this.root.append(shape("text", { x: x(v), y: HIGH - FOOT + 16, fill: this.ink.muted, "font-size": 11, "text-anchor": "middle" }, short(v)));
  }

  line(points, colour, dash = "") {
    const told = points.filter(([, v]) => v !== null);
    if (told.length) this.root.append(shape("polyline", { points: told.map(([a, b]) => `${this.x(a).toFixed(1)},${this.y(b).toFixed(1)}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }));
  }

  band(ranks, band, colour) {
    const told = ranks.map((r, k) => [r, band.low[k], band.high[k]]).filter(([, low]) => low !== null);
    const edge = (k) => told.map((p) => `${this.x(p[0]).toFixed(1)},${this.y(p[k]).toFixed(1)}`);
    if (told.length > 1) this.root.append(shape("polygon", { points: [...edge(1), ...edge(2).reverse()].join(" "), fill: colour, opacity: .18 }));
    this.line(ranks.map((r, k) => [r, band.value[k]]), colour);
  }

  key(entries) {
    let at = LEFT + 4;
    for (const [name, colour, dash] of entries) {
      this.root.append(shape("line", { x1: at, x2: at + 14, y1: TOP - 2, y2: TOP - 2, stroke: colour, "stroke-width": 2, "stroke-dasharray": dash ?? "" }),
        shape("text", { x: at + 18, y: TOP + 2, fill: this.ink.muted, "font-size": 10.5 }, name));
      at += 26 + 5.6 * name.length;
    }
  }
}

function found(said, ink) {
  const chart = new Chart([0, 0], "Found", "labels given", "", ink), n = said.labels, most = Math.max(1, said.yes);
  const x = (v) => LEFT + (WIDE - LEFT - RIGHT) * v / Math.max(n, 1), y = (v) => HIGH - FOOT - (HIGH - FOOT - TOP - 12) * v / most;
  chart.axes(ticks(n).filter(Number.isInteger), ticks(most).filter(Number.isInteger), x, y);
  const every = Math.max(1, Math.floor(n / 300));
  chart.line(said.found.map((v, k) => [k, v]).filter(([k]) => k % every === 0 || k === n), ink.yes);
  const entries = [["this hunt", ink.yes]];
  if (said.rate !== null) { chart.line([[0, 0], [n, Math.min(most, said.rate * n)]], ink.muted, "4 3"); entries.push(["expected in a random order", ink.muted, "4 3"]); }
  chart.key(entries);
  return chart.root;
}

function ranked(said, ink) {
  const chart = new Chart([WIDE + 10, 0], "On objects without a label", "highest ranked (log)", "", ink);
  if (!said.precision) {
    const words = said.yes < said.least.each || said.labels - said.yes < said.least.each ? `Too few labels: it takes ${said.least.each} yes and ${said.least.each} no.` : "For yes and no, and for ratings.";
    chart.root.append(shape("text", { x: WIDE / 2, y: HIGH / 2, fill: ink.muted, "font-size": 12, "text-anchor": "middle" }, words));
    return chart.root;
  }
  const last = Math.max(10, said.ranks.at(-1)), decades = Array.from({ length: Math.floor(Math.log10(last)) + 1 }, (_, k) => 10 ** k);
  const x = (v) => LEFT + (WIDE - LEFT - RIGHT) * Math.log10(v) / Math.log10(last), y = (v) => HIGH - FOOT - (HIGH - FOOT - TOP - 12) * v;
  chart.axes(decades, [0, .25, .5, .75, 1], x, y, true);
  chart.line(said.ranks.map((r, k) => [r, said.published[k]]), ink.muted, "2 3");
  chart.band(said.ranks, said.recall, ink.accent);
  chart.band(said.ranks, said.precision, ink.yes);
  const entries = [["precision", ink.yes], ["recall", ink.accent], ["published precision*", ink.muted, "2 3"]];
  if (said.precision_random) { chart.line(said.ranks.map((r, k) => [r, said.precision_random.value[k]]), ink.unsure, "6 3"); entries.splice(1, 0, ["by random", ink.unsure, "6 3"]); }
  chart.key(entries);
  return chart.root;
}

function drawn(said, ink) {
  const root = shape("svg", { xmlns: SVG, viewBox: `0 0 ${2 * WIDE + 10} ${HIGH}`, width: "100%", "font-family": "sans-serif", role: "img", "aria-label": "Curves of the hunt" });
  root.append(found(said, ink), ranked(said, ink));
  return root;
}

function colours(root) {
  const of = (name) => getComputedStyle(root).getPropertyValue(`--c-${name}`).trim();
  return Object.fromEntries(["text", "muted", "line", "accent", "yes", "unsure", "panel"].map((name) => [name, of(name)]));
}

function save(blob, name) {
  const link = element("a", "", "", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function picture(svg, ink, done) {
  const image = new Image(), canvas = element("canvas");
  canvas.width = 2 * (2 * WIDE + 10); canvas.height = 2 * HIGH;
  image.onload = () => {
    const pen = canvas.getContext("2d");
    pen.fillStyle = ink.panel;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(done);
  };
  image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
}

const source = (svg) => {
  const copy = svg.cloneNode(true);
  copy.setAttribute("width", 2 * WIDE + 10); copy.setAttribute("height", HIGH);
  return new XMLSerializer().serializeToString(copy);
};

function saving(root, said, svg) {
  const name = `${said.target.replace(/[^\w-]+/g, "_")}-curves`;
  return [
    button("save", "SVG", "Save the curves as SVG", () => save(new Blob([source(svg)], { type: "image/svg+xml" }), `${name}.svg`)),
    button("save", "PNG", "Save the curves as PNG", () => picture(source(svg), colours(root), (blob) => save(blob, `${name}.png`))),
    button("save", "CSV", "Save what is drawn as CSV", () => save(new Blob([said.table], { type: "text/csv" }), `${name}.csv`)),
  ];
}

export function render({ model }) {
  const root = element("section", "curves", "", { "aria-label": "How the hunt goes" });
  root.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); model.send_msg({ type: "close" }); } });
  const show = () => {
    root.dataset.theme = model.dark ? "dark" : "light";
    const said = model.frame && parse(model.frame)?.header;
    const head = element("header"), title = element("h3", "", said ? `How the hunt for ‘${said.target}’ goes` : "How the hunt goes");
    head.append(title, element("span", "space"));
    const close = button("close", "×", "Close the curves (Esc)", () => model.send_msg({ type: "close" }));
    if (said?.state !== "told") {
      head.append(close);
      root.replaceChildren(head, element("p", "", said?.words?.[0] ?? "Measuring …"));
      return;
    }
    root.replaceChildren(head);
    const svg = drawn(said, colours(root));
    head.append(...saving(root, said, svg), close);
    const words = element("div", "told");
    for (const sentence of said.words) words.append(element("p", "", sentence));
    root.append(svg, words, element("p", "note", said.published ? "* counts the objects that are labelled already, as papers quote it; bands hold 90 % of bootstraps of the labels." : ""));
  };
  model.on("frame", show);
  model.on("dark", () => requestAnimationFrame(show));
  requestAnimationFrame(show);
  show();
  return root;
}
