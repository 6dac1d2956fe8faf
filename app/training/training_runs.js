// Trainings: a line each, their curves over one another, and what one of them makes of a few objects.
class Trainings {
  constructor(page) {
    this.page = page;
    this.runs = {}; this.status = {}; this.colours = {}; this.embedded = [];
    this.hidden = new Set();
    this.focus = null;
    this.axis = "step";
    this.rows = new Map();
    this.list = element("div", "runs");
    this.list.setAttribute("role", "list");
    this.facts = element("div", "facts");
    this.loss = new Chart("Loss");
    this.metrics = [["probe", "linear probe"], ["two_point", "2-point score"]].map(([key]) => {
      const chart = new Chart("");
      const choose = element("select", "metric", "", { "aria-label": "Measure" });
      choose.addEventListener("change", () => { chart.key = choose.value; this.drawCharts(); });
      chart.key = key;
      chart.choose = choose;
      chart.title.replaceWith(choose);
      return chart;
    });
    this.axes = element("div", "switch");
    for (const [axis, title] of [["step", "steps"], ["seconds", "minutes"]]) {
      this.axes.append(button("choice", title, `Over ${title}`, () => { this.axis = axis; this.drawCharts(); }));
      this.axes.lastChild.dataset.axis = axis;
    }
    this.scale = button("choice", "log", "Logarithmic loss", () => { this.log = !this.log; this.drawCharts(); });
    this.axes.append(this.scale);
    this.loss.head.append(this.axes);
    const charts = element("div", "charts"), measures = element("div", "measures");
    measures.append(...this.metrics.map((c) => c.root));
    charts.append(this.loss.root, measures);
    this.empty = element("div", "empty");
    this.empty.append(element("h3", "", "Looking for trainings …")); // until the first answer
    this.nothing = [element("h3", "", "No training yet"), element("p", "",
      "An encoder turns a cutout into numbers, so that objects that look alike lie near each other. The one that ships knows galaxies in general; "
      + "one that is trained here knows this survey. Ten minutes are enough to see whether it is worth hours: its loss, its measures and what it sees appear here while it learns.")];
    this.middle = element("section", "middle none");
    this.middle.append(this.list, this.facts, charts, this.empty);
    this.picture = new Pictures(page);
  }

  show(data) {
    for (const name of Object.keys(this.runs)) if (!data.names.includes(name)) delete this.runs[name];
    Object.assign(this.runs, data.runs);
    Object.assign(this, { names: data.names, status: data.status, colours: data.colours, embedded: data.embedded, embedding: data.embedding });
    if (!this.focus || !data.names.includes(this.focus)) {
      this.focus = data.names.find((n) => ["running", "elsewhere"].includes(data.status[n].state)) ?? data.names.find((n) => this.runs[n]?.curve.step.length)
        ?? data.names[0] ?? null;
    }
    const fresh = data.names.filter((n) => !this.known?.has(n));
    if (this.known && fresh.length) this.focus = fresh[0];
    if (!this.known) for (const name of data.names.slice(OVERLAID)) this.hidden.add(name);
    this.known = new Set(data.names);
    this.middle.classList.toggle("none", data.names.length === 0);
    if (this.nothing[0].parentNode !== this.empty) this.empty.replaceChildren(...this.nothing);
    this.drawList();
    this.drawFacts();
    if (Object.keys(data.runs).length || fresh.length || this.drawn !== data.names.join("/")) this.drawCharts();
    this.drawn = data.names.join("/");
    this.picture.follow(this.focus, this.runs[this.focus]);
  }

  // The colours are made for a dark ground.
  colour(name) {
    const found = this.colours[name] ?? "var(--muted)";
    return this.page.model.dark ? found : `color-mix(in srgb, ${found} 72%, black)`;
  }

  have() { return Object.fromEntries(Object.entries(this.runs).map(([name, run]) => [name, run.version])); }

  drawList() {
    for (const [name, row] of this.rows) if (!this.names.includes(name)) { row.remove(); this.rows.delete(name); }
    this.names.forEach((name, k) => {
      if (!this.rows.has(name)) this.rows.set(name, this.line(name));
      const row = this.rows.get(name);
      if (this.list.children[k] !== row) this.list.insertBefore(row, this.list.children[k] ?? null);
      this.fill(row, name);
    });
  }

  line(name) {
    const row = element("div", "run", "", { role: "listitem", "data-name": name });
    row.dot = button("dot", "", `Draw the curve of ${name}`, (event) => {
      event.stopPropagation();
      this.hidden.has(name) ? this.hidden.delete(name) : this.hidden.add(name);
      this.drawList(); this.drawCharts();
    });
    row.name = element("button", "name", name, { type: "button" });
    row.what = element("span", "what");
    row.state = element("span", "state");
    row.words = element("span", "words");
    row.acts = element("span", "acts");
    row.bar = element("div", "track");
    row.bar.append(element("div", "part"));
    row.addEventListener("click", () => this.choose(name));
    row.append(row.dot, row.name, row.what, row.state, row.words, row.acts, row.bar);
    return row;
  }

  choose(name) {
    this.focus = name;
    this.hidden.delete(name);
    this.drawList(); this.drawFacts(); this.drawCharts();
    this.picture.follow(name, this.runs[name]);
  }

  fill(row, name) {
    const run = this.runs[name], status = this.status[name] ?? { state: "interrupted", words: "" };
    const last = run?.last ?? {}, steps = run?.steps ?? 0, live = ["running", "elsewhere"].includes(status.state);
    row.dataset.state = status.state;
    row.classList.toggle("focus", name === this.focus);
    row.dot.style.setProperty("--colour", this.colour(name));
    row.dot.setAttribute("aria-pressed", String(!this.hidden.has(name)));
    row.what.textContent = run ? [METHODS[run.method] ?? run.method, run.backbone].filter(Boolean).join(" · ") : "";
    row.state.textContent = STATES[status.state];
    const far = typeof last.step === "number" && steps ? `${whole(last.step)} of ${whole(steps)} steps` : "";
    const left = live && far ? `${duration(last.left)} left` : "";
    row.words.textContent = status.state === "failed" ? status.words : live && far ? `${far} · ${left}`
      : status.state === "finished" ? far.replace(/^.* of /, "") : [far, status.words].filter(Boolean).join(" · ");
    row.words.title = row.words.textContent;
    const share = steps && typeof last.step === "number" ? Math.min(1, last.step / steps) : 0;
    row.bar.hidden = !["running", "stopping", "waiting", "elsewhere"].includes(status.state);
    row.bar.classList.toggle("unknown", status.state === "running" && !share);
    row.bar.firstChild.style.width = `${100 * (share || (status.state === "running" ? 0.25 : 0))}%`;
    const acts = [];
    if (status.job !== null && status.job !== undefined) acts.push(["cancel", "Cancel", `Stop ${name}; what it learned is kept`]);
    if (["failed", "interrupted"].includes(status.state)) acts.push(["resume", run ? "Resume" : "Try again", `Go on with ${name}`]);
    if (status.state === "finished") {
      acts.push(this.embedded.includes(name) ? ["compare", "Compare", `Compare the representation ${name}`]
        : this.embedding.includes(name) ? ["", "Embedding …", "Its representation is being made"] : ["embed", "Embed with it", `Make a representation with ${name}, and a map of it`]);
    }
    const key = JSON.stringify([acts, status.job]);
    if (row.dataset.acts === key) return; // a button is not replaced under a finger
    row.dataset.acts = key;
    row.acts.replaceChildren(...acts.map(([act, title, hint]) => button("plain", title, hint, (event) => {
      event.stopPropagation();
      if (act === "cancel") this.page.send("cancel", { job: status.job });
      else if (!act) return;
      else if (act === "compare") this.page.compare.take(name);
      else this.page.send(act, { name });
    })));
  }

  drawFacts() {
    const run = this.runs[this.focus];
    const { last, quality } = run ?? { last: {}, quality: [] }, checkpoint = quality[quality.length - 1] ?? {}, first = quality[0] ?? {};
    const live = ["running", "elsewhere"].includes(this.status[this.focus]?.state);
    const change = (key) => {
      const from = first[key], to = checkpoint[key];
      return quality.length > 1 && Number.isFinite(from) && Number.isFinite(to) ? `from ${number(from)}` : "";
    };
    const parts = [["loss", number(last.loss), ""], ["learning rate", number(last.learning_rate, 2), ""], ["cutouts a second", number(last.rate), ""],
      live ? ["left", duration(last.left), ""] : ["took", duration(last.seconds), ""],
      ["linear probe", number(checkpoint.probe), change("probe")], ["2-point score", number(checkpoint.two_point), change("two_point")]];
    this.facts.replaceChildren(...parts.map(([title, value, more]) => {
      const box = element("div", "fact");
      box.append(element("b", "", value), element("span", "", title), element("i", "", more));
      return box;
    }));
    this.facts.title = run ? [run.command, run.objects ? `${whole(run.objects)} objects` : "", run.bands?.join(" ")].filter(Boolean).join("\n") : "";
  }

  drawCharts() {
    const shown = (this.names ?? []).filter((n) => this.runs[n] && !this.hidden.has(n));
    const over = (record) => this.axis === "step" ? record.step : record.seconds / 60;
    const unit = this.axis === "step" ? "steps" : "minutes";
    for (const choice of this.axes.children) choice.classList.toggle("chosen", choice.dataset.axis ? choice.dataset.axis === this.axis : Boolean(this.log));
    const look = (name) => ({ name, colour: this.colour(name), focus: name === this.focus });
    // the losses of two methods measure different things
    const method = this.runs[this.focus]?.method, alike = shown.filter((name) => !method || this.runs[name].method === method);
    this.loss.title.textContent = alike.length < shown.length ? `Loss of ${METHODS[method] ?? method}` : "Loss";
    this.loss.title.title = alike.length < shown.length ? "Only trainings by this method: the losses of two methods cannot be compared" : "";
    this.loss.show(alike.map((name) => {
      const { curve } = this.runs[name];
      return { ...look(name), x: this.axis === "step" ? curve.step : curve.seconds.map((s) => s / 60), y: curve.loss };
    }), { unit, log: this.log, none: shown.length ? "The first numbers come after a few steps." : "Choose trainings above to draw their curves." });
    const keys = new Set(["probe", "two_point"]);
    for (const name of shown) for (const record of this.runs[name].quality) for (const key of Object.keys(record)) keys.add(key);
    for (const key of ["step", "seconds"]) keys.delete(key);
    for (const chart of this.metrics) {
      const words = [...keys].join("/");
      if (chart.words_ !== words) {
        chart.choose.replaceChildren(...[...keys].map((key) => element("option", "", QUALITY[key] ?? key, { value: key })));
        chart.choose.value = chart.key;
        chart.words_ = words;
      }
      chart.show(shown.map((name) => {
        const run = this.runs[name], time = (record) => {
          if (this.axis === "step") return record.step;
          if (Number.isFinite(record.seconds)) return record.seconds / 60;
          const at = run.curve.step.findIndex((s) => s >= record.step);
          return (run.curve.seconds[at < 0 ? run.curve.seconds.length - 1 : at] ?? 0) / 60;
        };
        const found = run.quality.filter((r) => Number.isFinite(r[chart.key]));
        return { ...look(name), x: found.map(time), y: found.map((r) => r[chart.key]), dots: true };
      }), { unit, none: "Measured at each checkpoint." });
    }
  }
}

// What a training makes of a few objects, by step.
class Pictures {
  constructor(page) {
    this.page = page;
    this.root = element("aside", "picture without");
    this.head = element("div", "headings");
    this.image = element("img", "", "", { alt: "" });
    this.none = element("p", "none");
    this.slider = element("input", "", "", { type: "range", min: "0", "aria-label": "Step of the picture" });
    this.words = element("span", "step");
    this.slider.addEventListener("input", () => { this.newest = Number(this.slider.value) === this.steps.length - 1; this.ask(); });
    const line = element("div", "scrub");
    line.append(this.slider, this.words);
    this.frame = element("div", "frame");
    this.frame.append(this.image, this.none);
    this.root.append(this.head, this.frame, line);
    this.steps = [];
    this.newest = true;
  }

  follow(name, run) {
    const steps = run?.pictures ?? [];
    const other = name !== this.name;
    if (!other && steps.join() === this.steps.join() && this.method === run?.method) return;
    const at = this.steps[Number(this.slider.value)];
    Object.assign(this, { name, steps, method: run?.method });
    if (other) { this.newest = true; this.image.removeAttribute("src"); this.asked = null; }
    const place = this.newest ? steps.length - 1 : Math.max(0, steps.indexOf(at));
    this.slider.max = String(Math.max(0, steps.length - 1));
    this.slider.value = String(place);
    this.root.classList.toggle("without", steps.length === 0);
    this.slider.disabled = steps.length < 2;
    this.head.replaceChildren(...(PANELS[run?.method] ?? []).map((title) => element("span", "", title)));
    this.none.textContent = steps.length ? "" : !run ? "" : PANELS[run.method] ? "The first picture comes with the first checkpoint." : `${run.method || "This training"} has nothing to show but its curves.`;
    if (steps.length) this.ask();
  }

  ask() {
    const step = this.steps[Number(this.slider.value)];
    this.words.textContent = step === undefined ? "" : `step ${whole(step)}`;
    if (step === undefined || this.asked === `${this.name}/${step}`) return;
    this.asked = `${this.name}/${step}`;
    this.page.send("picture", { name: this.name, step });
  }

  show(frame) {
    const { header, pictures } = frame;
    if (header.name !== this.name || this.asked !== `${header.name}/${header.step}`) return;
    const old = this.image.src, fresh = url(pictures[0]);
    this.image.src = fresh;
    this.image.alt = `${header.name}, step ${header.step}`;
    if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
  }
}
