// Help on keys and notices. The dialog is the browser's own: it traps the focus and Esc closes it.

const SETTLED = 1500 // ms: what the server changes while the page is still being built does not reach it (Panel 1.9)

// What the page's own buttons are called here; matched by what Material calls them.
const TITLES = {drawer: "Fold or unfold the rail", contextbar: "Fold or unfold the gallery", theme: "Dark or light"}

const make = (tag, name, text) => {
  const node = document.createElement(tag)
  if (name) node.className = name
  if (text !== undefined) node.textContent = text
  return node
}

export function render({model}) {
  const root = make("div", "chrome")
  const open = make("button", "help", "?")
  open.title = "Keys (?)"
  open.setAttribute("aria-label", "Keys")
  const dialog = make("dialog")
  const head = make("div", "head")
  const shut = make("button", "shut", "×")
  shut.setAttribute("aria-label", "Close")
  shut.onclick = () => dialog.close()
  head.append(make("h2", "", "Keys"), shut)
  const groups = make("div", "groups")
  for (const [title, keys] of Object.entries(model.keys)) {
    const group = make("section")
    group.append(make("h3", "", title))
    const list = make("dl")
    for (const [key, meaning] of Object.entries(keys)) {
      const term = make("dt")
      term.append(...key.split(" ").map((k) => make("kbd", "", k)))
      list.append(term, make("dd", "", meaning))
    }
    group.append(list)
    groups.append(group)
  }
  dialog.append(head, groups)
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close() }
  open.onclick = () => dialog.showModal()

  const notices = make("div", "notices")
  notices.setAttribute("role", "status")
  const notify = () => {
    const {kind, text} = model.notice
    if (!text) return
    for (const old of [...notices.children]) if (old.dataset.text === text) old.remove()
    const box = make("div", `notice ${kind}`)
    box.dataset.text = text
    const away = make("button", "shut", "×")
    away.setAttribute("aria-label", "Dismiss")
    away.onclick = () => box.remove()
    box.append(make("span", "", text), away)
    notices.append(box)
    while (notices.children.length > 3) notices.firstChild.remove()
    if (kind !== "error") setTimeout(() => box.remove(), 4000)
  }
  const keydown = (event) => {
    const target = event.composedPath()[0]
    const types = target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
    if (event.key === "?" && !types) dialog.open ? dialog.close() : dialog.showModal()
  }
  document.addEventListener("keydown", keydown)
  model.on("remove", () => document.removeEventListener("keydown", keydown))
  model.on("notice", notify)
  const measure = () => { model.window_width = window.innerWidth }
  let timer = null
  const resized = () => { clearTimeout(timer); timer = setTimeout(measure, 300) }
  window.addEventListener("resize", resized)
  model.on("remove", () => window.removeEventListener("resize", resized))
  const entitle = () => {
    for (const found of root.getRootNode().host?.getRootNode().querySelectorAll("header button[aria-label]") ?? []) {
      const title = TITLES[found.getAttribute("aria-label").split(" ").pop()]
      if (title) found.title = title
    }
  }
  setTimeout(() => { measure(); entitle() }, SETTLED)
  root.append(open, dialog, notices)
  return root
}
