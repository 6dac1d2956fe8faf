// Asks for the part of the plane that the figure shows, as soon as it changes, one frame at a time.

const PATIENCE = 3000; // ms after which a frame is given up

export function render({ model, view }) {
  let wanted = null, since = 0, pressed = false, timer = 0;
  const ask = () => {
    clearTimeout(timer);
    if (!wanted || pressed) return;
    const left = since ? since + PATIENCE - performance.now() : 0;
    if (left > 0) { timer = setTimeout(ask, left); return; }
    const { x0, y0, x1, y1, width, height } = wanted;
    wanted = null;
    since = performance.now();
    model.send_msg({ x0, y0, x1, y1, width, height, ratio: Math.min(Math.max(window.devicePixelRatio || 1, 1), 3) });
  };
  const end = follow(view, model.figure, (camera) => { wanted = camera; ask(); }, queueMicrotask);
  const press = (event) => { pressed = event.type === "pointerdown"; if (!pressed) setTimeout(ask); };
  const PRESSES = ["pointerdown", "pointerup", "pointercancel"];
  for (const name of PRESSES) document.addEventListener(name, press, true);
  model.on("msg:custom", () => { since = 0; ask(); });
  model.on("remove", () => {
    end();
    clearTimeout(timer);
    for (const name of PRESSES) document.removeEventListener(name, press, true);
  });
  return element("div");
}
