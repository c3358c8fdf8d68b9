// Computes spectrograms beside the page, as a worker: columns of levels from 0 to 255, on one scale for all parts.
import { Sound } from "./sound.js";
import { Spectrum, rows } from "./spectrum.js";

const RANGE = 80; // dB from the darkest to the brightest colour
const FRAMES = 4; // a column looks at so many at most
let parts = {}, spectrum = null, ceiling = 0, newest = 0;

/** Let newer wishes come in. */
const pause = () => new Promise((good) => setTimeout(good));

/** Gather in `spectrum` what there is between two frames of a sound. */
async function gather(sound, from, to) {
  const { size } = spectrum, count = Math.max(1, Math.min(FRAMES, Math.ceil((2 * (to - from)) / size)));
  spectrum.clear();
  for (let i = 0; i < count; i++) {
    const start = Math.round(from + ((i + 0.5) * (to - from)) / count - size / 2);
    spectrum.add(await sound.read(start, size), 0, 1 / count);
  }
}

/** Open the wav files of the parts; the loudest place of the first sets the scale. */
async function open({ blobs }) {
  parts = {};
  for (const [name, blob] of Object.entries(blobs)) parts[name] = await Sound.open(blob);
  const [sound] = Object.values(parts), width = 300;
  spectrum = new Spectrum(sound.rate);
  let loudest = 1e-9;
  for (let x = 0; x < width; x++) {
    await gather(sound, (x * sound.length) / width, ((x + 1) * sound.length) / width);
    loudest = spectrum.power.reduce((most, power) => Math.max(most, power), loudest);
  }
  ceiling = 5 * Math.ceil(2 * Math.log10(loudest));
  postMessage({ opened: true, ceiling, range: RANGE });
}

/** Draw one part between two times; return nothing when something newer is wished for. */
async function levels(sound, { from, to, width, height, number }) {
  const write = rows(sound.rate, spectrum.power.length, height), column = new Float64Array(height);
  const found = new Uint8ClampedArray(width * height), step = ((to - from) * sound.rate) / width;
  for (let x = 0; x < width; x++) {
    if (x % 128 === 127) await pause();
    if (number !== newest) return null;
    await gather(sound, from * sound.rate + x * step, from * sound.rate + (x + 1) * step);
    write(spectrum.power, column);
    for (let y = 0; y < height; y++) found[y * width + x] = (255 * (column[y] - ceiling + RANGE)) / RANGE;
  }
  return found;
}

async function draw(wish) {
  for (const name of Object.keys(parts)) {
    const found = await levels(parts[name], wish);
    if (!found) return;
    postMessage({ ...wish, name, levels: found }, [found.buffer]);
  }
}

let work = Promise.resolve();
addEventListener("message", ({ data }) => {
  newest = data.number;
  const failed = (error) => postMessage({ failed: error.message });
  work = work.then(() => (data.blobs ? open(data) : draw(data))).catch(failed);
});
