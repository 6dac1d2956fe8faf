// What the scripts of the page's components share: elements, the frames of app/frames.py, verdicts. `app.frames.script` puts
// it in front of each: without a bundler a component is one module.

const VERDICTS = ["", "yes", "no", "unsure", "other"];
const SIGNS = ["", "✓", "×", "?", "•"];
const LABEL_KEYS = { y: "yes", n: "no", u: "unsure" };

// How a code of a label is drawn, where no list of answers says more: ratings and classes have codes of their own.
const labelName = (code) => VERDICTS[code ?? 0] ?? "choice";
const labelSign = (code, choices = []) => choices.find((choice) => choice.code === code)?.sign ?? SIGNS[code ?? 0] ?? SIGNS[4];

function element(tag, className = "", text = "", attributes = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function button(className, text, title, action) {
  const made = element("button", className, text, { type: "button", title, "aria-label": title });
  made.addEventListener("click", (event) => { action(event); made.blur(); });
  return made;
}

function parse(buffer) {
  const bytes = buffer instanceof ArrayBuffer ? new Uint8Array(buffer)
    : new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);
  if (bytes.length < 4) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  let start = 4 + length;
  const pictures = header.sizes.map((size) => bytes.subarray(start, (start += size)));
  return { header, pictures };
}
