// Times as people write them.

/** Return seconds as 1:02.5, or 1:02:03 where hours are shown; `digits` after the point. */
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits, whole = Math.floor(seconds * scale + 1e-6) / scale;
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const rest = (whole % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Return round times between two, as shares of the way and as text, not closer than they can be read. */
export function ticks(from, to, width) {
  const least = (90 * (to - from)) / Math.max(1, width);
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
  const step = steps.find((each) => each >= least) ?? 7200, digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  const marks = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9; i++) {
    marks.push({ share: (i * step - from) / (to - from), text: clock(i * step, digits) });
  }
  return marks;
}
