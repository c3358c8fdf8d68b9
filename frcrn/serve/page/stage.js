// The spectrograms below each other on one time axis: drawn, zoomed, and the place where the sound is marked on them.
import { picture } from "./colours.js";
import { gestures } from "./gestures.js";
import { fromMel, toMel } from "./spectrum.js";
import { ticks } from "./time.js";

const SHORTEST = 0.05; // seconds that can be shown

export class Stage extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.panels = root.querySelector("#panels");
    this.ruler = root.querySelector("#ruler");
    this.playhead = root.querySelector("#playhead");
    this.canvases = Object.fromEntries([...root.querySelectorAll("canvas")].map((each) => [each.dataset.part, each]));
    this.seconds = 0;
    this.from = this.to = 0;
    this.number = 0;
    this.pictures = {};
    gestures(this, this.panels, root.querySelector("#marked"));
    new ResizeObserver(() => this.wish()).observe(this.panels);
  }

  /** Show other sounds, given as wav files by part; with `keep`, the zoom stays. */
  show(blobs, seconds, rate, keep) {
    this.painter?.terminate();
    this.painter = new Worker(new URL("painter.js", import.meta.url), { type: "module" });
    this.painter.onmessage = ({ data }) => this.receive(data);
    if (!keep || seconds !== this.seconds) {
      [this.seconds, this.from, this.to] = [seconds, 0, seconds];
      this.pictures = {};
    }
    this.rate = rate;
    this.root.classList.remove("empty");
    this.painter.postMessage({ blobs, number: this.number });
    this.frequencies();
    this.changed();
  }

  clear() {
    this.painter?.terminate();
    this.painter = null;
    this.seconds = 0;
    this.pictures = {};
    this.root.classList.add("empty");
    this.ruler.replaceChildren();
    this.playhead.hidden = true;
    this.paint();
  }

  receive(found) {
    if (found.failed) throw new Error(found.failed);
    if (found.opened) {
      this.dispatchEvent(Object.assign(new Event("scale"), { ceiling: found.ceiling, range: found.range }));
      return;
    }
    const { name, width, height, from, to, levels } = found, canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(picture(levels, width, height), 0, 0);
    const one = (this.pictures[name] ??= {});
    one.latest = { canvas, from, to };
    if (to - from >= this.seconds - 1e-6) one.whole = one.latest;
    this.paint();
  }

  /** Show what is between two times. */
  zoom(from, to) {
    const length = Math.min(this.seconds, Math.max(SHORTEST, to - from));
    const start = Math.min(this.seconds - length, Math.max(0, (from + to - length) / 2));
    [this.from, this.to] = [start, start + length];
    this.changed();
  }

  /** Zoom by a factor, with one time staying where it is. */
  scale(factor, around = (this.from + this.to) / 2) {
    const length = Math.min(this.seconds, Math.max(SHORTEST, (this.to - this.from) * factor));
    const start = around - ((around - this.from) * length) / (this.to - this.from);
    this.zoom(start, start + length);
  }

  move(seconds) {
    const by = Math.min(this.seconds - this.to, Math.max(-this.from, seconds));
    this.zoom(this.from + by, this.to + by);
  }

  /** Return the time at a place on the screen. */
  time(x) {
    const { left, width } = this.panels.getBoundingClientRect();
    return this.from + ((this.to - this.from) * (x - left)) / width;
  }

  /** Mark where the sound is; while it plays the view goes along. */
  mark(at, follow) {
    this.at = at;
    if (follow && (at > this.to || at < this.from) && this.to - this.from < this.seconds) this.move(at - this.from);
    const share = (at - this.from) / (this.to - this.from);
    this.playhead.hidden = !(share >= 0 && share <= 1);
    this.playhead.style.left = `${100 * share}%`;
  }

  changed() {
    this.paint();
    this.label();
    this.mark(this.at ?? 0);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.wish(), 40);
    this.dispatchEvent(new Event("zoom"));
  }

  /** Have the pictures made anew for what is shown now. */
  wish() {
    if (!this.painter) return;
    const [{ clientWidth, clientHeight }] = Object.values(this.canvases), dense = Math.min(2, devicePixelRatio);
    const width = Math.round(clientWidth * dense), height = Math.round(clientHeight * dense);
    if (!width || !height) return;
    this.painter.postMessage({ number: ++this.number, from: this.from, to: this.to, width, height });
    this.label();
  }

  /** Draw what there is already, stretched to what is shown. */
  paint() {
    for (const [name, canvas] of Object.entries(this.canvases)) {
      const { whole, latest } = this.pictures[name] ?? {}, pen = canvas.getContext("2d");
      if (latest) [canvas.width, canvas.height] = [latest.canvas.width, latest.canvas.height];
      pen.clearRect(0, 0, canvas.width, canvas.height);
      for (const one of new Set([whole, latest])) {
        if (!one) continue;
        const pixels = canvas.width / (this.to - this.from);
        pen.drawImage(one.canvas, (one.from - this.from) * pixels, 0, (one.to - one.from) * pixels, canvas.height);
      }
    }
  }

  /** Write the times below. */
  label() {
    const marks = ticks(this.from, this.to, this.ruler.clientWidth);
    this.ruler.replaceChildren(...marks.map(({ share, text }) => {
      const mark = Object.assign(document.createElement("span"), { textContent: text });
      mark.style.left = `${100 * share}%`;
      return mark;
    }));
  }

  /** Write frequencies at the right edge of each panel; the rows of a picture are on the mel scale. */
  frequencies() {
    const top = toMel(this.rate / 2);
    for (const canvas of Object.values(this.canvases)) {
      const scale = canvas.parentElement.querySelector(".scale");
      const marks = [500, 2000, 8000].filter((hertz) => hertz < fromMel(0.93 * top));
      scale.replaceChildren(...marks.map((hertz) => {
        const mark = document.createElement("span");
        mark.textContent = hertz < 1000 ? hertz : `${hertz / 1000}k`;
        mark.style.bottom = `${(100 * toMel(hertz)) / top}%`;
        return mark;
      }));
    }
  }
}
