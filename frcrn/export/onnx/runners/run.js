// Enhance a 16-bit wav file with the network in this folder: node run.js noisy.wav clean.wav [GRAPH]
const fs = require("fs"), path = require("path");
const ort = (() => { try { return require("onnxruntime-node"); } catch { return require("onnxruntime-web"); } })();

class Denoiser { // one channel, hop by hop; what comes out is `delay` samples late; copy it for live sound
  static async open(folder, name) {
    const { graphs, sample_rate: rate, hop, latency } = JSON.parse(fs.readFileSync(path.join(folder, "frcrn.json")));
    const graph = graphs[name ?? Object.keys(graphs)[0]];
    if (!graph) throw `found no graph ${name}, only ${Object.keys(graphs).join(", ")}`;
    const session = await ort.InferenceSession.create(fs.readFileSync(path.join(folder, graph.file)));
    const states = Object.entries(graph.states ?? {}); // none of a graph of whole waves: one push takes it all
    const past = Object.fromEntries(states.map(([name, { shape, initial }]) =>
      [name, new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(initial), shape)]));
    return Object.assign(new Denoiser(), { rate, hop, delay: latency - hop, session, states, past });
  }

  async push(hop) { // Float32Array of one hop, from -1 to 1 -> as many
    const out = await this.session.run({ audio: new ort.Tensor("float32", hop, [1, hop.length]), ...this.past });
    for (const [name, { next }] of this.states) this.past[name] = out[next];
    return out.enhanced.data;
  }
}

function soundIn(file, rate) { // where a wav file's 16-bit samples begin, their bytes (as many as are there in pipes)
  let at = 12, size = 0;
  const chunks = {};
  while (file.toString("latin1", 0, 4) === "RIFF" && at + 8 <= file.length && !chunks.data) {
    size = file.readUInt32LE(at + 4);
    chunks[file.toString("latin1", at, at + 4)] = at + 8;
    at += 8 + size + (size & 1);
  }
  if (!chunks["fmt "] || !chunks.data) throw "expected a 16-bit wav file";
  const head = Buffer.concat([file.subarray(chunks["fmt "]), Buffer.alloc(26)]);
  const [kind, channels, bits, pcm] = [0, 2, 14, 24].map((place) => head.readUInt16LE(place));
  const found = head.readUInt32LE(4), plain = (kind === 0xFFFE ? pcm : kind) === 1 && bits === 16;
  const this_one = `format ${kind} of ${bits} bits at ${found} Hz with ${channels} channels`;
  if (!plain || found !== rate || !channels) throw `expected 16-bit PCM at ${rate} Hz, found ${this_one}`;
  const here = file.length - chunks.data; // sizes from 0x7FFFE000 on stand for one that nobody knew
  if (here < size && size < 0x7FFFE000) throw `truncated: its header announces ${size} bytes, ${here} are there`;
  return { start: chunks.data, size: Math.min(size || here, here), channels };
}

async function main(source, target, graph) {
  if (!target) throw "node run.js noisy.wav clean.wav [GRAPH]";
  if (fs.existsSync(target) && !fs.statSync(target).isFile()) throw `${target} is there, and no file`;
  const file = fs.readFileSync(source), first = await Denoiser.open(__dirname, graph);
  const { start, size, channels } = soundIn(file, first.rate), length = Math.floor(size / 2 / channels);
  for (let channel = 0; channel < channels; channel++) {
    const one = channel ? await Denoiser.open(__dirname, graph) : first;
    const place = (n) => start + 2 * (n * channels + channel);
    const [hop, late] = one.states.length ? [one.hop, one.delay] : [length, 0];
    const wav = new Float32Array(Math.ceil((length + late) / hop) * hop);
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
  console.error(`${process.argv[2] ?? __filename}: ${error.message ?? error}`);
  process.exitCode = 2;
};
if (require.main === module) main(...process.argv.slice(2)).catch(refuse);
module.exports = { Denoiser };
