// The line at the foot of a map.

export function render({ model }) {
  const root = element("div", "note"), words = element("span", "words"), track = element("div", "track"), part = element("div", "part");
  root.setAttribute("role", "status");
  const act = button("act", "", "", () => { act.disabled = true; model.send_msg({ type: model.said.act }); });
  track.append(part);
  root.append(words, act, track);
  const show = () => {
    const { said } = model;
    root.hidden = !said.words;
    words.textContent = said.words ?? "";
    act.hidden = !said.act;
    act.disabled = false;
    act.textContent = act.title = said.action ?? "";
    act.setAttribute("aria-label", said.action ?? "");
    track.hidden = said.fraction === null || said.fraction === undefined;
    part.style.width = `${100 * (said.fraction ?? 0)}%`;
  };
  model.on("said", show);
  show();
  return root;
}
