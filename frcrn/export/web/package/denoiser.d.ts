/** Where a file is, or what is in it. */
export type Source = string | URL | ArrayBuffer | Uint8Array;

export interface DenoiserOptions {
  /** The network: `model.frcrn` beside this module, unless another is given. */
  model?: Source;
  /** `frcrn.wasm`, beside this module; it may be compiled already. */
  wasm?: Source | WebAssembly.Module;
  /** Where `worklet.js` is: beside this module. */
  worklet?: string | URL;
  /** How many channels go in and come out, each denoised by itself (default: 1, to which more are mixed). */
  channels?: number;
  /** The strength to begin with, from 0 to 1 (default: 1). */
  strength?: number;
}

export interface Denoiser extends AudioWorkletNode {
  /** How much of the noise is removed, from 0 (none) to 1 (all). */
  readonly strength: AudioParam;
  /** Seconds by which the sound comes out later. */
  readonly latency: number;
  /** How often the device had nothing to play since the node was made. */
  readonly glitches: number;
  /** Disconnect, and let the audio thread forget the node. */
  close(): void;
}

/** Make a node that takes noisy speech and gives clean speech; it dispatches "status" once a second. */
export function createDenoiser(context: BaseAudioContext, options?: DenoiserOptions): Promise<Denoiser>;

/** Measure which share of one core's time the node takes at a sample rate, from 0 to 1: how long it needs for some seconds of sound. */
export function measureLoad(sampleRate: number, options?: DenoiserOptions & { seconds?: number }): Promise<number>;
