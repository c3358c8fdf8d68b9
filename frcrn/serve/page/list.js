// The list of recordings: what each is called, how far it is, and what can be done with it.
import { address } from "./service.js";
import { say } from "./words.js";

function button(kind, does) {
  const made = Object.assign(document.createElement("button"), { type: "button", className: kind, onclick: does });
  return made;
}

const link = (kind) => Object.assign(document.createElement("a"), { className: `${kind} quiet`, download: "" });

/** Return what went wrong; the service names the file, which stands beside it already. */
function reason({ name, error }) {
  if (error.name === "TypeError") return say("away"); // so fetch says that there was no answer
  return error.message.startsWith(`${name}: `) ? error.message.slice(name.length + 2) : error.message;
}

/** Return what a recording is doing, or what went wrong with it. */
export function status(recording) {
  const { state, progress } = recording;
  return state === "failed" ? reason(recording) : say(state, { percent: Math.round(100 * progress) });
}

export class List {
  /** `choose`, `again` are called with a recording. */
  constructor(place, queue, { choose, again }) {
    Object.assign(this, { place, queue, choose, again, rows: new Map(), chosen: null });
  }

  row(recording) {
    const row = document.createElement("li"), bar = document.createElement("progress");
    const what = Object.assign(document.createElement("span"), { className: "what" });
    row.append(
      button("name", () => this.choose(recording)), what, bar, link("save"), link("saveRemoved"), link("saveOriginal"),
      button("again", () => this.again(recording)),
      button("cancel", () => this.queue.cancel(recording)),
      button("remove", () => this.queue.remove(recording)),
    );
    this.place.append(row);
    this.rows.set(recording, row);
    return row;
  }

  /** Make the list say what is so now; buttons stay, so that the focus does. */
  update() {
    const { recordings } = this.queue;
    for (const [recording, row] of this.rows) {
      if (recordings.includes(recording)) continue;
      row.remove();
      this.rows.delete(recording);
    }
    for (const recording of recordings) this.fill(this.rows.get(recording) ?? this.row(recording), recording);
  }

  fill(row, recording) {
    const { name, state, busy, progress } = recording, at = (kind) => row.querySelector(`.${kind}`);
    row.dataset.state = state;
    row.classList.toggle("chosen", recording === this.chosen);
    at("name").setAttribute("aria-current", String(recording === this.chosen));
    at("name").textContent = name;
    const text = status(recording);
    if (at("what").textContent !== text) at("what").textContent = text;
    const bar = row.querySelector("progress"), moving = state === "sending" || state === "running";
    bar.hidden = !busy;
    bar.ariaLabel = `${name}: ${text}`;
    if (moving) bar.value = progress;
    else bar.removeAttribute("value");
    this.link(at("save"), "save", "after", recording);
    this.link(at("saveRemoved"), "saveRemoved", "removed", recording);
    this.original(at("saveOriginal"), recording);
    this.offer(at("again"), "again", !busy && state !== "done" && recording.file, name);
    this.offer(at("cancel"), "cancel", busy, name);
    this.offer(at("remove"), "remove", !busy, name);
  }

  link(link, key, part, { busy, job, name }) {
    link.hidden = busy || !job;
    link.textContent = say(key);
    link.ariaLabel = say(`${key}Of`, { name });
    if (job) link.href = address(job, part);
  }

  original(link, { own, name }) {
    link.hidden = !own;
    link.textContent = say("saveOriginal");
    link.ariaLabel = say("saveOriginalOf", { name });
    if (own) Object.assign(link, { href: own, download: name });
  }

  offer(button, key, shown, name) {
    button.hidden = !shown;
    button.textContent = say(key);
    button.ariaLabel = say(`${key}Of`, { name });
  }
}
