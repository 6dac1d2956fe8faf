// What is said of objects, shown at once and confirmed by the server: sent again when no answer comes (the server does nothing
// twice: each message has a token), put back and told if it failed.

const PATIENCE = 4000; // ms until an unconfirmed message is sent again
const TRIES = 5;
const SESSION = Math.random().toString(36).slice(2); // a page that is drawn anew must not use tokens again

class Labels {
  constructor({ send, changed, strip }) {
    this.send = send;
    this.changed = changed; // (row) → repaint it
    this.strip = strip;
    this.pending = new Map(); // token → {row, undo, message, timer, tries}
    this.failed = [];
    this.count = 0;
  }

  // Rows with something unconfirmed.
  get rows() { return new Set([...this.pending.values()].map((entry) => entry.row)); }

  // `redo` shows what is said, `undo` puts it back.
  say(type, row, rest, redo, undo) {
    const token = `${SESSION}${++this.count}`;
    const entry = { row, redo, undo, message: { row, ...rest, token }, type, timer: null, tries: 0 };
    this.pending.set(token, entry);
    redo();
    this.changed(row);
    this.dispatch(entry);
    this.strip.hideInfo();
  }

  dispatch(entry) {
    entry.tries += 1;
    this.send(entry.type, entry.message);
    entry.timer = setTimeout(() => this.late(entry), PATIENCE);
  }

  late(entry) {
    const waiting = this.pending.size;
    if (entry.tries >= TRIES) {
      this.fail(entry, "the server does not answer");
      return;
    }
    this.strip.tell(`${waiting === 1 ? "A label is" : `${waiting} labels are`} not saved yet: trying again.`, "warning");
    this.dispatch(entry);
  }

  // What a page that comes from the server does not know yet.
  reapply(row) { for (const entry of this.pending.values()) if (row === undefined || entry.row === row) entry.redo(); }

  answered({ token, good, problem }) {
    const entry = this.pending.get(token);
    if (!entry) return;
    clearTimeout(entry.timer);
    if (!good) { this.fail(entry, problem); return; }
    this.pending.delete(token);
    this.changed(entry.row);
    if (!this.pending.size && this.strip.kind === "warning") this.strip.hide();
  }

  fail(entry, problem) {
    this.pending.delete(entry.message.token);
    entry.undo();
    this.failed.push(entry);
    this.changed(entry.row);
    const what = this.failed.length === 1 ? "Not saved" : `${this.failed.length} are not saved`;
    this.strip.tell(`${what}: ${problem}`, "error", () => this.again());
  }

  again() {
    for (const entry of this.failed.splice(0)) {
      entry.tries = 0;
      this.pending.set(entry.message.token, entry);
      entry.redo();
      this.changed(entry.row);
      this.dispatch(entry);
    }
  }

  destroy() { for (const { timer } of this.pending.values()) clearTimeout(timer); }
}
