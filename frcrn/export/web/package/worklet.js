// The audio thread's side of the denoiser: one stream of samples in WebAssembly for each channel.
const LATE = 5; // milliseconds without sound, from which on they are a glitch

class Denoiser extends AudioWorkletProcessor {
  static parameterDescriptors = [
    { name: "strength", defaultValue: 1, minValue: 0, maxValue: 1, automationRate: "k-rate" },
  ];

  constructor({ processorOptions: { module, model, channels } }) {
    super();
    this.open = true;
    this.port.onmessage = ({ data }) => (data === "close" ? (this.open = false) : this.restart());
    this.glitches = 0;
    this.restart();
    try {
      const wasm = (this.wasm = new WebAssembly.Instance(module).exports);
      wasm._initialize();
      this.streams = Denoiser.streams(wasm, model, channels);
      this.block = Denoiser.room(wasm, 4 * 2048);
      this.port.postMessage({ latency: wasm.latency() / sampleRate });
    } catch (error) {
      this.streams = [];
      this.port.postMessage({ error: String(error.message ?? error) });
    }
  }

  static streams(wasm, model, channels) {
    const at = Denoiser.room(wasm, model.byteLength);
    new Uint8Array(wasm.memory.buffer, at).set(model);
    const opened = wasm.open(at, model.byteLength, sampleRate);
    wasm.release(at);
    const streams = Array.from({ length: channels }, () => opened && wasm.open_stream());
    if (!streams.every(Boolean)) throw new Error(Denoiser.text(wasm, wasm.reason()));
    return streams;
  }

  static room(wasm, size) {
    const at = wasm.allocate(size);
    if (!at) throw new Error("there is not enough memory");
    return at;
  }

  static text(wasm, at) { // an audio thread has no TextDecoder
    const bytes = new Uint8Array(wasm.memory.buffer, at);
    return String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
  }

  process([input], [output], { strength }) {
    this.watch(output[0].length);
    const { wasm, streams } = this;
    for (let channel = 0; channel < streams.length; channel++) {
      const out = output[channel], samples = this.samples(out.length);
      if (input[channel]) samples.set(input[channel]);
      else samples.fill(0);
      wasm.process(streams[channel], this.block, this.block, out.length, strength[0]);
      out.set(samples);
    }
    return this.open;
  }

  samples(length) { // nothing is allocated block by block, so nothing has to be collected
    if (this.view?.length !== length) this.view = new Float32Array(this.wasm.memory.buffer, this.block, length);
    return this.view;
  }

  restart() { // the clocks of the device and of the machine are to be compared anew
    Object.assign(this, { frames: 0, behind: Infinity, before: Infinity });
  }

  // A device that gets no block in time plays silence, and from then on the sound is further behind the machine's clock.
  watch(frames) {
    this.behind = Math.min(this.behind, Date.now() - 1000 * currentTime); // of a second's blocks, the one that came first
    this.frames += frames;
    if (this.frames < sampleRate) return;
    this.glitches += this.behind > this.before + LATE;
    this.port.postMessage({ glitches: this.glitches });
    Object.assign(this, { frames: 0, before: this.behind, behind: Infinity });
  }
}

registerProcessor("frcrn-denoiser", Denoiser);
