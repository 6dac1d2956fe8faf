// Curves over steps or time as SVG, with axes and what the pointer reads off.

function svg(tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

// Curves over steps or time, drawn as they are; the pointer reads them off.
class Chart {
  constructor(title) {
    this.root = element("figure", "chart");
    this.head = element("figcaption", "");
    this.title = element("b", "", title);
    this.read = element("span", "read");
    this.head.append(this.title, this.read);
    this.svg = svg("svg", { role: "img" });
    this.none = element("p", "none");
    this.root.append(this.head, this.svg, this.none);
    this.series = [];
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => { this.at = null; this.mark(); });
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  show(series, { unit, log = false, none = "" }) {
    Object.assign(this, { series: series.filter((s) => s.x.length), unit, log, words: none });
    this.draw();
  }

  draw() {
    const width = this.root.clientWidth, height = this.svg.clientHeight;
    this.none.textContent = this.series.length ? "" : this.words ?? "";
    if (!width || height < 40) return;
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (!this.series.length) return;
    const value = (y) => this.log ? Math.log10(Math.max(y, 1e-12)) : y;
    const xs = this.series.flatMap((s) => [s.x[0], s.x[s.x.length - 1]]);
    let low = Infinity, high = -Infinity;
    for (const s of this.series) for (const y of s.y) { const v = value(y); if (v < low) low = v; if (v > high) high = v; }
    if (high - low < 1e-9) { low -= Math.abs(low) * 0.05 + 0.01; high += Math.abs(high) * 0.05 + 0.01; }
    const room = (high - low) * 0.06, left = 46, right = 10, top = 8, bottom = 22;
    [low, high] = [low - room, high + room];
    const x0 = Math.min(...xs, 0), x1 = Math.max(...xs, x0 + 1e-9);
    this.px = (x) => left + (width - left - right) * (x - x0) / (x1 - x0 || 1);
    this.py = (y) => top + (height - top - bottom) * (1 - (value(y) - low) / (high - low));
    const text = (x, y, words, anchor) => {
      const made = svg("text", { x, y, "text-anchor": anchor });
      made.textContent = words;
      this.svg.append(made);
    };
    for (const tick of ticks(low, high, Math.max(3, height / 45))) {
      const y = top + (height - top - bottom) * (1 - (tick - low) / (high - low));
      this.svg.append(svg("line", { x1: left, x2: width - right, y1: y, y2: y, class: "rule" }));
      text(left - 6, y + 4, number(this.log ? 10 ** tick : tick), "end");
    }
    for (const tick of ticks(x0, x1, Math.max(2, width / 130))) {
      if (this.px(tick) > width - right - 30 && tick !== 0) continue;
      text(this.px(tick), height - 6, number(tick, 4), "middle");
    }
    text(width - right, height - 6, this.unit, "end");
    for (const s of [...this.series].sort((a, b) => Boolean(a.focus) - Boolean(b.focus))) {
      const d = s.x.map((x, k) => `${k ? "L" : "M"}${this.px(x).toFixed(1)} ${this.py(s.y[k]).toFixed(1)}`).join("");
      this.svg.append(svg("path", { d, style: `stroke: ${s.colour}`, class: s.focus ? "curve focus" : "curve" }));
      if (s.dots || s.x.length === 1) for (let k = 0; k < s.x.length; k++) {
        this.svg.append(svg("circle", { cx: this.px(s.x[k]), cy: this.py(s.y[k]), r: 2.5, style: `fill: ${s.colour}` }));
      }
    }
    this.cross = svg("line", { y1: top, y2: height - bottom, class: "cross", visibility: "hidden" });
    this.svg.append(this.cross);
    this.mark();
  }

  point(event) {
    if (!this.series.length || !this.px) return;
    const box = this.svg.getBoundingClientRect(), at = event.clientX - box.left;
    const main = this.series.find((s) => s.focus) ?? this.series[0];
    let best = 0;
    main.x.forEach((x, k) => { if (Math.abs(this.px(x) - at) < Math.abs(this.px(main.x[best]) - at)) best = k; });
    this.at = main.x[best];
    this.mark();
  }

  mark() {
    if (this.at == null || !this.cross) { this.read.replaceChildren(); this.cross?.setAttribute("visibility", "hidden"); return; }
    const x = this.px(this.at);
    this.cross.setAttribute("x1", x); this.cross.setAttribute("x2", x); this.cross.setAttribute("visibility", "visible");
    this.read.replaceChildren(element("i", "", `${number(this.at, 4)} ${this.unit}`), ...this.series.slice(0, 5).map((s) => {
      let best = 0;
      s.x.forEach((v, k) => { if (Math.abs(v - this.at) < Math.abs(s.x[best] - this.at)) best = k; });
      const made = element("em", "", number(s.y[best]));
      made.style.color = s.colour;
      made.title = s.name;
      return made;
    }));
  }
}
