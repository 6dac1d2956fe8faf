// The row of tools over the tiles: order, size of a batch, which labels, stretch, size of the pictures.

const SIZE_KEY = "skysieve.tile";
const INHERENT = { suggestions: "best first", outliers: "strangest first", similar: "most similar first", labelled: "newest first" };
const TYPED = 250; // ms after the last letter until comments are searched

class Tools {
  constructor(root, gallery, send) {
    this.root = root;
    this.gallery = gallery;
    this.send = send;
    this.build();
  }

  build() {
    this.order = element("select", "order", "", { title: "Order of the objects", "aria-label": "Order of the objects" });
    this.order.addEventListener("change", () => { this.send("sort", { name: this.order.value }); this.order.blur(); });
    this.turn = button("icon turn", "↓", "Turn the order round", () => this.send("sort", { name: this.header.sort, turned: true }));
    this.batch = element("span", "batch");
    this.buildFilters();
    this.sift = button("sift", "", "Label a page at one stroke (q)", () => this.gallery.sift());
    this.sift.append(element("i", "nine"), element("span", "", "Grid"));
    this.buildSize();
    this.stretch = button("stretch", "", "How pictures are drawn (x)", () => this.send("stretching"));
    this.stretch.append(element("i", "ramp"), element("span", "", "Stretch"));
    this.chip = button("chip", "", "As the survey is drawn by itself", () => this.send("unstretch"));
    this.chip.append(element("span"), element("b", "", "✕"));
    this.chip.hidden = true;
    this.root.append(this.order, this.turn, this.batch, this.filters, element("span", "space"), this.chip, this.sift, this.stretch, this.size);
  }

  buildFilters() {
    this.filters = element("span", "filters", "", { role: "group", "aria-label": "Which objects" });
    this.only = element("select", "order only", "", { title: "Which objects", "aria-label": "Which objects" });
    this.words = element("input", "words", "", { type: "search", placeholder: "comments", title: "Words in comments", "aria-label": "Words in comments" });
    const ask = () => this.send("only", { only: this.only.value, words: this.words.value });
    this.only.addEventListener("change", () => { ask(); this.only.blur(); });
    let timer = null;
    this.words.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, TYPED); });
    this.words.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      if (event.key === "Escape") { this.words.value = ""; clearTimeout(timer); ask(); }
      event.stopPropagation();
      this.words.blur();
      this.gallery.root.focus({ preventScroll: true });
    });
    this.filters.append(this.only, this.words);
  }

  buildSize() {
    this.size = element("input", "size", "", {
      type: "range", min: "64", max: "192", step: "8", title: "Size of the pictures", "aria-label": "Size of the pictures" });
    this.size.value = this.storedSize();
    const resize = () => {
      this.gallery.root.style.setProperty("--tile", `${this.size.value}px`);
      this.gallery.root.classList.toggle("small", Number(this.size.value) < 88);
    };
    this.size.addEventListener("input", resize);
    this.size.addEventListener("change", () => {
      try { localStorage.setItem(SIZE_KEY, this.size.value); } catch { /* private window: forget it */ }
      this.size.blur();
      this.gallery.scrollToCursor();
    });
    resize();
  }

  storedSize() {
    let stored = NaN;
    try { stored = parseInt(localStorage.getItem(SIZE_KEY), 10); } catch { /* none */ }
    return stored >= 64 && stored <= 192 ? stored : 96;
  }

  draw(header) {
    this.header = header;
    const { tab, batch, batches, rows } = header;
    this.drawOrder();
    this.batch.replaceChildren();
    if (tab === "suggestions") {
      this.batch.append("Next ", ...batches.map((size) => button(size === batch ? "choice chosen" : "choice", String(size),
        `Suggest ${size} at a time`, () => this.send("batch", { size }))));
    }
    this.drawFilters();
    this.root.classList.toggle("idle", rows.length === 0 && tab === "selection");
    this.drawStretch(header.stretch);
    this.stretch.setAttribute("aria-pressed", header.stretching);
  }

  drawOrder() {
    const { orders, sort, tab } = this.header;
    const name = sort.replace(/^-/, "");
    const options = [new Option(INHERENT[tab] ?? "as it comes", "")];
    for (const group of orders) {
      const made = group.names.map((n) => new Option(n === "random" ? "at random" : n, n));
      if (group.title) {
        const box = element("optgroup");
        box.label = group.title;
        box.append(...made);
        options.push(box);
      } else options.push(...made);
    }
    this.order.replaceChildren(...options);
    this.order.value = name;
    this.turn.textContent = sort.startsWith("-") ? "↓" : "↑";
    this.turn.disabled = !name || name === "random";
    this.turn.title = sort.startsWith("-") ? "Largest first; click for smallest first" : "Smallest first; click for largest first";
  }

  drawFilters(changes = {}) {
    Object.assign(this.header, changes);
    const { tab, filters, only, words } = this.header;
    this.filters.hidden = tab !== "labelled";
    if (this.filters.hidden) return;
    const shown = filters.map(({ name, title, count }) => new Option(`${title} (${number(count)})`, name));
    this.only.replaceChildren(...shown);
    this.only.value = only;
    const field = this.words.getRootNode();
    if (field.activeElement !== this.words) this.words.value = words;
  }

  drawStretch(text) {
    this.header.stretch = text;
    this.chip.hidden = !text;
    this.chip.firstChild.textContent = text;
    this.chip.title = `Stretch: ${text}. Click for the survey's own`;
  }
}
