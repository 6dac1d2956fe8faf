// The layer over the map: tools, legend, hover card, status. Elements are made once; each parameter updates its own part.

const ICONS = {
  pan: "M8 1.5v13M1.5 8h13M8 1.5 6 3.5M8 1.5l2 2M8 14.5l-2-2M8 14.5l2-2M1.5 8l2-2M1.5 8l2 2M14.5 8l-2-2M14.5 8l-2 2",
  lasso: "M8 2.5c3.6 0 6.3 1.8 6.3 4.1S11.6 10.7 8 10.7 1.7 8.9 1.7 6.6 4.4 2.5 8 2.5M4.8 10.2c-1 .9-.9 2.3.2 2.3 1.3 0 1.4-1.3.6-2M4.9 12.4c0 1 .6 1.6 1.7 2",
  box: "M2.5 5.5v-3h3M10.5 2.5h3v3M13.5 10.5v3h-3M5.5 13.5h-3v-3M7 2.5h2M7 13.5h2M2.5 7v2M13.5 7v2",
  fit: "M6 2.5H2.5V6M10 2.5h3.5V6M13.5 10v3.5H10M2.5 10v3.5H6M6 6h4v4H6z",
  two: "M2.5 3.5h5v9h-5zM8.5 3.5h5v9h-5z",
  names: "M2.5 4.5h11M2.5 4.5v2M13.5 4.5v2M8 4.5v8M6.2 12.5h3.6",
  others: "M1.5 8s2.4-4.5 6.5-4.5S14.5 8 14.5 8s-2.4 4.5-6.5 4.5S1.5 8 1.5 8M8 6a2 2 0 1 0 0 4 2 2 0 1 0 0-4M3 13.5l10-11",
  portraits: "M2.5 2.5h4.5v4.5H2.5zM9 9h4.5v4.5H9zM11.2 3.2v2.6M9.9 4.5h2.6M4.7 10v2.6M3.4 11.3H6",
}
const TOOLS = [["pan", "Pan (V)"], ["lasso", "Lasso (L, or hold Shift)"], ["box", "Box (B)"]]
const BOKEH = {pan: "PanTool", lasso: "LassoSelectTool", box: "BoxSelectTool"}
const SETTLED = 1500 // ms after which what the server changed during the page's construction is asked for once more
const THROTTLE = 100 // ms between two questions about what is under the pointer

const make = (tag, name, text) => {
  const node = document.createElement(tag)
  if (name) node.className = name
  if (text !== undefined) node.textContent = text
  return node
}
const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", "0 0 16 16")
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  path.setAttribute("d", ICONS[name])
  svg.append(path)
  return svg
}
const count = (n) => n.toLocaleString("en-US")

const writing = (event) => {
  const target = event.composedPath()[0]
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
}

export function typing(event) {
  return event.ctrlKey || event.metaKey || event.altKey || writing(event)
}

// Enter ends what is typed into a line of text: the next key is a shortcut again.
function finished(event) {
  const field = event.composedPath()[0]
  if (event.key !== "Enter" || event.isComposing || !(field instanceof HTMLInputElement)) return
  if (["text", "search"].includes(field.type) && field.getAttribute("role") !== "combobox") setTimeout(() => field.blur())
}

export function render({model, view}) {
  const root = make("div", "overlay")
  const current = (name) => missed[name] ?? model[name]
  let missed = {}
  const send = (message) => model.send_msg(message)

  // -- tools
  const bar = make("div", "tools")
  bar.setAttribute("role", "toolbar")
  const buttons = {}
  const button = (name, title, act) => {
    const b = make("button", "tool")
    b.title = title
    b.setAttribute("aria-label", title)
    b.append(icon(name))
    b.onclick = act
    bar.append(b)
    return b
  }
  for (const [name, title] of TOOLS) buttons[name] = button(name, title, () => { model.tool = name })
  bar.append(make("span", "gap"))
  button("fit", "Whole layout (F)", () => send({type: "fit"}))
  button("two", model.figure === "skysieve-map" ? "A second map beside this one, or none (d)" : "Close this map (d)",
    () => send({type: "two"}))
  const others = button("others", "", () => send({type: "others"}))
  const showOthers = () => {
    const hidden = model.others === "hidden"
    others.title = hidden ? "Show what is not selected, dimmed (H)" : "Hide what is not selected (H)"
    others.setAttribute("aria-label", "Hide what is not selected")
    others.setAttribute("aria-pressed", String(hidden))
  }
  const names = button("names", "", () => send({type: "names"}))
  const showNames = () => {
    names.title = model.names ? "Hide the names of clusters (K)" : "Write the names of clusters (K)"
    names.setAttribute("aria-label", "Names of clusters")
    names.setAttribute("aria-pressed", String(model.names))
  }
  const portraits = button("portraits", "", () => send({type: "portraits"}))
  const showPortraits = () => {
    const words = {auto: "Thumbnails where there is room (M)", on: "Thumbnails everywhere (M)", off: "No thumbnails (M)"}[model.portraits]
    portraits.hidden = !words
    portraits.title = words ?? ""
    portraits.setAttribute("aria-label", words ?? "")
    portraits.setAttribute("aria-pressed", String(model.portraits === "on"))
    portraits.dataset.mode = model.portraits
  }
  // The figure's tool changes here, at once: by way of the server, a drag right after a key would go to the tool before.
  // Never under a drag, whose tool must see its end.
  let pressed = false
  const useTool = () => {
    const figure = view.model.document?.get_model_by_name(model.figure)
    const wanted = pressed ? undefined : figure?.toolbar.tools.find((tool) => tool.type === BOKEH[model.tool])
    if (wanted && !wanted.active) wanted.active = true
  }
  const press = (event) => { pressed = event.type === "pointerdown"; if (!pressed) setTimeout(useTool) }
  const PRESSES = ["pointerdown", "pointerup", "pointercancel"]
  const showTool = () => {
    useTool()
    for (const [name, b] of Object.entries(buttons)) b.setAttribute("aria-pressed", String(name === model.tool))
  }

  // -- legend: what is in view, of the selection too where there is one, and the scale's choice
  const legend = make("div", "legend")
  const choice = (type, title, offered, current) => {
    const box = make("div", "scales")
    box.setAttribute("role", "group")
    box.setAttribute("aria-label", title)
    for (const {value, text, meaning} of offered) {
      const b = make("button", "", text)
      b.title = meaning
      b.setAttribute("aria-pressed", String(value === current))
      b.onclick = () => send({type, [type]: value})
      box.append(b)
    }
    return box
  }
  const itemsOf = (shown) => {
    const chosen = shown.selected !== null
    const list = make("div", chosen ? "items chosen" : "items")
    if (chosen) list.append(make("span", "over", "selected"), make("span", "over", "in view"))
    for (const item of shown.items) {
      const dot = make("i")
      dot.style.background = item.colour
      const line = make("div", item.count ? "item" : "item none")
      line.append(dot, make("span", "name", item.name))
      line.children[1].title = item.name
      if (chosen) line.append(make("span", "count", count(item.selected)))
      line.append(make("span", "count", count(item.count)))
      list.append(line)
    }
    return list
  }
  const showLegend = () => {
    const shown = current("legend")
    legend.hidden = !shown.kind
    if (!shown.kind) return
    const head = make("div", "head")
    head.append(make("b", "", shown.title), make("span", "", `${count(shown.total)} in view`))
    head.children[0].title = shown.title
    const parts = [head]
    if (shown.kind === "scale") {
      const scale = make("div", "scale")
      scale.style.background = `linear-gradient(90deg, ${shown.stops.join(",")})`
      const ends = make("div", "ends")
      ends.append(...shown.ends.map((text) => make("span", "", text)))
      parts.push(scale, ends)
    } else parts.push(itemsOf(shown))
    parts.push(choice("scale", "Scale of colours", shown.scales, shown.scale))
    if (shown.statistics) parts.push(choice("statistic", "What a pixel shows", shown.statistics, shown.statistic))
    const at = legend.scrollTop
    legend.replaceChildren(...parts)
    legend.scrollTop = at
  }

  // -- hover card
  const card = make("div", "card")
  card.hidden = true
  const image = make("img")
  const words = make("div", "words")
  card.append(image, words)
  let pointer = null
  let asked = 0
  let timer = null
  const place = () => {
    if (!pointer) return
    const width = root.clientWidth, height = root.clientHeight, w = card.offsetWidth, h = card.offsetHeight
    const left = pointer.sx + 18 + w > width ? pointer.sx - 18 - w : pointer.sx + 18
    const top = Math.max(8, Math.min(pointer.sy - h / 2, height - h - 8))
    card.style.transform = `translate(${Math.max(8, left)}px, ${top}px)`
  }
  const showCard = () => {
    const shown = model.card
    card.hidden = shown.row === undefined || !pointer
    if (card.hidden) return
    words.replaceChildren(make("b", "", shown.id))
    if (shown.label) words.append(make("span", `label ${shown.label}`, shown.label))
    if (shown.value) words.append(make("span", "", shown.value))
    image.hidden = !shown.pictured
    if (shown.picture) image.src = shown.picture
    else image.removeAttribute("src") // never that of the object before
    place()
  }
  const ask = () => {
    timer = null
    asked = performance.now()
    send(pointer ? {type: "hover", x: pointer.x, y: pointer.y} : {type: "leave"})
  }
  const moved = (event) => {
    if (event.detail.figure !== model.figure) return
    pointer = event.detail.at
    if (!pointer) card.hidden = true
    else if (!card.hidden) place()
    if (timer === null) timer = setTimeout(ask, Math.max(0, asked + THROTTLE - performance.now()))
  }

  // -- status
  const status = make("div", "status")
  const showStatus = () => {
    const shown = current("status")
    status.hidden = !shown.title
    if (status.hidden) return
    const parts = [make("h2", "", shown.title)]
    if (shown.text) parts.push(make("p", "", shown.text))
    if (shown.progress !== undefined && shown.progress !== null) {
      const track = make("div", "track")
      const done = make("div", "done")
      done.style.width = `${100 * shown.progress}%`
      track.append(done)
      parts.push(track)
    }
    if (shown.action) {
      const b = make("button", "action", shown.action)
      b.onclick = () => send({type: "action"})
      parts.push(b)
    }
    status.replaceChildren(...parts)
  }

  // -- keys: never while a person types; shift holds the lasso while the pointer is over the map
  let held = null
  const first = model.figure === "skysieve-map" // keys that concern both maps are heard by one
  const keydown = (event) => {
    if (first) finished(event)
    if ((event.key === "Shift" ? writing : typing)(event) || event.defaultPrevented || (event.repeat && event.key !== "Escape")) return
    const key = event.key.toLowerCase()
    if (event.key === "Shift" && pointer && model.tool !== "lasso") {
      held = model.tool
      model.tool = "lasso"
    } else if (event.shiftKey || (!first && !["f", "m"].includes(key))) {
      return
    } else if (key === "l") model.tool = model.tool === "lasso" ? "pan" : "lasso"
    else if (key === "b") model.tool = model.tool === "box" ? "pan" : "box"
    else if (key === "v") model.tool = "pan"
    else if (key === "f") send({type: "fit"})
    else if (key === "h") send({type: "others"})
    else if (key === "k") send({type: "names"})
    else if (key === "m" && model.portraits) send({type: "portraits"})
    else if (key === "d") send({type: "two"})
    else if (event.key === "Escape") send({type: "escape"})
  }
  const release = () => {
    if (held !== null) model.tool = held
    held = null
  }
  const keyup = (event) => { if (event.key === "Shift") release() }
  const follow = (event) => { if (event.detail !== model.tool) model.tool = event.detail } // two maps, one tool
  window.addEventListener("skysieve:tool", follow)
  window.addEventListener("skysieve:pointer", moved)
  document.addEventListener("keydown", keydown)
  document.addEventListener("keyup", keyup)
  window.addEventListener("blur", release)
  for (const name of PRESSES) document.addEventListener(name, press, true)
  model.on("remove", () => {
    window.removeEventListener("skysieve:tool", follow)
    window.removeEventListener("skysieve:pointer", moved)
    document.removeEventListener("keydown", keydown)
    document.removeEventListener("keyup", keyup)
    window.removeEventListener("blur", release)
    for (const name of PRESSES) document.removeEventListener(name, press, true)
  })
  model.on("tool", () => {
    showTool()
    window.dispatchEvent(new CustomEvent("skysieve:tool", {detail: model.tool}))
  })
  const changed = (name, show) => model.on(name, () => { delete missed[name]; show() })
  changed("legend", showLegend)
  model.on("card", showCard)
  changed("status", showStatus)
  model.on("portraits", showPortraits)
  model.on("names", showNames)
  model.on("others", showOthers)
  model.on("msg:custom", (event) => {
    missed = event.data ?? event
    showLegend(); showStatus()
  })
  setTimeout(() => send({type: "ready"}), SETTLED)
  showNames(); showOthers(); showPortraits(); showTool(); showLegend(); showStatus()
  const top = make("div", "top")
  top.append(bar)
  root.append(top, legend, status, card)
  return root
}
