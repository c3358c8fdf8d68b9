// An audio node that removes noise from speech. All of it runs in the page; nothing is sent anywhere.
const here = {
  model: new URL("./model.frcrn", import.meta.url),
  wasm: new URL("./frcrn.wasm", import.meta.url),
  worklet: new URL("./worklet.js", import.meta.url),
};
const prepared = new WeakMap(); // context -> the promise that its audio thread knows the node

/** Make a node that takes noisy speech and gives clean speech, `latency` seconds later. */
export async function createDenoiser(context, options = {}) {
  const { model = here.model, wasm = here.wasm, worklet = here.worklet, channels = 1, strength = 1 } = options;
  const [network, program] = await Promise.all([bytes(model), module(wasm), prepare(context, worklet)]);
  const node = new Denoiser(context, { module: program, model: network, channels });
  node.strength.value = strength;
  return node.ready;
}

function prepare(context, worklet) {
  if (!context.audioWorklet) throw new Error("an AudioWorklet needs a page from https: or localhost");
  const failed = (error) => {
    prepared.delete(context); // the next try loads it again
    throw error;
  };
  if (!prepared.has(context)) prepared.set(context, context.audioWorklet.addModule(worklet).catch(failed));
  return prepared.get(context);
}

/** Measure which share of one core's time the node takes, from 0 to 1: how long it needs for some seconds of sound. */
export async function measureLoad(sampleRate, { seconds = 2, channels = 1, ...options } = {}) {
  const { model = here.model, wasm = here.wasm } = options;
  const files = { ...options, channels, model: await bytes(model), wasm: await module(wasm) };
  await timed(sampleRate, 1, files); // in the first second the browser is still compiling
  return (await timed(sampleRate, seconds, files)) / seconds;
}

async function timed(sampleRate, seconds, options) {
  const { channels } = options;
  const context = new OfflineAudioContext(channels, seconds * sampleRate, sampleRate);
  const noise = new AudioBuffer({ length: sampleRate, numberOfChannels: channels, sampleRate });
  for (let channel = 0; channel < channels; channel++) {
    noise.copyToChannel(Float32Array.from({ length: sampleRate }, () => 0.1 * (Math.random() - 0.5)), channel);
  }
  const source = new AudioBufferSourceNode(context, { buffer: noise, loop: true });
  source.connect(await createDenoiser(context, options)).connect(context.destination);
  source.start();
  const begun = performance.now();
  await context.startRendering();
  return (performance.now() - begun) / 1000;
}

async function bytes(source) {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return new Uint8Array(source);
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${source}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function module(source) {
  return source instanceof WebAssembly.Module ? source : WebAssembly.compile(await bytes(source));
}

// outside of a browser the module can be imported, though nothing be made
class Denoiser extends (globalThis.AudioWorkletNode ?? class {}) {
  /** Seconds by which the sound comes out later. */
  latency = 0;
  /** How often the device had nothing to play since the node was made. */
  glitches = 0;
  #closed = new AbortController();

  constructor(context, processorOptions) {
    const { channels } = processorOptions;
    super(context, "frcrn-denoiser", {
      channelCount: channels,
      channelCountMode: "explicit",
      outputChannelCount: [channels],
      processorOptions,
    });
    this.ready = new Promise((resolve, reject) => {
      this.port.onmessage = ({ data: { error, ...status } }) => {
        Object.assign(this, status);
        if (error) reject(new Error(error));
        else if ("latency" in status) resolve(this);
        else this.dispatchEvent(new Event("status"));
      };
      this.onprocessorerror = () => reject(new Error("the audio thread could not run the denoiser"));
    });
    const restart = () => this.port.postMessage("restart");
    context.addEventListener("statechange", restart, { signal: this.#closed.signal });
  }

  /** How much of the noise is removed, from 0 (none) to 1 (all); an AudioParam. */
  get strength() {
    return this.parameters.get("strength");
  }

  /** Disconnect, and let the audio thread forget the node. */
  close() {
    this.disconnect();
    this.#closed.abort();
    this.port.postMessage("close");
  }
}
