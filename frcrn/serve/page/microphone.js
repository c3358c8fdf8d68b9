// Records the microphone as a wav file, as it comes: without the browser's own noise suppression.
import { wav } from "./wav.js";

const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** Return how many samples may be sent as one file, with some room for what is sent around them. */
const room = ({ minutes, megabytes }, rate) => Math.min((60 * minutes - 1) * rate, megabytes * 2 ** 19 - 4096);

/** Begin to record; the result's `stop` returns the file. `ended` is called at the limits, or if the microphone goes. */
export async function record(limits, ended) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
  const context = new AudioContext(), pieces = [], { sampleRate } = context, most = room(limits, sampleRate);
  let length = 0;
  await context.audioWorklet.addModule(new URL("tape.js", import.meta.url));
  const tape = new AudioWorkletNode(context, "tape", { channelCount: 1, channelCountMode: "explicit" });
  tape.port.onmessage = ({ data }) => {
    if (length + data.length > most) return ended();
    length += data.length;
    return pieces.push(data);
  };
  context.createMediaStreamSource(stream).connect(tape).connect(context.destination); // it gives silence
  stream.getTracks().forEach((track) => track.addEventListener("ended", ended)); // not by `stop`
  const stop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    const samples = new Float32Array(length);
    pieces.reduce((at, piece) => (samples.set(piece, at), at + piece.length), 0);
    return wav([samples], sampleRate);
  };
  return { stop, seconds: () => length / sampleRate };
}
