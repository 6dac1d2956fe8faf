// Two representations: measures side by side, and the neighbours of an object in both.
class Compare {
  constructor(page) {
    this.page = page;
    this.found = {};
    this.urls = { near: [], offered: [] };
    this.root = element("section", "compare");
    this.picks = ["first", "second"].map((side, k) => {
      const made = element("select", "", "", { "aria-label": `Representation ${"AB"[k]}` });
      made.addEventListener("change", () => { this[side] = made.value; this.chosen = true; this.ask(); });
      return made;
    });
    this.table = element("table", "table");
    this.offers = element("div", "offers");
    this.offersHead = element("p", "hint");
    this.columns = ["first", "second"].map(() => element("div", "grid"));
    this.object = element("div", "object");
    this.walk = element("div", "walk");
    this.clicked = [];
    this.walks = [];
    this.empty = element("div", "empty");
    const left = element("div", "left"), right = element("div", "right");
    left.append(this.table, element("h3", "", "Objects"), this.offersHead, this.offers);
    right.append(this.object, ...this.columns, this.walk);
    this.body = element("div", "columns2");
    this.body.append(left, right);
    this.root.append(this.empty, this.body);
  }

  take(name) { this.second = name; this.chosen = true; if (this.first === name) this.first = null; this.page.open("compare"); }

  choose(choices) {
    const names = choices.representations;
    this.used = choices.used;
    this.walks = choices.walks;
    this.drawWalk();
    const few = names.length < 2;
    this.empty.hidden = !few;
    this.body.hidden = few;
    this.empty.replaceChildren(element("h3", "", names.length ? "One representation so far" : "No representation yet"), element("p", "",
      "A second one to compare comes from another encoder, or from a training of your own: start it under Train."),
      button("plain", "Go to Train", "Train or embed", () => this.page.open("train")));
    if (few) return;
    if (!names.includes(this.first)) this.first = names.find((n) => n === this.used && n !== this.second) ?? names.find((n) => n !== this.second);
    if (!names.includes(this.second)) this.second = names.find((n) => n !== this.first);
    this.picks.forEach((pick, k) => {
      pick.replaceChildren(...names.map((name) => element("option", "", name, { value: name })));
      pick.value = this[["first", "second"][k]];
    });
    const wanted = names.join("/") + this.first + this.second;
    if (this.page.model.page === "compare" && this.asked !== wanted) this.ask();
    else this.drawTable();
    this.asked = wanted;
  }

  ask() {
    if (!this.first || !this.second) return;
    this.found = {};
    this.drawTable();
    this.page.send("compare", { first: this.first, second: this.second });
    this.askNear();
    if (!this.offered) this.page.send("offer");
  }

  askNear() {
    if (this.row >= 0 && this.first && this.second) this.page.send("near", { first: this.first, second: this.second, row: this.row });
  }

  compared(data) {
    if (data.first !== this.first || data.second !== this.second) return;
    this.found[data.part] = data.found;
    this.drawTable();
  }

  drawTable() {
    const { facts, agreement, first, second } = this.found;
    const rows = [];
    const line = (title, a, b, better, hint = "") => {
      const row = element("tr", "");
      const head = element("th", "", title, { scope: "row", title: hint });
      const cells = [a, b].map((text, k) => element("td", better === k ? "better" : "", text));
      row.append(head, ...cells);
      rows.push(row);
    };
    const head = element("tr", "head");
    head.append(element("th", ""), ...this.picks.map((pick, k) => {
      const cell = element("th", "", "", { scope: "col" }), name = this[["first", "second"][k]];
      const use = button("use", name === this.used ? "in use" : "use it", name === this.used ? "Maps, search and suggestions go by it"
        : `Search, suggestions and new maps by ${name} from now on`, () => this.page.send("use", { name }));
      use.disabled = name === this.used;
      cell.append(element("i", "", "AB"[k]), pick, use);
      return cell;
    }));
    if (Array.isArray(facts)) {
      line("encoder", ...facts.map((f) => f.encoder || "–"));
      line("numbers an object", ...facts.map((f) => `${f.dimension} × ${f.kind}`));
      line("on disk", ...facts.map((f) => bytes(f.bytes)));
      line("objects with a vector", ...facts.map((f) => whole(f.objects)));
    }
    const single = [...new Set([...Object.keys(first ?? {}), ...Object.keys(second ?? {})])].filter((key) => key.startsWith("probe "));
    const value = (side, key) => {
      if (side === undefined) return "measuring …";
      if (side.problem) return "–";
      const error = key === "two_point" ? side.two_point_error : undefined;
      return number(side[key]) + (Number.isFinite(error) ? ` ± ${number(error, 2)}` : "");
    };
    if (first?.problem || second?.problem) {
      const row = element("tr", ""), cell = element("td", "hint", `Not measured: ${first?.problem ?? second?.problem}`, { colspan: "3" });
      row.append(cell);
      rows.push(row);
    }
    const measure = (key, title) => {
      const values = [first?.[key], second?.[key]], sense = BETTER[key] ?? (key.startsWith("probe") ? 1 : 0);
      const unsure = key === "two_point" ? Math.hypot(first?.two_point_error ?? 0, second?.two_point_error ?? 0) : 0;
      const better = sense && values.every(Number.isFinite) && Math.abs(values[0] - values[1]) > unsure
        ? Number(sense * (values[1] - values[0]) > 0) : -1;
      line(title, value(first, key), value(second, key), better, MEANING[key] ?? "Area under the ROC curve of a linear classifier, cross-validated");
    };
    for (const key of Object.keys(MEANING)) measure(key, QUALITY[key] ?? key);
    if (single.length) {
      const row = element("tr", ""), cell = element("td", "", "", { colspan: "3" });
      cell.append(button("use fold", this.unfolded ? "fewer" : `${single.length} probes one by one`, "The linear probe of each question", () => {
        this.unfolded = !this.unfolded; this.drawTable();
      }));
      row.append(cell);
      rows.push(row);
      if (this.unfolded) for (const key of single) measure(key, key.slice(6));
    }
    const share = element("tr", "agreement"), cell = element("td", "", "", { colspan: "2" });
    if (!agreement) cell.textContent = this.first === this.second ? "one and the same" : "…";
    else if (agreement.problem) cell.textContent = agreement.problem;
    else if (agreement.mean === undefined) cell.textContent = "one and the same";
    else {
      const percent = (v) => (100 * v).toFixed(v < 0.1 ? 1 : 0);
      const bar = element("div", "track");
      bar.append(element("div", "part"));
      bar.firstChild.style.width = `${100 * agreement.mean}%`;
      cell.append(element("b", "", `${percent(agreement.mean)} %`), ` ± ${(100 * agreement.error).toFixed(1)} of the 15 nearest are the same`, bar);
      cell.title = `Among ${whole(agreement.objects)} objects; by chance ${percent(agreement.chance)} %`;
    }
    share.append(element("th", "", "neighbours in common", { scope: "row" }), cell);
    this.table.replaceChildren(head, share, ...rows);
  }

  showOffered(frame) {
    const { header, pictures } = frame;
    this.offered = header;
    this.swap("offered", pictures);
    this.offersHead.textContent = header.selected ? `The selection (${whole(header.selected)}). Point at one, or click it.`
      : "A few from everywhere: select some on the map to see them here. Point at one, or click it.";
    this.offers.replaceChildren(...header.rows.map((row, k) => this.tile(row, header.ids[k], this.urls.offered[k])));
    if (!(this.row >= 0) && header.rows.length) { this.row = header.rows[0]; this.askNear(); }
    this.mark();
  }

  swap(kind, pictures) {
    const old = this.urls[kind];
    this.urls[kind] = pictures.map(url);
    setTimeout(() => old.forEach((u) => u && URL.revokeObjectURL(u)), 2000);
  }

  tile(row, id, picture, { score, common } = {}) {
    const made = element("button", common ? "tile common" : "tile", "", { type: "button", title: score === undefined ? id : `${id} · likeness ${number(score)}`, "data-row": row });
    const image = element("img", "", "", { alt: id, draggable: "false" });
    if (picture) image.src = picture; else made.classList.add("unreadable");
    made.append(image);
    made.addEventListener("click", () => { this.fix(row); this.look(row, 0); this.page.send("cursor", { row }); });
    if (score === undefined) {
      made.addEventListener("pointerenter", () => this.look(row, HOVER));
      made.addEventListener("pointerleave", () => { if (this.fixed >= 0) this.look(this.fixed, 2 * HOVER); });
    }
    return made;
  }

  fix(row) {
    this.fixed = row;
    if (this.clicked[this.clicked.length - 1] === row) return;
    this.clicked = [...this.clicked, row].slice(-2);
    this.drawWalk();
  }

  // The way between the two objects chosen last, where an autoencoder was trained.
  drawWalk() {
    this.walk.hidden = !this.walks.length;
    if (!this.walks.length) return;
    if (!this.walks.includes(this.by)) this.by = this.walks[0];
    if (!this.strip) {
      this.strip = element("img", "", "", { alt: "" });
      this.walkHead = element("h3", "");
      this.walkBy = element("select", "metric", "", { "aria-label": "Autoencoder" });
      this.walkBy.addEventListener("change", () => { this.by = this.walkBy.value; this.drawWalk(); });
      this.walkHint = element("span", "hint");
      this.walkHead.append("A walk through", this.walkBy, this.walkHint);
      this.walk.append(this.walkHead, this.strip);
    }
    this.walkBy.replaceChildren(...this.walks.map((name) => element("option", "", name, { value: name })));
    this.walkBy.value = this.by;
    const [first, second] = this.clicked;
    if (second === undefined) { this.walkHint.textContent = "Click two objects to see what it makes of the way between them."; return; }
    const key = `${this.by}/${first}/${second}`;
    if (this.walkAsked === key) return;
    this.walkAsked = key;
    this.walkHint.textContent = "drawing …";
    this.page.send("walk", { name: this.by, first, second });
  }

  showWalk(frame) {
    const { header, pictures } = frame;
    if (this.walkAsked !== `${header.name}/${header.rows.join("/")}`) return;
    const old = this.strip.src;
    this.strip.src = url(pictures[0]);
    this.strip.alt = `From ${header.ids[0]} to ${header.ids[1]}`;
    this.walkHint.textContent = `${header.ids[0]} → ${header.ids[1]}: the first and last are the objects, between them what it draws.`;
    if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
  }

  look(row, pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { if (row !== this.row) { this.row = row; this.askNear(); this.mark(); } }, pause);
  }

  focus(row) {
    if (row < 0) return;
    this.fix(row);
    if (this.page.model.page === "compare") this.look(row, 0); else this.row = row;
  }

  mark() {
    for (const tile of this.offers.children) tile.classList.toggle("chosen", Number(tile.dataset.row) === this.row);
  }

  showNear(frame) {
    const { header, pictures } = frame;
    if (header.row !== this.row || header.names[0] !== this.first || header.names[1] !== this.second) return;
    this.swap("near", pictures);
    const common = new Set(header.common), total = Math.max(header.rows[0].length, header.rows[1].length);
    const main = element("img", "", "", { alt: header.ids[0] });
    if (this.urls.near[0]) main.src = this.urls.near[0];
    const words = element("div", "");
    words.append(element("b", "", header.ids[0]), element("span", "", `${common.size} of its ${total} nearest are the same in both (framed)`));
    this.object.replaceChildren(main, words);
    let at = 1;
    this.columns.forEach((column, k) => {
      const tiles = header.rows[k].map((row, j) => {
        const tile = this.tile(row, header.ids[at], this.urls.near[at], { score: header.scores[k][j], common: common.has(row) });
        at += 1;
        return tile;
      });
      const grid = element("div", "tiles");
      grid.append(...tiles);
      const title = element("h3", "");
      title.append(element("i", "", "AB"[k]), header.names[k]);
      column.replaceChildren(title, header.problems[k] ? element("p", "hint", header.problems[k]) : grid);
    });
  }
}
