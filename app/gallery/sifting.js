// Grid mode: a page at one stroke. Clicks pick the exceptions, one key says what all others are, the tiles show what would be
// written, Enter writes it as one batch. What is labelled already keeps its label.

const OPPOSITE = { yes: "no", no: "yes" };

class Sifting {
  constructor({ header, marked, strip, commit, ended }) {
    this.calls = { header, marked, commit, ended };
    this.strip = strip;
    this.on = false;
    this.exceptions = new Set();
    this.answer = null; // what all others would be
  }

  toggle(on = !this.on) {
    if (this.on === on) return;
    this.on = on;
    this.reset();
    if (!on) { this.strip.hide(); this.calls.ended(); }
  }

  // A new page, or another start.
  reset() {
    this.exceptions.clear();
    this.answer = null;
    if (this.on) this.draw();
  }

  pick(row) {
    if (!this.exceptions.delete(row)) this.exceptions.add(row);
    this.draw();
  }

  choose(answer) {
    this.answer = answer;
    this.draw();
  }

  // Rows and values that would be written, in the order of the page.
  plan() {
    const { rows, codes, choices } = this.calls.header();
    const other = choices.find((choice) => choice.value === OPPOSITE[this.answer?.value]);
    const found = { rows: [], values: [], answers: new Map(), kept: 0 };
    if (!this.answer) return found;
    rows.forEach((row, k) => {
      const answer = this.exceptions.has(row) ? other : this.answer;
      if (!answer) return; // an exception of a rating or a class is left as it is
      if (codes[k] && !this.exceptions.has(row)) { found.kept += 1; return; }
      found.rows.push(row);
      found.values.push(answer.value);
      found.answers.set(row, answer);
    });
    return found;
  }

  draw() {
    const { target, choices, rows } = this.calls.header();
    const plan = this.plan();
    this.calls.marked(plan.answers, this.exceptions);
    if (!this.answer) {
      const keys = choices.map((choice) => element("kbd", "", choice.key));
      const text = element("span", "", this.exceptions.size
        ? `${this.exceptions.size} picked. All ${number(rows.length - this.exceptions.size)} others are: `
        : "Click the exceptions, or pick them with space. Then say what all others are: ");
      text.append(...keys.flatMap((key) => [key, " "]));
      this.strip.set("sift", text, this.closer("Leave "));
      return;
    }
    const counts = new Map();
    for (const value of plan.values) counts.set(value, (counts.get(value) ?? 0) + 1);
    const parts = [...counts].map(([value, count]) => `${number(count)} × ${value}`);
    const kept = plan.kept ? ` ${plan.kept} labelled before stay as they are.` : "";
    const text = parts.length ? `Write ${parts.join(", ")} for ‘${target}’.${kept}` : `Nothing to write.${kept}`;
    const write = button("primary", "", "Write (Enter)", () => this.write());
    write.append("Write ", element("kbd", "", "Enter"));
    write.disabled = !plan.rows.length;
    this.strip.set("sift", element("span", "", text), write, this.closer("Back "));
  }

  closer(text) {
    const made = button("plain", text, "Back (Esc)", () => this.back());
    made.append(element("kbd", "", "Esc"));
    return made;
  }

  back() {
    if (this.answer) this.choose(null);
    else this.toggle(false);
  }

  write() {
    const plan = this.plan();
    if (!plan.rows.length) return;
    this.calls.commit(plan);
  }
}
