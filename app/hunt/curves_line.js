// One line on how the hunt goes, above the suggestions; it opens the curves.

const count = (n) => Math.round(n).toLocaleString("en");

export function render({ model }) {
  const root = element("div", "curves-line"), words = element("span", "words"), act = element("span", "act");
  const line = button("open", "", "How the hunt goes: curves, and how many are left", () => model.send_msg({ type: "open" }));
  line.append(words, act);
  root.append(line);
  const show = () => {
    const said = model.frame && parse(model.frame)?.header;
    root.dataset.theme = model.dark ? "dark" : "light";
    act.textContent = "Curves";
    if (!said) { words.textContent = "How the hunt goes …"; return; }
    if (said.state !== "told") { words.textContent = said.state === "empty" ? "No labels yet" : "The curves could not be measured"; return; }
    const left = said.left_random ?? said.left_model;
    const rest = left ? `${count(left.low)}–${count(left.high)} left (90 %, ${said.left_random ? "by random labels" : "by the model"})` : "left: cannot say yet";
    words.textContent = `${count(said.yes)} found in ${count(said.labels)} labels · ${rest}`;
  };
  model.on("frame", show);
  model.on("dark", show);
  show();
  return root;
}
