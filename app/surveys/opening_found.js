// What a look found: counts, a few pictures, what is wrong; the form of what to make of it.
class Found {
  constructor(page) {
    this.page = page;
    this.root = element("section", "found", "", { "aria-label": "What was found" });
    this.values = { encoder: "skysieve-base", layout: true, join: "auto" };
    this.head = element("div", "head");
    this.title = element("h1", "");
    this.facts = element("p", "facts");
    this.strip = element("div", "strip", "", { "aria-label": "A few of the objects" });
    this.problem = element("p", "problem", "", { role: "alert" });
    this.notes = element("ul", "notes");
    this.form = element("form", "form");
    this.form.addEventListener("submit", (event) => { event.preventDefault(); page.make(); });
    this.line = element("pre", "command");
    this.go = element("button", "primary", "Make the survey", { type: "submit" });
    this.head.append(this.title, this.facts);
    this.body = element("div", "body");
    this.body.append(this.head, this.problem, this.strip, this.notes, this.form);
    this.root.append(this.body);
    this.fields = {};
    this.lists = { tables: element("datalist", "", "", { id: "tables" }), columns: element("datalist", "", "", { id: "columns" }) };
    this.build();
    this.empty();
  }

  build() {
    const names = { auto: "by id, then by position", id: "by id only", position: "by position only" };
    const what = this.group("The survey", [
      this.text("name", "Name", "its folder will be NAME.survey", { looks: false }), this.text("folder", "In the folder", "", { looks: false }),
      this.text("bands", "Bands", "as found", { hint: "names, in order" }), this.text("dataset", "Array", "as found", { hint: "of an HDF5, Zarr or npz file" }),
      this.text("size", "Box", "64", { hint: "pixels, cut from mosaics" }),
      this.select("fit", "Sizes", ["", "crop", "pad"], { "": "scaled to the encoder’s", crop: "cropped to a side", pad: "padded to a side" }),
      this.text("side", "Side", "as found", { hint: "pixels, of crop and pad" }),
    ]);
    const table = this.group("The catalogue", [
      this.text("catalogue", "Table", "as found beside the pixels", { list: "tables", wide: true }), this.text("id_column", "Column of ids", "as found", { list: "columns" }),
      this.select("join", "Rows are found", Object.keys(names), names), this.text("radius", "Within", "1", { hint: "arcsec" }),
    ]);
    const then = this.group("Then", [this.select("encoder", "Embed with", ["skysieve-base", ""], { "": "nothing yet" }, false), this.check("layout", "place the objects on a map (UMAP)")]);
    const foot = element("div", "foot");
    const typed = element("div", "typed");
    typed.append(element("span", "", "What you could type"), button("copy", "Copy", "Copy the commands", () => navigator.clipboard?.writeText(this.line.textContent)), this.line);
    foot.append(typed, this.go);
    this.form.append(what, table, then, foot, this.lists.tables, this.lists.columns);
  }

  group(title, fields) {
    const made = element("fieldset", "");
    made.append(element("legend", "", title), ...fields);
    return made;
  }

  field(name, title, control, hint = "") {
    const made = element("label", "field");
    control.dataset.field = name;
    this.fields[name] = control;
    const head = element("span", "", title);
    if (hint) head.append(element("i", "", hint));
    made.append(head, control);
    return made;
  }

  text(name, title, placeholder, { looks = true, list = "", hint = "", wide = false } = {}) {
    const input = element("input", "", "", { type: "text", placeholder, autocomplete: "off", spellcheck: "false" });
    if (list) input.setAttribute("list", list);
    input.addEventListener("input", () => { this.values[name] = input.value; if (!looks) this.problem.textContent = ""; this.draw(); if (looks) this.page.lookSoon(); });
    const made = this.field(name, title, input, hint);
    if (wide) made.classList.add("wide");
    return made;
  }

  select(name, title, options, names, looks = true) {
    const made = element("select", "");
    for (const value of options) made.append(element("option", "", names[value] ?? value, { value }));
    made.value = this.values[name] ?? options[0];
    made.addEventListener("change", () => { this.values[name] = made.value; this.draw(); if (looks) this.page.lookSoon(); });
    return this.field(name, title, made);
  }

  check(name, words) {
    const made = element("label", "check"), input = element("input", "", "", { type: "checkbox" });
    input.checked = Boolean(this.values[name]);
    input.addEventListener("change", () => { this.values[name] = input.checked; this.draw(); });
    this.fields[name] = input;
    made.append(input, element("span", "", words));
    return made;
  }

  encoders(names) {
    const select = this.fields.encoder;
    select.replaceChildren(...[...names, ""].map((name) => element("option", "", name || "nothing yet", { value: name })));
    select.value = this.values.encoder;
  }

  empty() {
    this.root.dataset.state = "empty";
    this.title.textContent = "Open a survey, or make one";
    this.facts.textContent = "Choose on the left what your pixels are in: a folder of JPEG, PNG, TIFF or FITS, one folder a band, a file of FITS extensions, HDF5, Zarr or npz, mosaics with a catalogue of positions, or a table alone. "
      + "You will see what is in it before anything is made. Pixels are never copied or changed.";
  }

  begin(source) {
    if (source !== this.source) {
      this.source = source;
      const stem = source.replace(/\/+$/, "").split("/").pop();
      for (const name of ["bands", "dataset", "size", "fit", "side", "catalogue", "id_column", "radius"]) { this.values[name] = ""; this.fields[name].value = ""; }
      this.values.join = this.fields.join.value = "auto";
      this.values.name = this.fields.name.value = stem.replace(/\.[^.]+$/, "") || "survey";
      this.strip.replaceChildren();
      this.notes.replaceChildren();
      this.facts.textContent = "";
      this.title.textContent = stem;
    }
    this.problem.textContent = "";
    this.root.dataset.state = "looking";
    this.progress("looking …");
    this.draw();
  }

  progress(words) { this.problem.textContent = ""; this.head.dataset.progress = words; }

  looked(found) {
    this.head.dataset.progress = "";
    if (found.problem) {
      this.root.dataset.state = "refused";
      this.problem.textContent = found.problem;
      this.draw();
      return;
    }
    this.root.dataset.state = "found";
    this.found = found;
    const size = (side) => side.join("×"), small = size(found.smallest), large = size(found.largest);
    this.title.textContent = `${whole(found.objects)} objects`;
    const pixels = found.bands.length ? `${found.bands.length === 1 ? "one band" : `${found.bands.length} bands`} (${found.bands.join(" ")}), ${small === large ? small : `${small} to ${large}`} pixels` : "no pixels";
    const where = found.positions ? `${found.positions === found.objects ? "all" : whole(found.positions)} with a position` : "no positions";
    this.facts.textContent = `${KINDS[found.kind] ?? found.kind}: ${pixels}, ${where}.`;
    this.strip.replaceChildren(...(found.samples ?? []).map((sample) => {
      const made = element("figure", ""), image = element("img", "", "", { alt: sample.id });
      if (sample.jpeg) image.src = `data:image/jpeg;base64,${sample.jpeg}`; else made.classList.add("unread");
      made.append(image, element("figcaption", "", sample.id));
      made.title = sample.id;
      return made;
    }));
    this.notes.replaceChildren(...this.remarks(found));
    if (!found.bands.length) this.values.encoder = this.fields.encoder.value = ""; // there is nothing to embed
    this.fields.encoder.disabled = !found.bands.length;
    this.lists.columns.replaceChildren(...found.columns.map((column) => element("option", "", "", { value: column.name })));
    this.draw();
  }

  remarks(found) {
    const said = [];
    const note = (text, kind = "") => said.push(element("li", kind, text));
    if (found.catalogue) {
      const how = found.id_column ? `by ${found.id_column}` : "by position";
      note(`${found.catalogue.split("/").pop()}: ${whole(found.matched)} of ${whole(found.objects)} objects have a row (${how}); ${whole(found.without_image)} rows belong to no object.`,
        found.without_row ? "warn" : "good");
      if (found.without_row) note(`Without a row: ${found.without_row_ids.slice(0, 5).join(", ")}${found.without_row > 5 ? " …" : ""}`);
    }
    for (const text of found.notes) note(`${/^\S*[./]/.test(text) ? text : text[0].toUpperCase() + text.slice(1)}.`);
    if (found.differing?.length) note(`${whole(found.differing.length)} ids have several rows whose values differ (${found.differing.slice(0, 3).join(", ")}): the first is taken.`, "warn");
    if (found.rejected_count) {
      const made = element("details", "");
      made.append(element("summary", "", `${whole(found.rejected_count)} cannot be read and will be left out`));
      for (const item of found.rejected) { const row = element("p", ""); row.append(element("b", "", item.file), element("span", "", item.reason)); made.append(row); }
      if (found.rejected_count > found.rejected.length) made.append(element("p", "", `and ${whole(found.rejected_count - found.rejected.length)} more, all in the survey’s ingest-report.json`));
      const item = element("li", "warn");
      item.append(made);
      said.push(item);
    }
    return said;
  }

  // The commands, as the server would write them.
  draw() {
    this.lists.tables.replaceChildren(...(this.page.folder.tables ?? []).map((path) => element("option", "", "", { value: path })));
    const v = this.values, quoted = (text) => (/[^\w@%+=:,./-]/.test(text) ? `'${text.replaceAll("'", `'"'"'`)}'` : text);
    const survey = quoted(`${(v.folder || ".").replace(/\/+$/, "")}/${(v.name || "survey").replace(/\.survey$/, "")}.survey`);
    const words = ["python -m engine ingest", quoted(this.source ?? "FOLDER"), survey];
    for (const [name, option] of Object.entries(FLAGS)) {
      const value = (v[name] ?? "").trim();
      if (value && !(name === "join" && value === "auto")) words.push(option, name === "bands" ? value.split(/[\s,]+/).map(quoted).join(" ") : quoted(value));
    }
    const lines = [words.join(" ")];
    if (v.encoder) lines.push(`python -m engine embed ${survey} --encoder ${quoted(v.encoder)}`);
    if (v.encoder && v.layout) lines.push(`python -m engine layout ${survey} --method umap`);
    this.line.textContent = lines.join("\n");
    this.fields.layout.disabled = !v.encoder;
    this.go.disabled = this.root.dataset.state !== "found";
  }
}

const KINDS = { images: "Pictures", fits: "FITS images", hdf5: "HDF5", npz: "NumPy arrays", zarr: "Zarr", mosaic: "Boxes of mosaics", table: "A table" };
const FLAGS = { catalogue: "--catalogue", id_column: "--id-column", dataset: "--dataset", join: "--join", radius: "--radius", size: "--size", fit: "--fit", side: "--side", bands: "--bands" };
