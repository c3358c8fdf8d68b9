// Enhance a 16-bit wav file with the network in this folder: node run.js noisy.wav clean.wav [GRAPH]
const fs = require("fs"), path = require("path");
const ort = (() => { try { return require("onnxruntime-node"); } catch { return require("onnxruntime-web"); } })();

class Denoiser { // one channel, hop by hop; what comes out is `delay` samples late; copy it for live sound
  static async open(folder, name) {
    const { graphs, sample_rate: rate, hop, latency } = JSON.parse(fs.readFileSync(path.join(folder, "frcrn.json")));
    const graph = graphs[name ?? Object.keys(graphs)[0]];
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

async function main(source, target, graph) {
  const file = fs.readFileSync(source), chunks = {};
  for (let at = 12, size; at + 8 <= file.length; at += 8 + size + (size & 1)) {
    size = file.readUInt32LE(at + 4);
    chunks[file.toString("latin1", at, at + 4)] = file.subarray(at + 8, at + 8 + size);
  }
  const head = chunks["fmt "], data = chunks.data;
  if (!head || !data) throw `${source}: expected a 16-bit wav file`;
  const channels = head.readUInt16LE(2), length = Math.floor(data.length / 2 / channels);
  for (let channel = 0; channel < channels; channel++) {
    const one = await Denoiser.open(__dirname, graph), place = (n) => 2 * (n * channels + channel);
    if (head.readUInt32LE(4) !== one.rate || head.readUInt16LE(14) !== 16) throw `expected 16 bits at ${one.rate} Hz`;
    const [hop, late] = one.states.length ? [one.hop, one.delay] : [length, 0];
    const wav = new Float32Array(Math.ceil((length + late) / hop) * hop);
    for (let n = 0; n < length; n++) wav[n] = data.readInt16LE(place(n)) / 32768;
    for (let at = 0; at < wav.length; at += hop) wav.set(await one.push(wav.slice(at, at + hop)), at);
    const pcm = (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768)));
    for (let n = 0; n < length; n++) data.writeInt16LE(pcm(wav[n + late]), place(n));
  }
  fs.writeFileSync(target, file); // the samples were replaced in place
}
const refuse = (error) => { console.error(`${error}`); process.exitCode = 1; };
if (require.main === module) main(...process.argv.slice(2)).catch(refuse);
module.exports = { Denoiser };
