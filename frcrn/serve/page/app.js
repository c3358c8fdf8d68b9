// The page: what its buttons do, and how its parts hang together.
import { gradient } from "./colours.js";
import { List, status } from "./list.js";
import { record } from "./microphone.js";
import { Player } from "./player.js";
import { Queue } from "./queue.js";
import * as service from "./service.js";
import { Sound } from "./sound.js";
import { Stage } from "./stage.js";
import { clock } from "./time.js";
import { say, switchLanguage, translate } from "./words.js";

const PARTS = ["before", "after", "removed"];
const FORMATS = ["wav", "flac", "ogg", "opus", "mp3"]; // of all that can be written, those that are asked for
const at = (id) => document.getElementById(id);
export const queue = new Queue(), player = new Player(), stage = new Stage(at("stage"));
const list = new List(at("list"), queue, { choose, again: (recording) => queue.enhance(recording, settings()) });
let known = null; // models, limits and formats
let chosen = null; // the recording on the stage
let shown = null; // the job whose sounds are on the stage
let tape = null; // while recording
let message = null; // a function that returns what to say

/** Say a sentence, in whichever language is chosen then. */
function tell(words, bad = false) {
  message = words;
  at("message").textContent = words?.() ?? "";
  at("message").classList.toggle("bad", bad);
}

const complain = (error) => tell(() => (error.name === "TypeError" ? say("away") : error.message), true);

/** Let work fail in one sentence. */
const doing = (work) => (...given) => Promise.resolve(work(...given)).catch(complain);

function settings() {
  const band = document.querySelector("[name=band]:checked").value;
  const found = { model: at("model").value, strength: at("strength").value / 100, band, format: at("format").value };
  if (!found.format) delete found.format; // it is the upload's then
  return found;
}

async function add(files, recorded = false) {
  let first = null;
  await ready;
  for (const file of files) {
    const own = recorded ? URL.createObjectURL(file) : null; // there is no other copy of it
    const { megabytes } = known.limits, size = file.size / 2 ** 20;
    if (size > megabytes) {
      queue.refuse(file.name, () => say("tooLarge", { size: size.toFixed(1), megabytes }), own);
      continue;
    }
    tell(null);
    const recording = queue.add(file, file.name, settings(), own);
    first ??= recording;
  }
  if (first) choose(first);
}

/** Put a recording on the stage, as soon as there is something to hear. */
function choose(recording) {
  chosen = list.chosen = recording;
  list.update();
  return doing(present)();
}

async function present() {
  const recording = chosen, job = recording?.job;
  if (shown && shown.recording !== recording) await clear();
  invite();
  if (!job || job === shown?.job) return;
  const again = shown?.recording === recording;
  shown = { job, recording };
  try {
    await show(recording, job, again);
  } catch (error) {
    if (shown?.job === job) shown = null;
    throw error;
  }
}

/** Fetch the parts of a result, and give them to the player and the stage. */
async function show(recording, job, again) {
  const blobs = await Promise.all(PARTS.map((part) => service.sound(job, part)));
  const sounds = await Promise.all(blobs.map(Sound.open));
  if (shown?.job !== job) return;
  const named = (values) => Object.fromEntries(PARTS.map((part, i) => [part, values[i]]));
  await player.load(named(sounds), again ? player.position : 0);
  stage.show(named(blobs), sounds[0].seconds, sounds[0].rate, again);
  at("panels").setAttribute("aria-valuemax", sounds[0].seconds.toFixed(1));
  for (const id of ["play", "heard", "zoom-in", "zoom-out", "zoom-all"]) at(id).disabled = false;
  showLevels(recording.levels);
}

function showLevels(levels) {
  const text = (value, unit) => (value == null ? "–" : `${value.toFixed(1).replace("-", "−")} ${unit}`);
  at("in-level").textContent = text(levels?.in_dbfs, "dBFS");
  at("out-level").textContent = text(levels?.out_dbfs, "dBFS");
  at("removed-level").textContent = text(levels?.removed_db, "dB");
}

/** Say on the empty stage what it is for, or what the recording waits for. */
function invite() {
  at("invited").textContent = chosen ? status(chosen) : say("drop");
  at("limits").textContent = !chosen && known ? say("limits", known.limits) : "";
}

/** Leave the stage empty. */
async function clear() {
  shown = null;
  await player.pause(0);
  player.seconds = 0;
  player.changed();
  stage.clear();
  showLevels(null);
  for (const id of ["play", "heard", "zoom-in", "zoom-out", "zoom-all"]) at(id).disabled = true;
}

queue.addEventListener("change", ({ recording }) => {
  if (chosen && !queue.recordings.includes(chosen)) {
    choose(queue.recordings[0] ?? null);
  }
  at("recordings").hidden = !queue.recordings.length;
  list.update();
  if (recording?.state === "done" && recording.job !== recording.told) {
    recording.told = recording.job;
    tell(() => say("ready", { name: recording.name }));
  }
  if (recording?.state === "failed") tell(() => `${recording.name}: ${status(recording)}`, true);
  if (recording === chosen) doing(present)();
});

let soon = 0;
/** Enhance the recording on the stage anew, once the settings rest. */
function resettle() {
  clearTimeout(soon);
  soon = setTimeout(() => chosen && queue.enhance(chosen, settings()), 300);
}

async function toggleRecording() {
  if (tape) {
    const finished = tape;
    tape = null;
    at("record").classList.remove("on");
    at("record").textContent = say("record");
    const name = `${say("recorded")} ${new Date().toTimeString().slice(0, 8).replaceAll(":", ".")}.wav`;
    const file = new File([await finished.stop()], name, { type: "audio/wav" });
    return add([file], true);
  }
  await ready;
  if (!navigator.mediaDevices) return tell(() => say("unsafe"), true);
  try {
    const begun = await record(known.limits, () => tape === begun && doing(toggleRecording)());
    tape = begun;
  } catch (error) {
    return tell(() => (error.name === "NotAllowedError" ? say("noMicrophone") : error.message), true);
  }
  at("record").classList.add("on");
  tell(() => say("recording"));
  return showTape();
}

function showTape() {
  if (!tape) return;
  at("record").textContent = say("stop", { time: clock(tape.seconds(), 0) });
  setTimeout(showTape, 200);
}

function hear(part) {
  player.choose(part);
  document.querySelector(`[name=heard][value=${part}]`).checked = true;
}

function step() {
  const { position, playing } = player;
  stage.mark(position, playing);
  at("time").textContent = player.seconds ? `${clock(position)} / ${clock(player.seconds)}` : "0:00.0";
  at("panels").setAttribute("aria-valuenow", position.toFixed(1));
  at("panels").setAttribute("aria-valuetext", `${clock(position)} / ${clock(player.seconds ?? 0)}`);
  if (playing) requestAnimationFrame(step);
}

player.addEventListener("change", () => {
  at("play").classList.toggle("playing", player.playing);
  at("play").dataset.label = player.playing ? "pause" : "play";
  at("play").ariaLabel = at("play").title = say(at("play").dataset.label);
  for (const panel of document.querySelectorAll("[data-panel]")) {
    panel.classList.toggle("heard", panel.dataset.panel === player.part);
  }
  step();
});

stage.addEventListener("seek", ({ at: place, part }) => {
  if (part) hear(part);
  player.seek(place).then(() => player.play());
});
stage.addEventListener("scale", ({ ceiling, range }) => {
  at("floor").textContent = `${ceiling - range}`.replace("-", "−");
  at("ceiling").textContent = `${ceiling} dBFS`.replace("-", "−");
});

const KEYS = {
  ArrowLeft: () => player.seek(player.position - (stage.to - stage.from) / 20),
  ArrowRight: () => player.seek(player.position + (stage.to - stage.from) / 20),
  Home: () => player.seek(0),
  End: () => player.seek(player.seconds),
  " ": () => player.toggle(),
  "+": () => stage.scale(0.5, player.position),
  "=": () => stage.scale(0.5, player.position),
  "-": () => stage.scale(2, player.position),
  0: () => stage.zoom(0, stage.seconds),
  1: () => hear("before"),
  2: () => hear("after"),
  3: () => hear("removed"),
};
KEYS.ArrowDown = KEYS.ArrowLeft;
KEYS.ArrowUp = KEYS.ArrowRight;

addEventListener("keydown", (event) => {
  const free = event.target === document.body || event.target === at("panels");
  if (!free || !player.seconds || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

function fillChoices() {
  const option = (value, text, selected) => new Option(text, value, selected, selected);
  const model = at("model").value, format = at("format").value;
  at("model").replaceChildren(...known.models.map(({ name, rate, default: first }) =>
    option(name, `${name} (${rate / 1000} kHz)`, model ? name === model : first)));
  at("format").replaceChildren(...[
    option("", say("source"), !format),
    ...FORMATS.filter((each) => known.formats.includes(each)).map((each) => option(each, each, each === format)),
  ]);
}

function speak() {
  translate();
  if (known) fillChoices();
  invite();
  for (const canvas of document.querySelectorAll("canvas")) {
    canvas.setAttribute("role", "img");
    canvas.ariaLabel = say("spectrogram", { part: say(canvas.dataset.part) });
  }
  at("message").textContent = message?.() ?? "";
  list.update();
}

at("language").onclick = () => (switchLanguage(), speak());
at("choose").onclick = () => at("file").click();
at("file").onchange = doing(async () => {
  const files = [...at("file").files];
  at("file").value = ""; // so that the same can be chosen again
  await add(files);
});
at("record").onclick = doing(toggleRecording);
at("example").onclick = doing(async () => add([new File([await service.example()], "example.wav")]));
at("play").onclick = () => player.toggle();
at("zoom-in").onclick = () => stage.scale(0.5, player.position);
at("zoom-out").onclick = () => stage.scale(2, player.position);
at("zoom-all").onclick = () => stage.zoom(0, stage.seconds);
at("heard").onchange = ({ target }) => hear(target.value);
at("strength").oninput = () => (at("share").textContent = `${at("strength").value} %`);
at("settings").onchange = resettle;
at("settings").onsubmit = (event) => event.preventDefault();
at("colours").style.background = gradient;
addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("over")));
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  doing(add)([...event.dataTransfer.files]);
});
addEventListener("beforeunload", (event) => tape && event.preventDefault());
addEventListener("pagehide", ({ persisted }) => persisted || queue.freeAll());

speak();
player.changed();
const ready = service.about().then((facts) => {
  known = facts;
  fillChoices();
  invite();
});
ready.catch(complain);
