// Lines of right ascension and declination below the points of a sky layout.

export function render({ model, view }) {
  const root = element("div", "sky"), canvas = element("canvas", ""), pen = canvas.getContext("2d"), words = element("div", "values");
  let shown = null, camera = null;
  root.append(canvas, words);
  const draw = (now) => {
    camera = now;
    root.hidden = !shown;
    if (!shown || !camera) return;
    const { width, height } = camera, scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = getComputedStyle(root).color;
    pen.globalAlpha = 0.4;
    pen.beginPath();
    for (const line of shown.lines) line.forEach(([x, y], k) => { if (k) pen.lineTo(camera.x(x), camera.y(y)); else pen.moveTo(camera.x(x), camera.y(y)); });
    pen.stroke();
    words.childNodes.forEach((node, k) => {
      const { x, y, kind } = shown.labels[k], left = camera.x(x), top = camera.y(y);
      node.hidden = left < 0 || left > width || top < 0 || top > height;
      node.style.transform = kind === "ra" ? `translate(${left + 4}px, ${Math.min(top, height) - 16}px)` : `translate(calc(${left - 4}px - 100%), ${top - 15}px)`;
    });
  };
  const blend = () => { canvas.style.mixBlendMode = model.dark ? "lighten" : "darken"; if (camera) setTimeout(() => draw(camera), 50); };
  const take = () => {
    shown = parse(model.frame)?.header ?? null;
    words.replaceChildren(...(shown?.labels ?? []).map(({ text, kind }) => element("span", kind, text)));
    if (camera) draw(camera); else root.hidden = !shown;
  };
  model.on("frame", take);
  model.on("dark", blend);
  const end = follow(view, model.figure, draw);
  model.on("remove", end);
  blend();
  take();
  return root;
}
