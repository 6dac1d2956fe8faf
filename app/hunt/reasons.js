// Why this one? A line with mean, sd and place; below it the nearest labelled objects, each with what its label adds to the mean.

const MARKS = { yes: "✓", no: "×", unsure: "?" };

class Why {
  constructor(model) {
    this.model = model;
    this.open = true;
    this.urls = [];
    this.root = element("section", "why", "", { "aria-label": "Why this one?" });
    this.head = button("head", "", "Which labels pull this object's mean up and down", () => { this.open = !this.open; this.draw(); });
    this.body = element("div", "body");
    this.root.append(this.head, this.body);
  }

  theme() { this.root.dataset.theme = this.model.dark ? "dark" : "light"; }

  told() {
    const frame = this.model.frame && parse(this.model.frame);
    if (!frame) return;
    this.forget();
    this.said = frame.header;
    this.urls = frame.pictures.map((bytes) => (bytes.length ? URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })) : ""));
    this.draw();
  }

  forget() { for (const url of this.urls) if (url) URL.revokeObjectURL(url); this.urls = []; }

  draw() {
    const { said } = this;
    this.root.hidden = !said || said.row < 0;
    if (this.root.hidden) return;
    this.root.dataset.row = said.note ? "" : said.row;
    this.head.setAttribute("aria-expanded", this.open);
    const facts = said.note ? said.note : said.place ? `${said.hunted ? `${said.hunted} ` : ""}${said.mean.toFixed(2)} ± ${said.sd.toFixed(2)} · ${said.place}` : "";
    this.head.replaceChildren(element("b", "", "Why this one?"), element("span", "facts", facts), element("span", "arrow", this.open ? "▾" : "▸"));
    this.body.hidden = !this.open || Boolean(said.note);
    if (this.body.hidden) return;
    const strip = element("div", "strip");
    strip.append(...said.neighbours.map((near, place) => this.tile(near, this.urls[place])));
    this.body.replaceChildren(...(said.neighbours.length ? [strip] : []),
      ...[said.balance, said.change].filter(Boolean).map((text) => element("p", "", text)));
  }

  tile(near, url) {
    const sign = near.pull >= 0 ? "up" : "down";
    const words = `${near.id}, labelled ${near.label}: its label adds ${near.pull.toFixed(3)} to the mean; distance ${near.distance.toFixed(2)}`;
    const tile = button("tile", "", words, () => this.model.send_msg({ type: "inspect", row: near.row }));
    tile.dataset.row = near.row;
    const picture = element("span", "picture");
    if (url) picture.append(Object.assign(element("img"), { src: url, alt: "" }));
    picture.append(element("span", `mark ${MARKS[near.label] ? near.label : "other"}`, MARKS[near.label] ?? near.label));
    tile.append(picture, element("span", `pull ${sign}`, `${near.pull >= 0 ? "+" : "−"}${Math.abs(near.pull).toFixed(2)}`));
    return tile;
  }
}

export function render({ model }) {
  const part = new Why(model);
  model.on("frame", () => part.told());
  model.on("dark", () => part.theme());
  model.on("remove", () => part.forget());
  part.theme();
  part.told();
  return part.root;
}
