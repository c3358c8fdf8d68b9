// The page that shows the denoiser: a microphone or a file goes in; what comes out can be seen, played and saved.
import { createDenoiser, measureLoad } from "./denoiser.js";
import { View } from "./view.js";
import { wav } from "./wav.js";

const RATES = [44100, 48000]; // of all that a device may have, those at which the denoiser is used
const at = (id) => document.getElementById(id);
const views = [new View("before"), new View("after")];
let playing = null; // { context, denoiser, loudness, stop }
let buffer = null; // the file that is open, as AudioBuffer

function show(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

/** Let a button's work fail in one sentence. */
function doing(work) {
  return (...given) => work(...given).catch((error) => {
    stop();
    show(error.name === "NotAllowedError" ? "The browser did not allow the microphone." : error.message, true);
  });
}

function newContext() {
  const usual = new AudioContext({ latencyHint: "interactive" });
  if (RATES.includes(usual.sampleRate)) return usual;
  usual.close();
  return new AudioContext({ latencyHint: "interactive", sampleRate: 48000 });
}

const wanted = () => (at("on").checked ? at("strength").valueAsNumber / 100 : 0);

async function play(context, source, end) {
  at("load").textContent ||= `${(100 * (await measureLoad(context.sampleRate))).toFixed(1)} %`;
  const denoiser = await createDenoiser(context, { strength: wanted() });
  const [before, after] = views.map((view) => view.listen(context));
  const loudness = new GainNode(context, { gain: Number(at("listen").checked) });
  source.connect(before);
  source.connect(denoiser).connect(after).connect(loudness).connect(context.destination);
  denoiser.addEventListener("status", () => {
    at("glitches").textContent = denoiser.glitches;
  });
  at("latency").textContent = `${(1000 * denoiser.latency).toFixed(0)} ms`;
  at("rate").textContent = `${context.sampleRate / 1000} kHz`;
  playing = { context, denoiser, loudness, end };
  at("stop").disabled = false;
}

function stop() {
  playing?.end();
  playing?.context.close();
  playing = null;
  at("stop").disabled = true;
}

async function useMicrophone() {
  stop();
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const context = newContext();
  at("listen").checked = false; // what a loudspeaker plays would come in again
  await play(context, context.createMediaStreamSource(stream), () => stream.getTracks().forEach((track) => track.stop()));
  at("save").disabled = true;
  show("Listening to the microphone. To hear the result, put on headphones and switch it on below.");
}

async function open(content, name) {
  stop();
  const context = newContext();
  try {
    buffer = await context.decodeAudioData(content);
  } catch {
    context.close();
    throw new Error(`${name} is no audio file that this browser can read.`);
  }
  const source = new AudioBufferSourceNode(context, { buffer, loop: true });
  at("listen").checked = true;
  await play(context, source, () => source.stop());
  source.start();
  at("save").disabled = false;
  show(`Playing ${name}, ${buffer.duration.toFixed(1)} s, again and again.`);
}

async function openFile(file) {
  if (file) await open(await file.arrayBuffer(), file.name);
}

async function openSample() {
  await open(await (await fetch(new URL("./noisy.flac", import.meta.url))).arrayBuffer(), "the sample");
}

/** Denoise the whole file, as fast as it goes, and save it: as long as before, nothing late. */
async function save() {
  show("Cleaning the file…");
  const { sampleRate, numberOfChannels: channels, length } = buffer;
  const context = new OfflineAudioContext(channels, length + sampleRate, sampleRate);
  const denoiser = await createDenoiser(context, { channels, strength: wanted() });
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(denoiser).connect(context.destination);
  source.start();
  const clean = await context.startRendering(), late = Math.round(denoiser.latency * sampleRate);
  const parts = Array.from({ length: channels }, (_, channel) => clean.getChannelData(channel).subarray(late, late + length));
  const link = Object.assign(document.createElement("a"), { download: "clean.wav" });
  link.href = URL.createObjectURL(wav(parts, sampleRate));
  link.click();
  show("Saved as clean.wav.");
}

function adjust() {
  at("share").textContent = `${at("strength").value} %`;
  at("strength").disabled = !at("on").checked;
  if (!playing) return;
  playing.denoiser.strength.value = wanted();
  playing.loudness.gain.value = Number(at("listen").checked);
}

at("microphone").onclick = doing(useMicrophone);
at("sample").onclick = doing(openSample);
at("save").onclick = doing(save);
at("choose").onclick = () => at("file").click();
at("file").onchange = doing(() => openFile(at("file").files[0]));
at("stop").onclick = () => (stop(), show("Stopped."));
for (const name of ["on", "strength", "listen"]) at(name).oninput = adjust;
addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("over")));
addEventListener("dragleave", () => document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  doing(openFile)(event.dataTransfer.files[0]);
});
