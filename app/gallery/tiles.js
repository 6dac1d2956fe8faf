// Tiles: a picture each, with its label, its number and its badges.

const BADGES = [["artefact", "artefact"], ["later", "to review later"], ["said", "commented"]];

// Black or white, whichever is better read on a colour (#rrggbb).
function ink(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 120 ? "#071018" : "#fff";
}

class Tiles {
  constructor(grid, pictures) {
    this.grid = grid;
    this.pictures = pictures;
    this.tiles = [];
    this.header = null;
  }

  draw(header) {
    this.header = header;
    const { rows, ids } = header;
    while (this.tiles.length < rows.length) this.tiles.push(this.make());
    this.grid.replaceChildren(...this.tiles.slice(0, rows.length).map((tile) => tile.root));
    rows.forEach((row, k) => {
      const tile = this.tiles[k];
      tile.root.dataset.row = row;
      tile.root.dataset.index = k;
      this.picture(tile, this.pictures.bitmap(row));
      tile.name.textContent = ids[k];
    });
    this.grid.scrollTop = 0;
  }

  make() {
    const root = element("div", "tile", "", { role: "option" });
    const image = element("canvas", "picture", "", { "aria-hidden": "true" });
    const tile = { root, image, mark: element("span", "mark"), text: element("span", "text"), badges: element("span", "badges"),
      caption: element("span", "caption"), name: element("b"), more: element("i"), comment: element("i", "comment") };
    tile.caption.append(tile.name, tile.more, tile.comment);
    for (const [name, title] of BADGES) tile.badges.append(element("span", `badge ${name}`, "", { title }));
    root.append(image, tile.mark, tile.badges, tile.text, tile.caption);
    return tile;
  }

  of(row) {
    const k = this.header ? this.header.rows.indexOf(row) : -1;
    return k < 0 ? undefined : this.tiles[k];
  }

  picture(tile, bitmap) {
    tile.root.classList.toggle("unreadable", !bitmap);
    if (bitmap) this.paint(tile.image, bitmap);
  }

  // A canvas instead of an <img>: a picture decoded ahead is there in the same frame (100 object URLs cost 100 ms more).
  paint(canvas, bitmap) {
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
  }

  // What labels, remarks and rankings change.
  write(pending) {
    const { rows, texts, captions } = this.header;
    rows.forEach((row, k) => {
      const tile = this.tiles[k];
      tile.text.textContent = texts[k];
      tile.more.textContent = captions[k];
      this.mark(k, pending.has(row));
    });
  }

  // `intended`: an answer that would be written, shown before it is.
  mark(k, pending, intended = null) {
    const { ids, codes, choices, artefacts, later, comments } = this.header;
    const tile = this.tiles[k], code = intended ? intended.code : codes[k];
    const answer = choices.find((choice) => choice.code === code);
    const verdict = VERDICTS[code] ?? "choice"; // a rating or a class
    tile.root.dataset.label = verdict;
    tile.root.dataset.value = answer?.value ?? "";
    tile.mark.textContent = answer?.sign ?? SIGNS[code] ?? SIGNS[4];
    if (verdict === "choice") {
      const colour = answer?.colour ?? "#888888";
      tile.root.style.setProperty("--mark", colour);
      tile.root.style.setProperty("--ink", ink(colour));
    }
    tile.root.classList.toggle("pending", pending);
    tile.root.classList.toggle("intended", intended !== null);
    tile.root.classList.toggle("artefact", Boolean(artefacts[k]));
    tile.root.classList.toggle("later", Boolean(later[k]));
    tile.root.classList.toggle("said", Boolean(comments[k]));
    tile.comment.textContent = comments[k] ? `“${comments[k]}”` : "";
    const words = [ids[k], answer?.value ?? verdict, artefacts[k] ? "artefact" : "", later[k] ? "review later" : "", comments[k]];
    tile.root.setAttribute("aria-label", words.filter(Boolean).join(", "));
  }

  columns() { return getComputedStyle(this.grid).gridTemplateColumns.split(" ").length; }
}
