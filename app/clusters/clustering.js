// The rail's section on clusters: which clustering is in use, its clusters with their counts, and a form to find others.

const SORTS = { count: "by size", name: "by name" };
const WORDS = {
  dense: ["Dense regions of the map", "HDBSCAN on a layout: regions of any shape that are denser than around them; the rest is in none."],
  near: ["Dense regions of a representation", "HDBSCAN on the graph of nearest neighbours; often few clusters, and many objects in none."],
  parts: ["Equal parts of a representation", "k-means: everything is divided into k parts, whether there are clusters or not."],
};
const SHOWN = 200; // rows drawn

class ClusterSection {
  constructor(model) {
    this.model = model;
    this.facts = null;
    this.sort = "count";
    this.form = null;
    this.root = element("section", "clusters", "", { "aria-label": "Clusters" });
    this.send = (message) => model.send_msg(message);
    this.menu = new ClusterMenu(this.root, this.send, (shown) => this.rename(shown));
  }

  show(buffer) {
    const frame = parse(buffer);
    if (frame === null) return;
    this.facts = frame.header;
    if (!this.editing) this.draw();
  }

  draw() {
    const { facts } = this, scroll = this.root.querySelector(".list")?.scrollTop ?? 0;
    const parts = [this.head()];
    if (facts.making) parts.push(element("p", "note", `Finding clusters: ${facts.making} …`));
    if (!facts.name && !this.form && !facts.making) {
      parts.push(element("p", "note", facts.layouts.length ? "None yet. They gather objects that lie together, named by what is known of them."
        : "A layout comes first; then clusters can be found on it."));
    }
    if (facts.name) parts.push(this.bar(), ...this.list());
    if (this.form) parts.push(this.form);
    else if (facts.layouts.length || facts.representations.length) {
      parts.push(button("wide", facts.name ? "Find others …" : "Find clusters …", "HDBSCAN or k-means, on a layout or in a representation", () => this.open()));
    }
    this.root.replaceChildren(...parts);
    const list = this.root.querySelector(".list");
    if (list) list.scrollTop = scroll;
  }

  head() {
    const head = element("div", "top");
    head.append(element("h4", "", "Clusters"));
    if (this.facts.name) {
      const { names, coloured } = this.facts;
      const turn = (text, title, pressed, type) => {
        const made = button("turn", text, title, () => this.send({ type }));
        made.setAttribute("aria-pressed", String(pressed));
        return made;
      };
      head.append(turn("names", "Names on the map (K)", names, "names"), turn("colour", "Colour the map by clusters", coloured, "colour"));
    }
    return head;
  }

  bar() {
    const { facts } = this, bar = element("div", "bar");
    const choice = element("select", "choice", "", { "aria-label": "Clustering in use", title: facts.words ?? "" });
    for (const name of facts.clusterings) {
      const option = element("option", "", name, { value: name });
      option.selected = name === facts.name;
      choice.append(option);
    }
    choice.addEventListener("change", () => { this.send({ type: "use", name: choice.value }); choice.blur(); });
    let armed = null;
    const away = button("icon", "×", "Delete this clustering", () => {
      if (armed) { clearTimeout(armed); this.send({ type: "delete" }); return; }
      away.textContent = "delete?";
      away.classList.add("armed");
      armed = setTimeout(() => { armed = null; away.textContent = "×"; away.classList.remove("armed"); }, 3000);
    });
    bar.append(choice, away);
    return bar;
  }

  list() {
    const { facts } = this;
    if (!facts.items.length) {
      return [element("p", "note", "No cluster was found here. Try smaller ones, another layout, or k-means.")];
    }
    const items = facts.items.map(cluster);
    if (this.sort === "name") items.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    const line = element("div", "line");
    const next = this.sort === "count" ? "name" : "count";
    line.append(element("span", "", `${grouped(facts.total)} clusters · ${grouped(facts.none)} in none`),
      button("turn", SORTS[this.sort], `Sort ${SORTS[next]}`, () => { this.sort = next; this.draw(); }));
    line.title = facts.words;
    const list = element("div", "list", "", { role: "listbox", "aria-label": "Clusters" });
    list.append(...items.slice(0, SHOWN).map((item) => this.row(item)));
    if (facts.total > Math.min(items.length, SHOWN)) {
      list.append(element("p", "note", `and ${grouped(facts.total - Math.min(items.length, SHOWN))} smaller ones`));
    }
    return [line, list];
  }

  row(item) {
    const row = element("div", "row", "", { role: "option", tabindex: 0, "data-code": item.code, title: item.why || "Nothing stands out in what is known of its objects",
      "aria-selected": String(item.code === this.facts.selected) });
    const dot = element("i");
    dot.style.background = item.colour;
    const more = button("more", "⋯", "More", (event) => { event.stopPropagation(); this.more(item, event.clientX, event.clientY); });
    row.append(dot, element("span", "called", item.name), element("span", "count", grouped(item.count)), more);
    row.addEventListener("click", () => this.send({ type: "select", code: item.code }));
    row.addEventListener("dblclick", () => this.rename(item));
    row.addEventListener("contextmenu", (event) => { event.preventDefault(); this.more(item, event.clientX, event.clientY); });
    row.addEventListener("keydown", (event) => {
      if (event.target !== row) return;
      if (event.key === "Enter" || event.key === " ") this.send({ type: "select", code: item.code });
      else if (event.key === "F2") this.rename(item);
      else if (event.key === "ArrowDown") row.nextElementSibling?.focus();
      else if (event.key === "ArrowUp") row.previousElementSibling?.focus();
      else return;
      event.preventDefault();
      event.stopPropagation(); // the gallery's arrows stay where they are
    });
    return row;
  }

  more(item, x, y) { this.menu.open(item, this.facts, x + 4, y + 4); }

  rename(shown) {
    const row = this.root.querySelector(`.row[data-code="${shown.code}"]`);
    if (!row) return;
    this.editing = true;
    const field = nameField(shown, (text) => {
      this.editing = false;
      const item = this.facts.items.find((told) => told[0] === shown.code);
      if (text !== null && item) {
        item[2] = text;
        this.send({ type: "rename", code: shown.code, text });
      }
      this.draw();
    });
    row.querySelector(".called").replaceWith(field);
  }

  // -- the form -------------------------------------------------------------------------------------------------------

  open() {
    this.form = this.made(this.facts.layouts.length ? "dense" : "parts", {});
    this.draw();
  }

  shut() {
    this.form = null;
    this.draw();
  }

  made(kind, kept) {
    const { facts } = this, form = element("form", "form"), plane = kind === "dense";
    const field = (label, input) => { const line = element("label", "field-line", label); line.append(input); return line; };
    const select = (options, value, label) => {
      const made = element("select", "choice", "", { "aria-label": label });
      for (const [key, text] of options) {
        const option = element("option", "", text, { value: key });
        option.selected = key === value;
        made.append(option);
      }
      return made;
    };
    const how = select(Object.entries(WORDS).map(([key, [text]]) => [key, text]), kind, "How clusters are found");
    how.addEventListener("change", () => { this.form = this.made(how.value, kept); this.draw(); });
    const sources = plane ? facts.layouts : facts.representations;
    const source = select(sources.map((name) => [name, name]), plane && sources.includes(facts.layout) ? facts.layout : sources[0], plane ? "Layout" : "Representation");
    const number = kind === "parts"
      ? element("input", "number", "", { type: "number", min: 2, max: 1000, value: kept.k ?? facts.parts, "aria-label": "Clusters" })
      : element("input", "number", "", { type: "number", min: 2, max: facts.count, value: kept.size ?? facts.default, "aria-label": "Smallest, objects" });
    number.addEventListener("change", () => { kept[kind === "parts" ? "k" : "size"] = Number(number.value); });
    const finest = element("input", "", "", { type: "checkbox", "aria-label": "As fine as they come" });
    finest.checked = kept.finest ?? false;
    finest.addEventListener("change", () => { kept.finest = finest.checked; });
    form.append(how, element("p", "note", WORDS[kind][1]), field(plane ? "on" : "of", source),
      field(kind === "parts" ? "clusters" : "smallest, objects", number));
    if (kind !== "parts") form.append(field("as fine as they come", finest));
    const foot = element("div", "foot"), go = element("button", "go", "Find", { type: "submit" });
    go.disabled = !sources.length;
    if (!sources.length) form.append(element("p", "note", `There is no ${plane ? "layout" : "representation"} yet.`));
    foot.append(go, button("plain", "Cancel", "", () => this.shut()));
    form.append(foot);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = Math.round(Number(number.value));
      this.send({ type: "make", kind, source: source.value, [kind === "parts" ? "k" : "min_size"]: value, finest: finest.checked });
      this.shut();
    });
    return form;
  }
}

export function render({ model }) {
  const section = new ClusterSection(model);
  model.on("frame", () => section.show(model.frame));
  model.on("remove", () => section.menu.close());
  if (model.frame && model.frame.byteLength) section.show(model.frame);
  return section.root;
}
