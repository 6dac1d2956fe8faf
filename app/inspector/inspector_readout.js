// What lies under the pointer: the pixel, where it is on the sky, and its value in every band; of the object itself while the
// pointer is elsewhere. All of it is in the message with the object's numbers (app/inspector/subject.py).

class Readout {
  constructor() { this.root = element("div", "readout", "", { role: "status", "aria-live": "off" }); }

  // Pixel, position and values; of the object itself while the pointer is elsewhere.
  show(header, numbers, pixel = null) {
    this.root.hidden = !header || Boolean(header.problem);
    if (this.root.hidden) return;
    this.numbers = numbers;
    const { width, height, missing } = header;
    const lost = missing > 0 ? ` · ${missing < 0.001 ? "<0.1" : (100 * missing).toFixed(1)} % missing` : "";
    const size = element("span", "muted", `${width} × ${height} px${numbers?.scale ? ` of ${+numbers.scale.toPrecision(3)}″` : ""}${unitOf(numbers)}${lost}`);
    const first = element("div", "line");
    const lines = [first];
    if (numbers) {
      const [x, y] = pixel ?? numbers.place;
      const at = [x, y].map((v) => minus(String(Math.floor(v + 0.5 + 1e-6)))); // halves up, whatever their last digit
      first.append(element("b", "", pixel ? `x ${at[0]}, y ${at[1]}` : `object at x ${at[0]}, y ${at[1]}`));
      if (pixel) first.append(element("span", "off", `${this.offset(x, y)} off`, { title: "Distance from the object" }));
      if (numbers.sky) lines.push(this.position(x, y));
      lines.push(this.values(Math.round(x), Math.round(y)));
      if (numbers.block > 1) lines.push(line("hint muted", `Values are means of ${numbers.block}×${numbers.block} pixels.`));
    }
    first.append(size);
    this.root.replaceChildren(...lines);
  }

  // Distance from the object, as text.
  offset(x, y) {
    const { sky, scale, place } = this.numbers;
    if (!sky) return scale ? angle(Math.hypot(x - place[0], y - place[1]) * scale) : `${Math.hypot(x - place[0], y - place[1]).toFixed(1)} px`;
    const here = planeOf(sky, x, y), there = planeOf(sky, ...place);
    return angle(Math.hypot(here[0] - there[0], here[1] - there[1]));
  }

  position(x, y) {
    const [ra, dec] = skyOf(this.numbers.sky, x, y);
    const made = line("sky", sexagesimal(ra, dec).join("  "));
    made.append(element("span", "muted", `${ra.toFixed(6)}°  ${dec < 0 ? "−" : "+"}${Math.abs(dec).toFixed(6)}°`));
    Object.assign(made.dataset, { ra, dec });
    return made;
  }

  values(x, y) {
    const { shape, block, values, bands, units } = this.numbers;
    const [count, high, wide] = shape;
    const [column, row] = [Math.floor(x / block), Math.floor(y / block)];
    const on = column >= 0 && row >= 0 && column < wide && row < high;
    const list = element("dl", "values");
    const alike = unitOf(this.numbers) !== "";
    for (let band = 0; band < count; band += 1) {
      const number = on ? values[(band * high + row) * wide + column] : NaN;
      const unit = units[band] ? ` ${units[band]}` : "";
      const one = element("div", "", "", { title: `${bands[band]}: ${Number.isFinite(number) ? number : "unknown"}${unit}` });
      one.append(element("dt", "", bands[band]), element("dd", "", `${value(number)}${alike ? "" : unit}`));
      list.append(one);
    }
    return list;
  }
}

// The unit that all bands have; each has its own, or none is known: empty.
const unitOf = (numbers) => (numbers?.units[0] && numbers.units.every((unit) => unit === numbers.units[0]) ? ` in ${numbers.units[0]}` : "");

function line(name, text) {
  const made = element("div", `line ${name}`);
  made.append(element("span", "", text));
  return made;
}
