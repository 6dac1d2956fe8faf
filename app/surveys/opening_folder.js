// Surveys that are there, and the folders below which pixels for a new one may lie.
class Folder {
  constructor(page) {
    this.page = page;
    this.root = element("nav", "places", "", { "aria-label": "Surveys and folders" });
    this.surveys = element("div", "surveys");
    this.path = element("input", "path", "", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": "Folder or file", placeholder: "a folder, or a file of cutouts" });
    this.path.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.go(); } });
    this.roots = element("div", "roots");
    this.entries = element("ul", "entries");
    this.here = button("primary", "Look at this folder", "See what this folder holds", () => page.choose(this.at));
    const place = element("div", "place");
    place.append(this.path, button("plain", "Look", "See what is there", () => this.go()));
    this.root.append(element("h2", "", "Surveys"), this.surveys, element("h2", "", "A new one, of your own pixels"), place, this.roots, this.entries, this.here);
    this.showSurveys(null);
  }

  // To the path that was typed: look at it, and show what lies around it.
  go() {
    const path = this.path.value;
    this.page.choose(path);
    this.page.list(path);
  }

  showSurveys(found) {
    if (found === null) { this.surveys.replaceChildren(element("p", "hint", "Looking for surveys …")); return; }
    if (!found.length) { this.surveys.replaceChildren(element("p", "hint", "None here yet. Choose a folder of pictures, FITS or HDF5 below, and one is made in a minute.")); return; }
    this.surveys.replaceChildren(...found.map((survey) => {
      const made = element(survey.problem ? "div" : "a", "survey", "", survey.problem ? {} : { href: survey.address });
      made.title = survey.path;
      made.append(element("b", "", survey.name), element("span", "", survey.problem ?? `${whole(survey.objects)} objects · ${survey.bands}`));
      return made;
    }));
  }

  show(listed) {
    this.at = listed.path;
    this.path.value = listed.path;
    this.tables = listed.entries.filter((e) => e.kind === "table" || /\.(fits|fit|fits\.gz)$/i.test(e.name)).map((e) => `${listed.path}/${e.name}`);
    const others = listed.roots.filter((root) => root !== listed.path);
    this.roots.replaceChildren(...(listed.roots.length > 1 ? others.map((root) => button("link", root, "Go to this folder", () => this.page.list(root))) : []));
    const rows = listed.entries.map((entry) => this.row(listed.path, entry));
    if (listed.above) rows.unshift(this.item("up", "‥", "", () => this.page.list(listed.above)));
    if (listed.more) rows.push(element("li", "hint", `and ${whole(listed.more)} more`));
    if (!listed.entries.length) rows.push(element("li", "hint", "This folder is empty."));
    this.entries.replaceChildren(...rows);
    this.here.disabled = !listed.entries.some((e) => ["folder", "pixels", "table"].includes(e.kind));
    this.mark(this.page.source);
  }

  row(path, entry) {
    const whole_path = `${path}/${entry.name}`;
    const open = { folder: () => this.page.list(whole_path), pixels: () => this.page.choose(whole_path), table: () => this.page.choose(whole_path) }[entry.kind];
    const made = this.item(entry.kind, entry.name, entry.kind === "folder" ? "" : entry.kind === "survey" ? "survey" : bytes(entry.size), open);
    made.dataset.path = whole_path;
    return made;
  }

  item(kind, name, note, action) {
    const made = element("li", `entry ${kind}`);
    const inner = action ? button("", "", name, action) : element("span", "");
    inner.append(element("i", "sign", { folder: "▸", up: "▴", pixels: "▦", table: "▤", survey: "◈" }[kind] ?? ""), element("b", "", name), element("em", "", note));
    made.append(inner);
    return made;
  }

  mark(source) {
    for (const row of this.entries.children) row.classList?.toggle("chosen", row.dataset.path === source);
  }
}

function whole(number) { return Math.round(number).toLocaleString("en-US"); }

function bytes(size) {
  if (!size) return "";
  const step = Math.min(4, Math.floor(Math.log10(size) / 3));
  return `${(size / 1000 ** step).toPrecision(size < 1000 ? String(size).length : 3).replace(/\.0+$/, "")} ${["B", "kB", "MB", "GB", "TB"][step]}`;
}
