// Jobs with progress and a way to stop them.

const make = (tag, name, text) => {
  const node = document.createElement(tag)
  if (name) node.className = name
  if (text !== undefined) node.textContent = text
  return node
}

export function render({model}) {
  const root = make("div", model.small ? "jobs small" : "jobs")
  const row = (job) => {
    const box = make("div", `job ${job.state}`)
    box.title = job.command
    const head = make("div", "head")
    head.append(make("b", "", job.title), make("span", "words", job.words))
    if (job.state === "running" || job.state === "waiting") {
      const stop = make("button", "stop", "×")
      stop.title = `Stop ${job.title}; what is finished is kept`
      stop.setAttribute("aria-label", stop.title)
      stop.onclick = () => model.send_msg({type: "cancel", number: job.number})
      head.append(stop)
      const track = make("div", job.fraction === null ? "track unknown" : "track")
      const part = make("div", "part")
      part.style.width = `${100 * (job.fraction ?? 0.3)}%`
      track.append(part)
      box.append(head, track)
    } else box.append(head)
    if (job.message) box.append(make("p", "message", job.message))
    return box
  }
  const show = () => root.replaceChildren(...model.jobs.map(row))
  model.on("jobs", show)
  show()
  return root
}
