// What the layers over a map share: how to follow its figure. `app.frames.script("layer.js", ...)` puts it in front of each.

// Call `draw(camera)` now and whenever the figure shows another part of the plane, at most once a frame of the screen (or as
// `soon` has it).
// camera: x0, y0, x1, y1 of the view, width and height in pixels, and x(value), y(value) → pixels from the top left.
// Returns a function that ends it.
function follow(view, name, draw, soon = requestAnimationFrame) {
  let figure = null, asked = false, ended = false;
  const look = () => {
    asked = false;
    if (ended) return;
    const x0 = figure.x_range.start, x1 = figure.x_range.end, y0 = figure.y_range.start, y1 = figure.y_range.end;
    let width = 0, height = 0;
    try { width = figure.inner_width; height = figure.inner_height; } catch { /* not laid out yet */ }
    if (!(width > 0 && height > 0 && x1 > x0 && y1 > y0)) return;
    draw({ x0, y0, x1, y1, width, height,
      x: (value) => ((value - x0) / (x1 - x0)) * width, y: (value) => ((y1 - value) / (y1 - y0)) * height });
  };
  const ask = () => { if (!asked && !ended) { asked = true; soon(look); } };
  const signals = () => [figure.x_range.properties.start.change, figure.x_range.properties.end.change,
    figure.y_range.properties.start.change, figure.y_range.properties.end.change,
    figure.properties.inner_width.change, figure.properties.inner_height.change];
  const find = () => {
    if (ended) return;
    figure = view.model.document?.get_model_by_name(name) ?? null;
    if (!figure) { setTimeout(find, 100); return; }
    for (const signal of signals()) signal.connect(ask);
    ask();
  };
  find();
  return () => {
    ended = true;
    if (figure) for (const signal of signals()) signal.disconnect(ask);
  };
}
