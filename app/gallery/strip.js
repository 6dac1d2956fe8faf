// The strip between the tools and the tiles: news, a question that waits for an answer, a field for a comment.

class Strip {
  constructor(root, { answer, write, closed }) {
    this.root = root;
    this.answers = { answer, write, closed };
    this.asking = false;
    this.root.hidden = true;
  }

  get kind() { return this.root.dataset.kind; }

  set(kind, ...parts) {
    this.root.replaceChildren(...parts);
    this.root.dataset.kind = kind;
    this.root.hidden = false;
  }

  hide() {
    this.asking = false;
    this.root.hidden = true;
  }

  hideInfo() { if (this.kind === "info" && !this.asking) this.hide(); }

  tell(text, kind, retry = null) {
    if (this.asking || this.kind === "write" && !this.root.hidden) return;
    const parts = [element("span", "", text)];
    if (retry) parts.push(button("primary", "Try again", "Try again", () => { this.hide(); retry(); }));
    this.set(kind, ...parts, button("plain", "Close", "Close", () => this.hide()));
  }

  ask({ text, value }) {
    this.asking = true;
    const confirm = button(`primary ${value}`, "", "Confirm (Enter)", () => this.decide(true));
    confirm.append("Label all ", element("kbd", "", "Enter"));
    const cancel = button("plain", "", "Cancel (Esc)", () => this.decide(false));
    cancel.append("Cancel ", element("kbd", "", "Esc"));
    this.set("ask", element("span", "", text), confirm, cancel);
  }

  decide(yes) {
    this.hide();
    this.answers.answer(yes);
  }

  // A field for a comment on one object.
  write(row, name, text) {
    const field = element("input", "comment-field", "", { type: "text", maxlength: "2000", placeholder: "what is remarkable about it",
      "aria-label": `Comment on ${name}` });
    field.value = text;
    const done = (save) => {
      this.hide();
      if (save && field.value.trim() !== text) this.answers.write(row, field.value.trim());
      this.answers.closed();
    };
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      done(event.key === "Enter");
    });
    const save = button("primary", "", "Save (Enter)", () => done(true));
    save.append("Save ", element("kbd", "", "Enter"));
    this.set("write", element("label", "", name), field, save, button("plain", "Cancel", "Cancel (Esc)", () => done(false)));
    field.focus();
    field.select();
  }
}
