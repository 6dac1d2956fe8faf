// Keys of the gallery. Those that move never label. While a page is on its way they wait, so that none labels an object that
// was not seen.

// Whether a key belongs to something else: a field, an open menu, or a button that Enter or space would press.
function taken(event) {
  for (const node of event.composedPath()) {
    if (!(node instanceof Element)) continue;
    if (node.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName)) return true;
    if (["menu", "listbox", "combobox", "dialog", "slider", "textbox"].includes(node.getAttribute("role"))
        && !node.dataset.gallery) return true;
    if ((node.tagName === "BUTTON" || node.tagName === "A") && (event.key === "Enter" || event.key === " ")) return true;
  }
  return false;
}

class Keys {
  constructor(gallery) {
    this.gallery = gallery;
    this.waiting = [];
    const g = gallery;
    this.moves = {
      ArrowRight: () => g.move(1),
      ArrowLeft: () => g.move(-1),
      ArrowDown: () => g.move(g.tiles.columns()),
      ArrowUp: () => g.move(-g.tiles.columns()),
      Home: () => g.header.rows.length && g.setCursor(g.header.rows[0]),
      End: () => g.header.rows.length && g.setCursor(g.header.rows.at(-1)),
      "[": () => g.turnPage(-1, 0),
      "]": () => g.turnPage(1, 0),
      PageUp: () => g.turnPage(-1, 0),
      PageDown: () => g.turnPage(1, 0),
      Enter: () => g.cursor >= 0 && g.send("open", { row: g.cursor }),
      s: () => g.cursor >= 0 && g.send("similar", { row: g.cursor }),
      r: () => g.refresh(),
    };
    this.acts = { // once a press: a key held down must not label a row of objects
      j: () => g.move(1),
      J: () => g.reviewLater(),
      a: () => g.markArtefact(),
      w: () => g.comment(),
      q: () => g.sift(),
      z: () => g.step("undo"),
      Z: () => g.step("redo"),
    };
  }

  // What a key says of an object: a digit, y, n, u; shift means all that are listed.
  answer(event) {
    const digit = /^(Digit|Numpad)([0-9])$/.exec(event.code)?.[2];
    const key = /^[0-9]$/.test(event.key) ? event.key : event.shiftKey && digit ? digit : event.key.toLowerCase();
    const found = this.gallery.header.choices.find((choice) => choice.key === key);
    return found && { choice: found, whole: event.shiftKey && !/^[0-9]$/.test(event.key) };
  }

  // What a person presses to label, when the target takes something else.
  stray(event) { return /^[0-9ynu]$/i.test(event.key); }

  heard(event) {
    const g = this.gallery;
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!g.header || !g.root.isConnected || g.root.getClientRects().length === 0 || taken(event)) return;
    const answer = this.answer(event);
    if (g.strip.asking) {
      if (event.key === "Enter" || event.key === "Escape") g.strip.decide(event.key === "Enter");
      else if (!answer) return;
      this.consume(event); // a stray verdict must not label while a question is open
      return;
    }
    if (g.sifting.on && this.sifted(event, answer)) { this.consume(event); return; }
    if (event.key === "Escape") {
      if (g.strip.root.hidden) return; // the map's
      g.strip.hide();
      this.consume(event);
      return;
    }
    if (event.key === "Enter" && g.inspecting) return; // the inspector's: as large as the window
    if (event.key === "Enter" && document.documentElement.dataset.skysieve === "editing") return; // the outline's
    const act = answer ? () => this.label(answer) : this.acts[event.key] ?? this.moves[event.key] ?? this.stranger(event);
    if (!act) return;
    this.consume(event);
    if (event.repeat && !this.moves[event.key]) return;
    this.act(act);
  }

  // A label key that this target does not take is said, not passed on to the map.
  stranger(event) {
    if (!this.stray(event) || event.shiftKey) return null;
    const { target, choices } = this.gallery.header;
    const keys = choices.map((choice) => choice.key).join(" ");
    return () => this.gallery.strip.tell(`‘${target}’ takes ${keys}.`, "info");
  }

  sifted(event, answer) {
    const { sifting, cursor } = this.gallery;
    if (event.key === "Escape") sifting.back();
    else if (event.key === "Enter") sifting.write();
    else if (event.key === " ") { if (cursor >= 0 && !event.repeat) sifting.pick(cursor); }
    else if (answer) { if (!event.repeat) sifting.choose(answer.choice); }
    else return false;
    return true;
  }

  label({ choice, whole }) {
    if (whole) this.gallery.send("all", { value: choice.value });
    else this.gallery.label(choice);
  }

  act(call) {
    if (this.gallery.turning) this.waiting.push(call);
    else call();
  }

  // A page has come.
  release() {
    const waiting = this.waiting.splice(0);
    for (const call of waiting) this.act(call);
  }

  consume(event) { event.preventDefault(); event.stopImmediatePropagation(); }
}
