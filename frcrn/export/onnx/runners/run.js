// Enhance a 16-bit wav file with the network in this folder: node run.js noisy.wav clean.wav [GRAPH]
const fs = require("fs"), path = require("path");
const ort = (() => { try { return require("onnxruntime-node"); } catch { return require("onnxruntime-web"); } })();

function described(file) { // what frcrn.json says, refused where no export could have written it
  const whole = (number, least) => Number.isInteger(number) && number >= least && number < 2 ** 24;
  const small = ({ shape, initial, next }) => next && Math.abs(initial) < 2 ** 24 && Array.isArray(shape) &&
    shape.every((size) => whole(size, 0)) && shape.reduce((a, b) => a * b, 1) < 2 ** 28;
  try {
    const { sample_rate: rate, hop, latency, graphs } = JSON.parse(fs.readFileSync(file)), each = Object.values(graphs);
    const fits = each.every((graph) => graph.file && Object.values(graph.states ?? {}).every(small));
    const all = fits && each.length && whole(rate, 1) && whole(hop, 1) && whole(latency, hop);
    if (all) return { rate, hop, latency, graphs };
  } catch (error) { if (error.code) throw error; }
  throw `${file}: expected the description of an export; export again`;
}

class Denoiser { // one channel, hop by hop; what comes out is `delay` samples late; copy it for live sound
  static async open(folder, name) {
    const { rate, hop, latency, graphs } = described(path.join(folder, "frcrn.json"));
    const graph = Object.hasOwn(graphs, name ??= Object.keys(graphs)[0]) && graphs[name];
    if (!graph) throw `found no graph ${name}, only ${Object.keys(graphs).join(", ")}`;
    const session = await ort.InferenceSession.create(fs.readFileSync(path.join(folder, graph.file)));
    const states = Object.entries(graph.states ?? {}); // none of a graph of whole waves: one push takes it all
    const fresh = Object.fromEntries(states.map(([name, { shape, initial }]) =>
      [name, new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(initial), shape)]));
    const delay = states.length ? latency - hop : 0;
    return Object.assign(new Denoiser(), { rate, hop, delay, session, states, fresh, past: { ...fresh } });
  }

  async push(hop) { // Float32Array of one hop, from -1 to 1 -> as many
    const out = await this.session.run({ audio: new ort.Tensor("float32", hop, [1, hop.length]), ...this.past });
    for (const [name, { next }] of this.states) this.past[name] = out[next];
    return out.enhanced.data;
  }
}

function soundIn(file, rate) { // where a wav file's 16-bit samples begin, their bytes (as many as are there in pipes)
  let at = 12, size = 0;
  const chunks = {}, text = (from) => file.toString("latin1", from, from + 4);
  while (text(0) + text(8) === "RIFFWAVE" && at + 8 <= file.length && !chunks.data) {
    size = file.readUInt32LE(at + 4);
    chunks[text(at)] = at + 8;
    at += 8 + size + (size & 1);
  }
  if (!chunks["fmt "] || !chunks.data) throw "expected a 16-bit wav file";
  const head = Buffer.concat([file.subarray(chunks["fmt "]), Buffer.alloc(26)]);
  const [kind, channels, bits, pcm] = [0, 2, 14, 24].map((place) => head.readUInt16LE(place));
  const found = head.readUInt32LE(4), plain = (kind === 0xFFFE ? pcm : kind) === 1 && bits === 16 && found === rate;
  const expected = `expected 16-bit PCM at ${rate} Hz with 1 to 1024 channels`;
  const this_one = `format ${kind} of ${bits} bits at ${found} Hz with ${channels} channels`;
  if (!plain || !channels || channels > 1024) throw `${expected}, found ${this_one}`;
  const here = file.length - chunks.data, end = 8 + file.readUInt32LE(4);
  if (size >= 0x7FFF0000 || (size === 0 && !(chunks.data < end && end < 0x7FFF0000))) size = here; // of a pipe
  if (here < size) throw `truncated: its header announces ${size} bytes, ${here} are there`;
  if (size < 2 * channels) throw "it holds no samples; at least one is needed";
  return { start: chunks.data, size, channels };
}

async function main(source, target, graph) {
  if (!target) throw "node run.js noisy.wav clean.wav [GRAPH]";
  if (fs.existsSync(target) && !fs.statSync(target).isFile()) throw `${target} is there, and no file`;
  const file = fs.readFileSync(source), one = await Denoiser.open(__dirname, graph), late = one.delay;
  const { start, size, channels } = soundIn(file, one.rate), length = Math.floor(size / 2 / channels);
  const hop = one.states.length ? one.hop : length;
  for (let channel = 0; channel < channels; channel++) {
    const place = (n) => start + 2 * (n * channels + channel);
    const wav = new Float32Array(Math.ceil((length + late) / hop) * hop);
    one.past = { ...one.fresh };
    for (let n = 0; n < length; n++) wav[n] = file.readInt16LE(place(n)) / 32768;
    for (let at = 0; at < wav.length; at += hop) wav.set(await one.push(wav.slice(at, at + hop)), at);
    const pcm = (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768)));
    for (let n = 0; n < length; n++) file.writeInt16LE(pcm(wav[n + late]), place(n));
  }
  file.writeUInt32LE(size, start - 4), file.writeUInt32LE(file.length - 8, 4);
  const part = `${target}.${process.pid}.part`;
  try { fs.writeFileSync(part, file), fs.renameSync(part, target); } finally { fs.rmSync(part, { force: true }); }
}
const refuse = (error) => {
  console.error(`${process.argv[2] ?? __filename}: ${`${error.message ?? error}`.trim().replace(/\s+/g, " ")}`);
  process.exitCode = 2;
};
if (require.main === module) main(...process.argv.slice(2)).catch(refuse);
module.exports = { Denoiser };
