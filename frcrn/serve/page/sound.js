// A wav file that is read piece by piece, so that hours of sound need no hours of memory.
const BLOCK = 1 << 16; // frames
const KEPT = 64; // blocks

const READERS = { // by kind of number and bits: bytes -> samples from -1 to 1
  "1/8": (bytes) => Float32Array.from(new Uint8Array(bytes), (x) => (x - 128) / 128),
  "1/16": (bytes) => Float32Array.from(new Int16Array(bytes), (x) => x / 2 ** 15),
  "1/24": from24,
  "1/32": (bytes) => Float32Array.from(new Int32Array(bytes), (x) => x / 2 ** 31),
  "3/32": (bytes) => new Float32Array(bytes),
  "3/64": (bytes) => Float32Array.from(new Float64Array(bytes)),
};

function from24(bytes) {
  const view = new Uint8Array(bytes), samples = new Float32Array(Math.floor(view.length / 3));
  for (let i = 0; i < samples.length; i++) {
    samples[i] = ((view[3 * i] << 8) | (view[3 * i + 1] << 16) | (view[3 * i + 2] << 24)) / 2 ** 31;
  }
  return samples;
}

/** Find where the samples of a wav file are, and what they are. */
async function layout(blob) {
  let format = null;
  for (let at = 12; at + 8 <= blob.size; ) {
    const head = new DataView(await blob.slice(at, at + 48).arrayBuffer());
    const name = String.fromCharCode(...new Uint8Array(head.buffer, 0, 4)), size = head.getUint32(4, true);
    if (name === "fmt ") {
      const kind = head.getUint16(8, true);
      format = {
        kind: kind === 0xfffe ? head.getUint16(32, true) : kind,
        channels: head.getUint16(10, true), rate: head.getUint32(12, true), bits: head.getUint16(22, true),
      };
    }
    if (name === "data" && format) return { ...format, start: at + 8, bytes: Math.min(size, blob.size - at - 8) };
    at += 8 + size + (size % 2);
  }
  throw new Error("this is no wav file");
}

/** Samples of a wav file, by frame. */
export class Sound {
  static async open(blob) {
    return new Sound(blob, await layout(blob));
  }

  constructor(blob, { kind, bits, channels, rate, start, bytes }) {
    this.blob = blob;
    this.decode = READERS[`${kind}/${bits}`];
    Object.assign(this, { channels, rate, start, width: (channels * bits) / 8, blocks: new Map() });
    this.length = Math.floor(bytes / this.width);
    this.seconds = this.length / rate;
  }

  /** Return one Float32Array a channel; before the beginning and after the end there is silence. */
  async read(from, count) {
    const parts = Array.from({ length: this.channels }, () => new Float32Array(count));
    const last = Math.min(this.length, from + count);
    for (let at = Math.max(0, from); at < last; ) {
      const block = Math.floor(at / BLOCK), samples = this.blocks.get(block) ?? (await this.load(block));
      const end = Math.min(last, (block + 1) * BLOCK), inside = at - block * BLOCK;
      parts.forEach((part, channel) => part.set(samples[channel].subarray(inside, inside + end - at), at - from));
      at = end;
    }
    return parts;
  }

  async load(block) {
    const first = block * BLOCK, last = Math.min(this.length, first + BLOCK);
    const bytes = await this.blob.slice(this.start + first * this.width, this.start + last * this.width).arrayBuffer();
    const mixed = this.decode(bytes), count = last - first, { channels } = this;
    const samples = Array.from({ length: channels }, (_, channel) => {
      if (channels === 1) return mixed;
      const one = new Float32Array(count);
      for (let i = 0; i < count; i++) one[i] = mixed[i * channels + channel];
      return one;
    });
    if (this.blocks.size >= KEPT) this.blocks.delete(this.blocks.keys().next().value);
    this.blocks.set(block, samples);
    return samples;
  }
}
