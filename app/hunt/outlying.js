// The controls above the outliers: which score, whether labels move it, whether what looks like artefacts is hidden; the
// button that computes the scores while there are none.

class Outlying {
  constructor(model) {
    this.model = model;
    this.root = element("div", "outlying", "", { "aria-label": "Outliers" });
    this.controls = element("div", "controls");
    this.method = element("select", "", "", { title: "Which score of strangeness", "aria-label": "Which score of strangeness" });
    this.method.addEventListener("change", () => { this.send("method", { method: this.method.value }); this.method.blur(); });
    this.reweighted = this.toggle("reweighted", "Re-weighted",
      "Labels move the list: what is like what you rejected sinks, what is far from every label stays where it is");
    this.hide = this.toggle("hide", "Hide artefacts", "Leave out what looks like what is labelled an artefact");
    this.controls.append(this.method, this.reweighted, this.hide);
    this.status = element("div", "status", "", { role: "status" });
    this.offer = element("div", "offer");
    this.root.append(this.controls, this.status, this.offer);
    this.controls.hidden = this.status.hidden = this.offer.hidden = true;
  }

  send(type, more = {}) { this.model.send_msg({ type, ...more }); }

  toggle(type, text, title) {
    const made = button("switch", "", title, () => this.send(type, { on: made.getAttribute("aria-pressed") !== "true" }));
    made.setAttribute("aria-label", text);
    made.append(element("i"), element("span", "", text));
    return made;
  }

  draw(header) {
    const any = header.kept.length > 0;
    this.controls.hidden = this.status.hidden = !any;
    this.offer.hidden = any;
    if (any) this.drawControls(header); else this.drawOffer(header);
  }

  drawControls({ kept, method, reweighted, hide, status, representation, anew, running, problem }) {
    if (document.activeElement !== this.method) {
      this.method.replaceChildren(...kept.map((score) => {
        const option = new Option(score.title, score.method);
        option.title = score.words;
        return option;
      }));
    }
    this.method.value = method;
    this.method.title = kept.find((score) => score.method === method)?.words ?? "";
    this.reweighted.setAttribute("aria-pressed", reweighted);
    this.hide.setAttribute("aria-pressed", hide);
    const parts = [element("span", problem ? "problem" : "", problem || status)];
    if (running) parts.push(element("span", "running", running));
    else {
      const text = representation === anew ? "Compute anew" : `Compute by ‘${anew}’`;
      parts.push(button("link", text, `These scores come from ‘${representation}’`, () => this.send("compute")));
    }
    this.status.replaceChildren(...parts);
  }

  drawOffer({ running, words, can, problem }) {
    if (running) { this.offer.replaceChildren(element("span", "running", running)); return; }
    const parts = can ? [button("primary", "Find outliers", words, () => this.send("compute"))] : [];
    parts.push(element("p", problem ? "problem" : "", problem || words));
    this.offer.replaceChildren(...parts);
  }

  show() {
    const frame = parse(this.model.frame);
    if (frame) this.draw(frame.header);
  }

  theme() { this.root.dataset.theme = this.model.dark ? "dark" : "light"; }
}

export function render({ model }) {
  const outlying = new Outlying(model);
  model.on("frame", () => outlying.show());
  model.on("dark", () => outlying.theme());
  outlying.theme();
  outlying.show();
  return outlying.root;
}
