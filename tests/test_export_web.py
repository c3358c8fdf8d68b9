"""The package for the browser: what is in it, and that a real browser gets the library's sound out of it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import frcrn
from frcrn import audio
from frcrn.audio.sample import sample
from frcrn.cli import main
from frcrn.export.parity import speech
from frcrn.export.web import build
from frcrn.export.web.folder import WASM, export_web
from frcrn.models.checkpoint import save
from tests.browser import CHROMIUM, Page, opened
from tests.networks import noise
from tests.shapes import network, released

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
RATE = 48000
PLAIN = "package.json"  # a page of the folder that forbids nothing

HELPERS = """
const { createDenoiser, measureLoad } = await import("/denoiser.js");
const samples = text => new Float32Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
const packed = parts => btoa(parts.flatMap(x => Array.from(new Uint8Array(x.buffer, x.byteOffset, x.byteLength),
  byte => String.fromCharCode(byte))).join(""));
const addCode = (context, code) =>
  context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
"""
OFFLINE = (
    HELPERS
    + """
const wave = samples(WAVE), length = wave.length / CHANNELS;
const context = new OfflineAudioContext(CHANNELS, length, RATE);
const buffer = context.createBuffer(CHANNELS, length, RATE);
for (let i = 0; i < CHANNELS; i++) buffer.copyToChannel(wave.subarray(i * length, (i + 1) * length), i);
const source = new AudioBufferSourceNode(context, { buffer });
const node = await createDenoiser(context, { channels: CHANNELS, strength: STRENGTH });
source.connect(node).connect(context.destination);
source.start();
const clean = await context.startRendering();
return [node.latency, packed(Array.from({ length: CHANNELS }, (_, i) => clean.getChannelData(i)))];
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_web(frcrn.load(), tmp_path_factory.mktemp("web") / "new").parent


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    """The demonstration page, for all tests that leave it as it is."""
    with opened(folder, "index.html") as found:
        yield found


def text(wave: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(wave, np.float32).tobytes()).decode()


def rendered(page: Page, wave: np.ndarray, rate: int, strength: float = 1.0) -> tuple[float, np.ndarray]:
    """[C, T] -> the node's latency in seconds, and what it makes of the wave, [C, T]."""
    values = {"WAVE": json.dumps(text(wave)), "CHANNELS": len(wave), "RATE": rate, "STRENGTH": strength}
    script = OFFLINE
    for name, value in values.items():
        script = script.replace(name, str(value))
    latency, out = page.run(script)
    return latency, np.frombuffer(base64.b64decode(out), np.float32).reshape(wave.shape)


def in_python(wave: np.ndarray, rate: int, strength: float = 1.0) -> np.ndarray:
    """[C, T] -> [C, T], the same from the library."""
    stream = frcrn.load().stream(rate=rate, channels=len(wave), strength=strength)
    return np.concatenate([stream.push(wave), stream.flush()], axis=-1)


def test_the_command_writes_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(network(), tmp_path / "model.safetensors")
    arguments = ["export", str(tmp_path / "model.safetensors"), "-o", str(tmp_path / "out"), "--format", "web"]
    assert main(arguments) == 0
    assert "frcrn.wasm: 0." in capsys.readouterr().out
    about = json.loads((tmp_path / "out" / "package.json").read_text())
    assert about["version"] == frcrn.__version__
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {about["types"], about["exports"]["."]["default"]} <= {f"./{name}" for name in written}
    assert {"model.frcrn", "worklet.js", WASM, "index.html", "noisy.flac"} <= written
    assert main([*arguments, "--int8"]) == 2
    save(released(), tmp_path / "model.safetensors")
    assert main(arguments) == 2
    assert "only causal networks" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here: apt-get install npm")
def test_npm_packs_all_of_it(folder: Path) -> None:
    command = ["npm", "pack", "--dry-run", "--json", "--offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    (packed,) = json.loads(done.stdout)
    assert {each["path"] for each in packed["files"]} == {path.name for path in folder.iterdir()}


@pytest.mark.skipif(not build.can_build(), reason="no clang with WebAssembly: apt-get install clang lld wasi-libc ...")
def test_the_compiled_file_is_current(folder: Path) -> None:
    made_from = build.built_from((folder / WASM).read_bytes())
    assert made_from == build.fingerprint(), "run python -m frcrn.export.web.build"


@in_browser
@pytest.mark.parametrize(
    ("rate", "channels", "strength"),
    [(16000, 1, 1.0), (16000, 2, 0.6), (44100, 1, 1.0), (48000, 1, 1.0), (48000, 2, 0.5)],
)
def test_what_comes_out_is_what_the_library_gives(page: Page, rate: int, channels: int, strength: float) -> None:
    wave = np.stack([np.roll(speech(rate, 4.0), 5000 * channel) for channel in range(channels)])
    wave += noise(channels, wave.shape[1], level=0.01).numpy()  # in the high band too
    latency, got = rendered(page, wave, rate, strength)
    late = round(latency * rate)
    assert 0.03 < latency < 0.055
    wanted = in_python(wave, rate, strength)
    assert_allclose(got[:, late:], wanted[:, : got.shape[1] - late], atol=1e-3)


@in_browser
def test_without_strength_the_sound_is_only_late(page: Page) -> None:
    wave = speech(RATE, 1.0)[None]
    latency, got = rendered(page, wave, RATE, 0.0)
    late = round(latency * RATE)
    assert_allclose(got[:, late:], wave[:, :-late], atol=1e-5)


@in_browser
@pytest.mark.parametrize(
    ("options", "reason"),
    [("{ model: new Uint8Array(100) }", "not a model"), ('{ model: "/nothing.frcrn" }', "404")],
)
def test_what_cannot_be_made_is_refused_with_the_reason(folder: Path, options: str, reason: str) -> None:
    with opened(folder, PLAIN) as page:
        why = page.run(
            f"{HELPERS} return createDenoiser(new AudioContext({{ sampleRate: {RATE} }}), {options})"
            ".then(() => 'made', error => error.message)"
        )
    assert reason in why


IN_NODE = """
const [folder] = process.argv.slice(2), fs = require("fs"), file = name => fs.readFileSync(`${folder}/${name}`);
const wasm = new WebAssembly.Module(file("frcrn.wasm")), model = file("model.frcrn");
"""
REOPENED = f"""{IN_NODE}
const it = new WebAssembly.Instance(wasm).exports;
it._initialize();
const block = it.allocate(512), sound = () => new Float32Array(it.memory.buffer, block, 128);
sound().fill(1);
const stream = it.open_stream();
it.process(stream, block, block, 128, 1);
const before = [stream, it.latency(), ...new Set(sound())], sizes = [];
for (let i = 0; i < 30; i++) {{
  const at = it.allocate(model.length);
  new Uint8Array(it.memory.buffer, at).set(model);
  if (!it.open(at, model.length, 48000)) throw new Error();
  it.release(at);
  sizes.push(it.memory.buffer.byteLength);
}}
console.log(JSON.stringify([before, sizes[29] - sizes[2]]));
"""
FULL = f"""{IN_NODE}
let Made;
class Base {{ port = {{ said: [], postMessage(data) {{ this.said.push(data); }} }}; }}
const exports = new WebAssembly.Instance(wasm).exports;
const allocate = size => size === REFUSED ? 0 : exports.allocate(size);
const scope = {{
  AudioWorkletProcessor: Base, registerProcessor(name, found) {{ Made = found; }}, sampleRate: 48000, currentTime: 0,
  WebAssembly: {{ Instance: class {{ exports = {{ ...exports, allocate }}; }} }},
}};
new Function("scope", `with (scope) {{ ${{file("worklet.js")}} }}`)(scope);
const node = new Made({{ processorOptions: {{ module: wasm, model, channels: 1 }} }});
console.log(JSON.stringify([node.port.said, node.process([[]], [[new Float32Array(128)]], {{ strength: [1] }})]));
"""


def in_node(script: str, folder: Path) -> object:
    found = subprocess.run(["node", "-", str(folder)], input=script, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


@needs_node
def test_a_model_takes_the_place_of_the_one_before_and_without_one_there_is_silence(folder: Path) -> None:
    assert in_node(REOPENED, folder) == [[0, 0, 0], 0]


@needs_node
@pytest.mark.parametrize("size", ["model.length", "4 * 2048"])
def test_memory_that_is_not_there_is_said(folder: Path, size: str) -> None:
    assert in_node(FULL.replace("REFUSED", size), folder) == [[{"error": "there is not enough memory"}], True]


CLOCKS = """
let Made, audio = 0, machine = 0;
class Base { port = { counts: [], postMessage(data) { if ("glitches" in data) this.counts.push(data.glitches); } }; }
const scope = {
  AudioWorkletProcessor: Base, registerProcessor(name, found) { Made = found; }, sampleRate: RATE,
  get currentTime() { return audio; }, Date: { now: () => Math.round(1000 * machine) },
};
new Function("scope", `with (scope) { ${await (await fetch("/worklet.js")).text()} }`)(scope);
const node = new Made({ processorOptions: {} }), block = [[new Float32Array(128)]];
const run = (seconds, stall = 0) => {
  machine += stall;
  for (const end = audio + seconds; audio < end; audio += 128 / RATE, machine += 128 / RATE) {
    const before = machine;
    machine += LATE[Math.round(audio * RATE / 128) % LATE.length] / 1000; // no block comes quite in time
    node.process([[]], block, { strength: [1] });
    machine = before;
  }
  return node.port.counts.at(-1);
};
return [run(5), run(3, 0.004), run(3, 0.3), run(3), run(3, 0.02)];
"""


@in_browser
@pytest.mark.parametrize("late", [[0], [3, 0, 9, 1, 40, 2]])
def test_a_device_that_gets_no_sound_in_time_is_a_glitch(folder: Path, late: list[int]) -> None:
    """Both clocks are the test's: five seconds in time, then stalls of 4, 300 and 20 ms."""
    with opened(folder, PLAIN) as page:
        counts = page.run(CLOCKS.replace("RATE", str(RATE)).replace("LATE", json.dumps(late)))
    assert counts == [0, 0, 1, 1, 2]


@pytest.mark.slow
@in_browser
def test_a_stall_of_the_audio_thread_is_a_glitch(folder: Path) -> None:
    """Another node on the audio thread takes its time, once, and longer than any device has sound in store."""
    stalls = """registerProcessor("stall", class extends AudioWorkletProcessor {
      process() {
        if (currentTime < 1.5) return true;
        for (const end = Date.now() + 1500; Date.now() < end;);
        return false;
      }
    })"""
    script = f"""{HELPERS}
    const context = new AudioContext({{ sampleRate: {RATE} }}), node = await createDenoiser(context);
    await addCode(context, {json.dumps(stalls)});
    new AudioWorkletNode(context, "stall").connect(node).connect(context.destination);
    const counts = [];
    node.addEventListener("status", () => counts.push(node.glitches));
    await new Promise(good => setTimeout(good, 4500));
    context.close();
    return counts;"""
    with opened(folder, PLAIN) as page:
        counts = page.run(script)
    assert counts[-1] >= 1


SHOWN = "return Object.fromEntries({}.map(id => [id, document.getElementById(id).textContent]))"


def shown(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.run(SHOWN.format('["load", "glitches", "latency", "rate", "status", "after-level"]'))
    return found


@in_browser
def test_the_page_plays_its_sample_and_asks_for_nothing_elsewhere(folder: Path) -> None:
    with opened(folder, "index.html") as page:
        for width in (1280, 390):
            page.resize(width, 844)
            assert page.run("return document.documentElement.scrollWidth") <= width
        page.run("document.getElementById('sample').click()")
        time.sleep(3.5)
        found = shown(page)
        assert "Playing the sample" in found["status"]
        assert float(found["load"].rstrip(" %")) > 0 and found["latency"].endswith(" ms")
        brightest = (
            "const c = document.getElementById('{}'), image = c.getContext('2d').getImageData(540, 0, 60, c.height);"
            "return image.data.reduce((most, value, i) => Math.max(most, i % 4 ? 0 : value), 0)"
        )
        assert page.run(brightest.format("before")) > 100
        page.run("document.getElementById('stop').click()")
        assert shown(page)["status"] == "Stopped."
        home = page.run("return location.origin")
        assert all(address.startswith((home, "blob:", "data:")) for address in page.addresses)
        assert page.problems == []


DROP = """
HTMLAnchorElement.prototype.click = function () { window.saved = this.href };
const file = new File([await (await fetch("/noisy.flac")).blob()], "talk <b>.flac"), data = new DataTransfer();
data.items.add(file);
dispatchEvent(new DragEvent("drop", { dataTransfer: data }));
const status = document.getElementById("status"), wait = () => new Promise(good => setTimeout(good, 50));
while (!status.textContent.startsWith("Playing")) await wait();
const told = status.textContent;
document.getElementById("save").click();
while (!window.saved) await wait();
const bytes = new Uint8Array(await (await fetch(saved)).arrayBuffer());
document.getElementById("stop").click();
return [told, btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""))];
"""


@in_browser
def test_a_file_dropped_on_the_page_is_saved_clean(page: Page) -> None:
    told, saved = page.run(DROP)
    assert "talk <b>.flac" in told
    clean, noisy = audio.read(base64.b64decode(saved)), sample("noisy")
    assert abs(clean.samples.shape[1] / clean.rate - noisy.samples.shape[1] / noisy.rate) < 0.01
    got = audio.resample(clean.samples, clean.rate, noisy.rate)
    wanted = frcrn.load().enhance(noisy.samples, noisy.rate)
    count = min(got.shape[1], wanted.shape[1])
    assert np.corrcoef(got[0, :count], wanted[0, :count])[0, 1] > 0.999


@in_browser
@pytest.mark.slow
def test_a_minute_from_a_microphone_is_the_librarys_and_has_no_glitches(folder: Path, tmp_path: Path) -> None:
    seconds = 60
    audio.write(tmp_path / "spoken.wav", speech(48000, seconds + 5), 48000)
    microphone = [
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        f"--use-file-for-fake-audio-capture={tmp_path / 'spoken.wav'}",
    ]
    recorder = """registerProcessor("recorder", class extends AudioWorkletProcessor {
      process(inputs) {
        if (inputs[0].length) this.port.postMessage(inputs.map(([channel]) => channel.slice()));
        return true;
      }
    })"""
    script = f"""{HELPERS}
    const plain = {{ echoCancellation: false, noiseSuppression: false, autoGainControl: false }};
    const stream = await navigator.mediaDevices.getUserMedia({{ audio: plain }});
    const load = await measureLoad({RATE});
    const context = new AudioContext({{ sampleRate: {RATE} }}), source = context.createMediaStreamSource(stream);
    await context.suspend(); // so that all begin at once
    const node = await createDenoiser(context);
    await addCode(context, {json.dumps(recorder)});
    // a second device, with a node that does nothing but count, tells what the machine itself does to sound
    const idle = new AudioContext({{ sampleRate: {RATE} }});
    await idle.audioWorklet.addModule("/worklet.js");
    const control = new AudioWorkletNode(idle, "frcrn-denoiser", {{ processorOptions: {{}} }}); // it has no network
    control.port.onmessage = ({{ data }}) => Object.assign(control, data);
    control.connect(idle.destination);
    const options = {{ numberOfInputs: 2, channelCount: 1, channelCountMode: "explicit" }};
    const both = new AudioWorkletNode(context, "recorder", options), noisy = [], clean = [];
    both.port.onmessage = ({{ data }}) => (noisy.push(data[0]), clean.push(data[1]));
    source.connect(both, 0, 0);
    source.connect(node).connect(both, 0, 1);
    both.connect(context.destination);
    await context.resume();
    await new Promise(good => setTimeout(good, 1000 * {seconds}));
    await context.close();
    await idle.close();
    return [load, node.glitches, control.glitches, node.latency, packed(noisy), packed(clean)];"""
    with opened(folder, PLAIN, microphone) as page:
        load, glitches, idle_glitches, latency, noisy, clean = page.run(script)
    waves = [np.frombuffer(base64.b64decode(each), np.float32) for each in (noisy, clean)]
    assert len(waves[0]) == len(waves[1]) > 0.95 * seconds * RATE
    assert np.abs(waves[0]).max() > 0.05
    late = round(latency * RATE)
    wanted = in_python(waves[0][None], RATE)
    assert_allclose(waves[1][late:], wanted[0, : len(waves[1]) - late], atol=1e-3)
    assert load < 0.25
    if idle_glitches:
        pytest.skip(f"this machine is too busy to play even silence: {idle_glitches} glitches without the network")
    assert glitches == 0
