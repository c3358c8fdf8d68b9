// Enhance a wav file with the network in this folder: npm install onnxruntime-node && node run.js noisy.wav clean.wav [GRAPH]
// The file is 16-bit PCM at the network's rate; copy `Denoiser` for live sound. onnxruntime-web does as well.
const fs = require("fs");
const path = require("path");

function runtime() {
  try { return require("onnxruntime-node"); } catch { return require("onnxruntime-web"); }
}

class Denoiser { // one channel, hop by hop; what comes out is `delay` samples late
  static async open(folder, name) {
    const self = new Denoiser();
    const about = JSON.parse(fs.readFileSync(path.join(folder, "frcrn.json"), "utf8"));
    const graph = about.graphs[name ?? Object.keys(about.graphs)[0]];
    self.ort = runtime();
    self.rate = about.sample_rate; self.hop = about.hop; self.delay = about.window - about.hop;
    self.states = Object.entries(graph.states ?? {});
    self.session = await self.ort.InferenceSession.create(fs.readFileSync(path.join(folder, graph.file)));
    self.past = {};
    for (const [name, { shape, initial }] of self.states) {
      const size = shape.reduce((a, b) => a * b, 1);
      self.past[name] = new self.ort.Tensor("float32", new Float32Array(size).fill(initial), shape);
    }
    return self;
  }

  async push(hop) { // Float32Array of one hop, from -1 to 1 -> as many
    const audio = new this.ort.Tensor("float32", hop, [1, hop.length]);
    const out = await this.session.run({ audio, ...this.past });
    for (const [name, { next }] of this.states) this.past[name] = out[next];
    return out.enhanced.data;
  }

  async enhance(samples) { // a whole channel -> as much, in time with it
    if (!this.states.length) return this.push(samples);
    const padded = new Float32Array(Math.ceil((samples.length + this.delay) / this.hop) * this.hop);
    padded.set(samples);
    const late = new Float32Array(padded.length);
    for (let at = 0; at < padded.length; at += this.hop) late.set(await this.push(padded.slice(at, at + this.hop)), at);
    return late.subarray(this.delay, this.delay + samples.length);
  }
}

async function main(source, target, graph) {
  const file = fs.readFileSync(source);
  const chunks = {};
  for (let at = 12; at + 8 <= file.length; at += 8 + file.readUInt32LE(at + 4) + (file.readUInt32LE(at + 4) & 1)) {
    chunks[file.toString("latin1", at, at + 4)] = file.subarray(at + 8, at + 8 + file.readUInt32LE(at + 4));
  }
  const channels = chunks["fmt "].readUInt16LE(2), rate = chunks["fmt "].readUInt32LE(4);
  for (let channel = 0; channel < channels; channel++) {
    const network = await Denoiser.open(__dirname, graph);
    if (rate !== network.rate || chunks["fmt "].readUInt16LE(14) !== 16) throw new Error(`expected ${network.rate} Hz, 16 bits`);
    const place = (frame) => 2 * (frame * channels + channel);
    const samples = Float32Array.from({ length: chunks.data.length / 2 / channels }, (_, n) => chunks.data.readInt16LE(place(n)) / 32768);
    const clean = await network.enhance(samples);
    clean.forEach((x, n) => chunks.data.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(x * 32768))), place(n)));
  }
  fs.writeFileSync(target, file); // the samples were replaced in place
}

if (require.main === module) main(...process.argv.slice(2));
module.exports = { Denoiser };
