"""The page of the service in a real browser, beside the command line."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.testing import assert_allclose

from frcrn import audio
from frcrn.cli import main
from frcrn.export.parity import speech
from tests.browser import CHROMIUM, Page, visited
from tests.service_page import BEGIN, serving

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


def noise(channels: int, length: int, seed: int = 0) -> np.ndarray:
    """[C, T], not above 0.9."""
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (channels, length)).astype(np.float32)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A service that takes files of up to 20 MB."""
    for package in ("starlette", "uvicorn", "python_multipart"):
        pytest.importorskip(package)
    with serving("--max-mb", "20", "--workers", "1") as found:
        yield found


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Page]:
    with visited(address) as found:
        yield found


@pytest.fixture
def page(browser: Page, address: str) -> Iterator[Page]:
    """The page, opened anew; at the end nothing may have gone wrong in it, nor been asked for elsewhere."""
    browser.problems.clear()
    browser.addresses.clear()
    browser.go(address)
    yield browser
    assert browser.problems == []
    assert len(browser.addresses) > 10
    assert [each for each in browser.addresses if not each.startswith((address, "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy speech in two channels, as flac."""
    path = tmp_path_factory.mktemp("talk") / "a talk.flac"
    wave = np.stack([speech(44100, 4.0), np.roll(speech(44100, 4.0), 9000)]) + noise(2, 4 * 44100) / 20
    audio.write(path, wave.astype(np.float32), 44100)
    return path


def by_command(source: Path, *options: str) -> np.ndarray:
    """What the command line makes of a file: [T, C], as it is stored."""
    out = source.with_name(f"by_command{source.suffix}")
    assert main(["enhance", str(source), "-o", str(out), "-q", *options]) == 0
    return soundfile.read(out, dtype="int32")[0]


def downloaded(page: Page, folder: Path, link: str = ".save") -> Path:
    """Click a link of the first recording; return the file."""
    folder.mkdir()
    page.keep_downloads(folder)
    page.run(f"document.querySelector('#list {link}').click()")
    for _ in range(400):
        page.run("await new Promise((good) => setTimeout(good, 20))")
        # Chromium holds the name with an empty file until it renames the whole one.
        found = [each for each in folder.iterdir() if each.suffix != ".crdownload" and each.stat().st_size]
        if found:
            return found[0]
    raise AssertionError("nothing came")


def enhanced(page: Page, *paths: Path) -> None:
    page.choose("#file", *paths)
    page.run(BEGIN + "await until(() => queue.recordings.length); await idle(); await shown();")


@in_browser
def test_what_is_downloaded_is_what_the_command_line_writes(page: Page, talk: Path, tmp_path: Path) -> None:
    enhanced(page, talk)
    got = downloaded(page, tmp_path / "whole")
    assert got.name == "a talk.clean.flac"
    assert (soundfile.info(got).format, soundfile.info(got).subtype) == ("FLAC", soundfile.info(talk).subtype)
    wanted = by_command(talk)
    np.testing.assert_array_equal(soundfile.read(got, dtype="int32")[0], wanted)
    removed = soundfile.read(downloaded(page, tmp_path / "removed", ".saveRemoved"))[0]
    before, after = (soundfile.read(each)[0] for each in (talk, got))
    assert_allclose(removed, before - after, atol=2**-14)
    levels = page.run("return ['in', 'out'].map((name) => document.getElementById(`${name}-level`).textContent)")
    shown = [float(text.replace("−", "-").removesuffix(" dBFS")) for text in levels]
    assert_allclose(shown, [10 * np.log10(np.square(each).mean()) for each in (before, after)], atol=0.06)


@in_browser
@pytest.mark.slow
def test_settings_change_the_result_that_is_on_the_stage(page: Page, talk: Path, tmp_path: Path) -> None:
    enhanced(page, talk)
    page.run(
        BEGIN
        + """
        const job = queue.recordings[0].job;
        stage.zoom(1, 2);
        await player.seek(1.5);
        at("strength").value = 40;
        document.querySelector("[name=band][value=speech]").checked = true;
        at("format").value = "wav";
        at("settings").dispatchEvent(new Event("change"));
        await until(() => queue.recordings[0].job !== job);
        await until(() => player.position === 1.5 && stage.from === 1);"""
    )
    got = downloaded(page, tmp_path / "again")
    assert got.suffix == ".wav"
    wanted = by_command(talk, "--strength", "0.4", "--band", "speech")
    np.testing.assert_array_equal(soundfile.read(got, dtype="int32")[0], wanted)


LISTEN = """
await player.seek(0.5);
document.querySelector("[name=heard][value=before]").click();
player.play();
await until(() => player.position > 1);
const ear = new AnalyserNode(player.context, { fftSize: 2048, channelCount: 1, channelCountMode: "explicit" });
player.output.connect(ear);
const found = [];
for (const part of ["after", "removed", "before"]) {
  const was = player.position;
  document.querySelector(`[name=heard][value=${part}]`).click();
  const jump = player.position - was;
  await until(() => player.position > was + 0.4);
  const heard = new Float32Array(2048), position = player.position;
  ear.getFloatTimeDomainData(heard);
  found.push({ part, jump, position, heard: [...heard] });
}
await player.pause();
return found;
"""


@in_browser
def test_parts_are_switched_while_they_play_and_nothing_else_is_heard(page: Page, address: str, tmp_path: Path) -> None:
    rate = 16000
    path = tmp_path / "noisy.wav"
    audio.write(path, (speech(rate, 4.0) + noise(1, 4 * rate)[0] / 10)[None].astype(np.float32), rate)
    enhanced(page, path)
    job = page.run(BEGIN + "return queue.recordings[0].job")
    for found in page.run(BEGIN + LISTEN):
        source = f"{address}v1/jobs/{job}/audio?part={found['part']}&format=wav"
        with urllib.request.urlopen(source) as answer:
            wave = soundfile.read(io.BytesIO(answer.read()), dtype="float32")[0]
        heard = np.array(found["heard"])
        assert np.abs(heard).max() > 0.003
        frames = np.lib.stride_tricks.sliding_window_view(wave, len(heard))
        place = int(np.argmin(np.square(frames[:, ::256] - heard[::256]).sum(axis=1)))
        assert_allclose(frames[place], heard, atol=1e-6)
        assert abs(found["jump"]) < 0.05
        assert abs(found["position"] - (place + len(heard)) / rate) < 0.15  # the device is late by some of it


@in_browser
def test_keys_and_pointer_zoom_and_seek(page: Page, talk: Path) -> None:
    enhanced(page, talk)
    state = "return [stage.from, stage.to, player.position, player.part, player.playing]"
    page.run("document.getElementById('panels').focus()")
    for key in ("Home", "+", "+", "ArrowRight", "3"):
        page.press(key)
    assert page.run(BEGIN + state) == [0, pytest.approx(1.0), pytest.approx(0.05), "removed", False]
    page.press("0")
    left, top, width, height = page.run(
        "const { left, top, width, height } = document.getElementById('panels').getBoundingClientRect();"
        "return [left, top, width, height]"
    )
    for kind, share in (("Pressed", 0.25), ("Moved", 0.3), ("Moved", 0.75), ("Released", 0.75)):
        page.mouse(kind, left + share * width, top + 20, button="left", buttons=1, clickCount=1)
    assert page.run(BEGIN + state)[:2] == pytest.approx([1, 3], abs=0.01)
    page.mouse("Wheel", left + width / 2, top + 20, deltaX=0, deltaY=-100)
    assert page.run(BEGIN + "await until(() => stage.to < 2.9);" + state)[:2] == pytest.approx([1.18, 2.82], abs=0.02)
    for kind in ("Pressed", "Released"):
        page.mouse(kind, left + width / 2, top + height / 2, button="left", clickCount=1)
    page.run(
        BEGIN + "await until(() => player.playing && player.position > 2 && player.part === 'after'); player.pause()"
    )


@in_browser
def test_text_and_large_files_are_refused_in_one_sentence(browser: Page, address: str, tmp_path: Path) -> None:
    browser.go(address)
    (tmp_path / "notes.wav").write_text("no sound at all " * 100)
    with (tmp_path / "large.wav").open("wb") as large:
        large.truncate(21 << 20)
    browser.choose("#file", tmp_path / "notes.wav", tmp_path / "large.wav")
    script = """await until(() => queue.recordings.length === 2); await idle();
    return [...document.querySelectorAll("#list .what")].map((each) => each.textContent)"""
    text, large_file = browser.run(BEGIN + script)
    assert text.startswith("found text; accepted are wav, flac")
    assert large_file == "the file has 21.0 MB; accepted are at most 20 MB"
    assert not any("21" in each for each in browser.addresses if "large" in each)
    browser.problems.clear()  # a browser notes refusals


@in_browser
def test_a_cancelled_recording_frees_the_service(page: Page, address: str, tmp_path: Path) -> None:
    audio.write(tmp_path / "long.wav", np.tile(noise(1, 16000), 300), 16000)
    page.choose("#file", tmp_path / "long.wav")
    page.run(BEGIN + "await until(() => queue.recordings[0]?.state === 'running' && queue.recordings[0].progress > 0)")
    page.run("document.querySelector('#list .cancel').click()")
    assert page.run("return document.querySelector('#list .what').textContent") == "Cancelled"
    for _ in range(200):
        with urllib.request.urlopen(f"{address}health") as answer:
            health = json.load(answer)
        if health["active"] == 0:
            break
        page.run("await new Promise((good) => setTimeout(good, 50))")
    assert health["active"] == health["waiting"] == 0
    page.run(BEGIN + "document.querySelector('#list .remove').click(); await until(() => !queue.recordings.length)")


@in_browser
def test_the_language_is_the_browsers_until_it_is_switched(page: Page, address: str) -> None:
    titles = []
    for click in (False, True, False, True):
        page.run("document.getElementById('language').click()" if click else "")
        titles.append(page.run("return [document.title, document.documentElement.lang]"))
        if click:
            page.go(address)
    assert titles[0] == titles[3] == ["Remove noise from speech", "en"]
    assert titles[1] == titles[2] == ["去除语音中的噪声", "zh"]


@in_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off_at_any_width(page: Page, width: int) -> None:
    page.resize(width, 860, mobile=width < 500)
    script = """document.getElementById("example").click();
    await until(() => queue.recordings.length); await idle(); await shown();
    const right = (each) => each.getBoundingClientRect().right, all = (what) => [...document.querySelectorAll(what)];
    const wide = all("main *").filter((each) => right(each) > innerWidth + 1);
    const named = (each) => each.ariaLabel || each.textContent.trim() || each.labels?.length || each.hidden;
    const nameless = all("button, input, select, [role=slider], [role=img]").filter((each) => !named(each));
    const code = (found) => found.map((each) => each.outerHTML);
    return [code(wide), code(nameless), document.documentElement.scrollWidth]"""
    cut_off, nameless, reached = page.run(BEGIN + script)
    assert cut_off == nameless == []
    assert reached <= width
    page.resize(1280, 860)


@in_browser
@pytest.mark.slow
def test_the_microphone_is_recorded_as_it_is_and_enhanced(address: str, tmp_path: Path) -> None:
    audio.write(tmp_path / "spoken.wav", speech(48000, 20.0)[None], 48000)
    microphone = [
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        f"--use-file-for-fake-audio-capture={tmp_path / 'spoken.wav'}",
    ]
    script = """at("record").click();
    await until(() => at("record").textContent.endsWith("0:03"));
    if (dispatchEvent(new Event("beforeunload", { cancelable: true }))) throw new Error("it can be left unasked");
    at("record").click();
    await until(() => queue.recordings.length); await idle(); await shown();
    return [queue.recordings[0].name, player.sounds.before.rate]"""
    with visited(address, microphone) as page:
        name, rate = page.run(BEGIN + script)
        assert re.fullmatch(r"Recording \d\d\.\d\d\.\d\d\.wav", name)
        job = page.run(BEGIN + "return queue.recordings[0].job")
        with urllib.request.urlopen(f"{address}v1/jobs/{job}/audio?part=before&format=wav") as answer:
            (tmp_path / "recorded.wav").write_bytes(answer.read())
        got = downloaded(page, tmp_path / "out")
        assert page.problems == []
    np.testing.assert_array_equal(soundfile.read(got, dtype="int32")[0], by_command(tmp_path / "recorded.wav"))
    recorded = soundfile.read(tmp_path / "recorded.wav")[0]
    assert 2.5 * rate < len(recorded) < 6 * rate
    spoken, piece = soxr.resample(speech(48000, 20.0), 48000, rate), recorded[rate : 2 * rate]
    size = len(spoken) + len(piece)
    products = np.fft.irfft(np.fft.rfft(spoken, size) * np.fft.rfft(piece, size).conj(), size)
    place = int(products[: len(spoken) - len(piece)].argmax())
    assert np.corrcoef(spoken[place : place + len(piece)], piece)[0, 1] > 0.99


@in_browser
@pytest.mark.slow
def test_two_tabs_at_once_and_leaving_deletes(browser: Page, address: str, talk: Path) -> None:
    browser.go(address)
    script = """
    const other = open("/"), hers = (what) => other.document.querySelector(what);
    await until(() => hers("#model option")); // she has heard from the service
    at("example").click(), hers("#example").click();
    await until(() => queue.recordings.length && hers("#list li"));
    await idle(), await until(() => hers("#list li").dataset.state === "done");
    const jobs = [queue.recordings[0].job, hers("#list a").href.match(/jobs\\/([^/]+)/)[1]];
    const fetched = (job) => fetch(`/v1/jobs/${job}/audio?part=after&format=wav`);
    const sound = async (job) => new Uint8Array(await (await fetched(job)).arrayBuffer());
    const [one, two] = [await sound(jobs[0]), await sound(jobs[1])], same = one.every((byte, i) => byte === two[i]);
    other.close();
    const there = async (job) => (await fetch(`/v1/jobs/${job}`)).ok;
    for (let i = 0; i < 100 && (await there(jobs[1])); i++) await new Promise((good) => setTimeout(good, 50));
    return [jobs[0] !== jobs[1], one.length, same, await there(jobs[0]), await there(jobs[1])]"""
    different, size, same, mine, hers = browser.run(BEGIN + script)
    assert different and same and size > 44
    assert mine and not hers
    browser.problems.clear()


@in_browser
@pytest.mark.slow
def test_a_recording_ends_before_it_is_too_large_to_send_and_can_be_kept_in_any_case(tmp_path: Path) -> None:
    script = """at("record").click();
    await until(() => queue.recordings.length); await until(() => !queue.recordings[0].busy);
    return [queue.recordings[0].state, document.querySelector("#list .saveOriginal").textContent]"""
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with serving("--max-mb", "1") as address, visited(address, flags) as page:
        assert page.run(BEGIN + script) == ["done", "Download original"]
    with serving("--max-mb", "1") as address, visited(address, flags) as page:
        page.run(BEGIN + "at('record').click(); await until(() => at('record').textContent.endsWith('0:01'))")
        page.run("const { queue } = await import('/static/app.js'); queue.submit = () => { throw new TypeError(); }")
        page.run(BEGIN + "at('record').click(); await until(() => queue.recordings[0]?.state === 'failed')")
        got = soundfile.info(downloaded(page, tmp_path / "out", ".saveOriginal"))
        assert re.fullmatch(r"Recording .*\.wav", Path(got.name).name) and 0.5 < got.duration < 6
