// What the map's names and the rail's list of clusters share: a cluster as the page has it, and its menu.

const cluster = ([code, count, name, why, own, colour]) => ({ code, count, name, why, own, colour });
const grouped = (n) => n.toLocaleString("en-US");
const brief = (n) => (n < 10000 ? grouped(n) : n < 1e6 ? `${Math.round(n / 1000)}k` : `${(n / 1e6).toFixed(1)}M`);

// The menu of one cluster: select, show only, rename, label every member after asking. One at a time.
class ClusterMenu {
  constructor(root, send, rename) {
    this.root = root;
    this.send = send;
    this.rename = rename;
    this.node = null;
    this.away = (event) => { if (this.node && !event.composedPath().includes(this.node)) this.close(); };
    this.keys = (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // it closes the menu, and nothing else
      event.stopPropagation();
      this.close();
    };
  }

  open(shown, { target, most }, x, y) {
    this.close();
    const menu = this.node = element("div", "menu", "", { popover: "manual", role: "dialog", "aria-label": `Cluster ${shown.name}` });
    const act = (text, title, type) => button("act", text, title, () => { this.close(); this.send({ type, code: shown.code }); });
    const head = element("div", "head");
    head.append(element("b", "", shown.name), element("span", "", `${grouped(shown.count)} objects`));
    menu.append(head);
    if (shown.why) menu.append(element("p", "why", shown.own ? `Found: ${shown.why}` : shown.why));
    menu.append(act("Select", "Select its members", "select"),
      act("Show only these", "Select its members and hide the others", "only"),
      button("act", "Rename …", "Give it a name of your own; it stays when the clusters are found again", () => { this.close(); this.rename(shown); }));
    if (shown.own) {
      menu.append(button("act", "Take the name back", "Call it what is found in its objects",
        () => { this.close(); this.send({ type: "rename", code: shown.code, text: "" }); }));
    }
    menu.append(this.labels(shown, target, most));
    this.root.append(menu);
    menu.showPopover();
    this.at = [x, y];
    this.fit();
    document.addEventListener("pointerdown", this.away, true);
    document.addEventListener("wheel", this.away, true);
    window.addEventListener("keydown", this.keys, true);
    menu.querySelector("button").focus();
  }

  // Inside the window, wherever it was asked for and however it has grown.
  fit() {
    const box = this.node.getBoundingClientRect(), [x, y] = this.at;
    this.node.style.left = `${Math.max(8, Math.min(x, window.innerWidth - box.width - 8))}px`;
    this.node.style.top = `${Math.max(8, Math.min(y, window.innerHeight - box.height - 8))}px`;
  }

  labels(shown, target, most) {
    const part = element("div", "labels");
    if (shown.count > most) {
      part.append(element("p", "why", `To label all at once they must be at most ${grouped(most)}.`));
      return part;
    }
    const choose = () => {
      const row = element("div", "verdicts");
      for (const [k, value] of ["yes", "no", "unsure"].entries()) {
        row.append(button(`verdict ${value}`, `${SIGNS[k + 1]} ${value}`, `Label all as ${value}`, () => ask(value)));
      }
      part.replaceChildren(element("span", "why", `Label all for ‘${target}’`), row);
    };
    const ask = (value) => {
      const row = element("div", "verdicts");
      const go = button(`verdict sure ${value}`, `Label ${grouped(shown.count)}`, "",
        () => { this.close(); this.send({ type: "label", code: shown.code, value, target }); });
      row.append(go, button("verdict", "Cancel", "", choose));
      part.replaceChildren(element("span", "ask", `Label ${grouped(shown.count)} objects ‘${value}’ for ‘${target}’?`), row);
      this.fit();
      go.focus();
    };
    choose();
    return part;
  }

  close() {
    if (!this.node) return;
    this.node.remove();
    this.node = null;
    document.removeEventListener("pointerdown", this.away, true);
    document.removeEventListener("wheel", this.away, true);
    window.removeEventListener("keydown", this.keys, true);
  }
}

// A field in the place of a name. `done(text)` gets what was typed, null if nothing is to change.
function nameField(shown, done) {
  const field = element("input", "field", "", { maxlength: 60, "aria-label": `Name of the cluster ${shown.name}` });
  field.value = shown.name;
  let over = false;
  const end = (text) => {
    if (over) return;
    over = true;
    done(text !== null && text.trim() && text.trim() !== shown.name ? text.trim() : null);
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" && !event.isComposing) end(field.value);
    else if (event.key === "Escape") { event.preventDefault(); end(null); }
  });
  field.addEventListener("blur", () => end(field.value));
  for (const type of ["click", "dblclick", "pointerdown", "wheel"]) field.addEventListener(type, (event) => event.stopPropagation());
  requestAnimationFrame(() => { field.focus(); field.select(); });
  return field;
}
