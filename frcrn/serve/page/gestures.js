// Pointer and wheel on the spectrograms: a click seeks, a drag of the mouse zooms, fingers pan and pinch.
const STILL = 5; // pixels that a click may move

export function gestures(stage, area, marked) {
  const held = new Map(); // pointers that are down
  let start = null;

  const middle = () => [...held.values()].reduce((sum, x) => sum + x, 0) / held.size;
  const spread = () => Math.max(20, Math.max(...held.values()) - Math.min(...held.values()));

  function begin() {
    const x = middle();
    start = { x, spread: spread(), time: stage.time(x), length: stage.to - stage.from, moved: held.size > 1 };
  }

  function showMarked(x) {
    const { left, width } = area.getBoundingClientRect();
    const edges = [start.x, x].map((place) => Math.min(width, Math.max(0, place - left))).sort((a, b) => a - b);
    marked.hidden = false;
    Object.assign(marked.style, { left: `${edges[0]}px`, width: `${edges[1] - edges[0]}px` });
  }

  /** Let the place that was taken hold of stay under the fingers. */
  function drag() {
    const length = Math.min(stage.seconds, held.size > 1 ? (start.length * start.spread) / spread() : start.length);
    const { left, width } = area.getBoundingClientRect(), from = start.time - (length * (middle() - left)) / width;
    const fitting = Math.min(stage.seconds - length, Math.max(0, from));
    stage.zoom(fitting, fitting + length);
  }

  area.addEventListener("pointerdown", (event) => {
    if (!stage.seconds || event.button) return;
    held.set(event.pointerId, event.clientX);
    area.setPointerCapture(event.pointerId);
    begin();
  });
  area.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    held.set(event.pointerId, event.clientX);
    if (!start.moved && Math.abs(middle() - start.x) < STILL) return;
    start.moved = true;
    if (event.pointerType === "mouse") showMarked(event.clientX);
    else drag();
  });

  function end(event, done) {
    if (!held.has(event.pointerId)) return;
    const { x, moved } = start, mouse = event.pointerType === "mouse";
    held.delete(event.pointerId);
    marked.hidden = true;
    if (held.size) begin();
    else if (done && !moved) seek(event);
    else if (done && mouse) stage.zoom(...[stage.time(x), stage.time(event.clientX)].sort((a, b) => a - b));
  }

  function seek({ clientX, clientY }) {
    const part = document.elementFromPoint(clientX, clientY)?.closest("[data-panel]")?.dataset.panel;
    stage.dispatchEvent(Object.assign(new Event("seek"), { at: stage.time(clientX), part }));
  }

  area.addEventListener("pointerup", (event) => end(event, true));
  area.addEventListener("pointercancel", (event) => end(event, false));
  area.addEventListener("dblclick", () => stage.zoom(0, stage.seconds));
  area.addEventListener("wheel", (event) => {
    if (!stage.seconds) return;
    const across = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    event.preventDefault();
    if (across) stage.move(((event.deltaX || event.deltaY) * (stage.to - stage.from)) / area.clientWidth);
    else stage.scale(Math.exp(event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), stage.time(event.clientX));
  }, { passive: false });
}
