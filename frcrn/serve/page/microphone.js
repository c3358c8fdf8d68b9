// Records the microphone as a wav file, as it comes: without the browser's own noise suppression.
import { wav } from "./wav.js";

const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** Begin to record; the result's `stop` returns the file. */
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
  const context = new AudioContext(), pieces = [];
  await context.audioWorklet.addModule(new URL("tape.js", import.meta.url));
  const tape = new AudioWorkletNode(context, "tape", { channelCount: 1, channelCountMode: "explicit" });
  tape.port.onmessage = ({ data }) => pieces.push(data);
  context.createMediaStreamSource(stream).connect(tape).connect(context.destination); // it gives silence
  const { sampleRate } = context;
  const seconds = () => pieces.reduce((sum, piece) => sum + piece.length, 0) / sampleRate;
  const stop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    const samples = new Float32Array(Math.round(seconds() * sampleRate));
    pieces.reduce((at, piece) => (samples.set(piece, at), at + piece.length), 0);
    return wav([samples], sampleRate);
  };
  return { stop, seconds };
}
