"""The parts of the page of the service: what they compute and say, without the service."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose

from frcrn.audio.spectrogram import ANCHORS
from tests.browser import CHROMIUM, Page, opened

PAGE = Path(__file__).parent.parent / "frcrn" / "serve" / "page"

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def parts() -> Iterator[Page]:
    """The modules of the page, without a service."""
    with opened(PAGE, "colours.js") as found:
        yield found


def noise(channels: int, length: int, seed: int = 0) -> np.ndarray:
    """[C, T], not above 0.9."""
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (channels, length)).astype(np.float32)


def wav(wave: np.ndarray, rate: int, subtype: str) -> str:
    file = io.BytesIO()
    soundfile.write(file, wave.T, rate, format="WAV", subtype=subtype)
    return base64.b64encode(file.getvalue()).decode()


READ = """
const { Sound } = await import("/sound.js");
const sound = await Sound.open(await (await fetch("data:audio/wav;base64,WAV")).blob());
const { rate, length, channels } = sound, found = await sound.read(FROM, COUNT);
return { rate, length, channels, found: found.map((each) => [...each]) };
"""


@in_browser
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_a_wav_file_is_read_from_anywhere(parts: Page, subtype: str) -> None:
    wave = noise(2 if subtype != "PCM_U8" else 3, 70_000)  # more than one block; many channels have another header
    first, count = 65_000, 6000
    script = READ.replace("WAV", wav(wave, 44100, subtype)).replace("FROM", str(first)).replace("COUNT", str(count))
    got = parts.run(script)
    assert (got["rate"], got["length"], got["channels"]) == (44100, 70_000, len(wave))
    wanted = np.pad(wave, ((0, 0), (0, count)))[:, first : first + count]
    step = {"PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23}.get(subtype, 1e-7)
    assert_allclose(got["found"], wanted, atol=1.01 * step)


@in_browser
def test_levels_are_those_of_numpy(parts: Page) -> None:
    rate, size = 16000, 512
    wave = noise(2, size, seed=1)
    script = f"""
    const {{ Spectrum }} = await import("/spectrum.js");
    const spectrum = new Spectrum({rate}), channels = {json.dumps(wave.tolist())};
    spectrum.add([channels[0]], 0, 1);
    const mono = [...spectrum.power];
    spectrum.clear();
    spectrum.add(channels, 0, 1);
    return [spectrum.size, mono, [...spectrum.power]];"""
    found, mono, stereo = parts.run(script)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    power = (4 * np.abs(np.fft.rfft(wave * window)[:, :-1]) / size) ** 2
    assert found == size
    assert_allclose(mono, power[0], rtol=1e-9, atol=1e-15)
    assert_allclose(stereo, power.mean(axis=0), rtol=1e-9, atol=1e-15)


@in_browser
def test_a_full_scale_sine_has_no_decibels_and_its_row(parts: Page) -> None:
    script = """
    const { Spectrum, rows, toMel } = await import("/spectrum.js");
    const spectrum = new Spectrum(48000), height = 150, out = new Float64Array(height);
    const turn = (2 * Math.PI * 128) / spectrum.size;
    const sine = Float32Array.from({ length: spectrum.size }, (_, i) => Math.sin(turn * i));
    spectrum.add([sine], 0, 1);
    rows(48000, spectrum.power.length, height)(spectrum.power, out);
    const row = out.indexOf(Math.max(...out)), share = toMel((128 * 48000) / spectrum.size) / toMel(24000);
    return [Math.max(...out), row, height * (1 - share)];"""
    loudest, row, expected = parts.run(script)
    assert abs(loudest) < 0.1
    assert abs(row + 0.5 - expected) <= 1


@in_browser
def test_times_are_written_as_people_do(parts: Page) -> None:
    script = """const { clock, ticks } = await import("/time.js");
    const marks = ticks(3.2, 4.1, 900);
    return [clock(0), clock(59.96), clock(3725.25, 0), marks.map((each) => each.text), marks[1].share];"""
    assert parts.run(script) == [
        *("0:00.0", "0:59.9", "1:02:05"),
        [f"0:0{tenths / 10:.1f}" for tenths in range(32, 42)],
        pytest.approx(1 / 9),
    ]


@in_browser
def test_the_colours_are_those_of_the_library(parts: Page) -> None:
    script = 'const { colour } = await import("/colours.js"); return [0, 0.2, 0.4, 0.6, 0.8, 1].map(colour)'
    assert np.abs(np.array(parts.run(script)) - ANCHORS).max() <= 1


def test_both_languages_say_all_and_the_page_asks_for_nothing_else() -> None:
    text = (PAGE / "words.js").read_text(encoding="utf-8")
    languages = text.partition("en: {")[2].partition("zh: {")
    keys, chinese = (set(re.findall(r"(\w+): \"", each)) for each in (languages[0], languages[2].partition("};")[0]))
    assert keys == chinese and len(keys) > 40
    code = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir() if path.suffix in (".js", ".html"))
    asked = set(re.findall(r"data-(?:say|label)=\"(\w+)\"", code)) | set(re.findall(r"\bsay\(\"(\w+)\"", code))
    assert asked <= keys
    computed = {"sending", "queued", "running", "done", "cancelled", "failed", "waiting"} | {"pause", "play"}
    computed |= {"cancel", "remove", "again", "cancelOf", "removeOf", "againOf", "save", "saveOf", "saveRemoved"}
    assert keys <= asked | computed | {"saveRemovedOf"}


def luminance(colour: str) -> float:
    full = "".join(2 * digit for digit in colour) if len(colour) == 3 else colour
    values = np.array([int(full[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_can_be_read_by_day_and_by_night(scheme: int) -> None:
    text = (PAGE / "style.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", text, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): #(\w+)", block))
    pairs = [(name, ground) for name in ("text", "soft", "main", "bad") for ground in ("back", "fill")]
    for one, other in [*pairs, ("on-main", "main")]:
        if (one, other) in (("bad", "fill"), ("main", "fill")):
            continue  # these are never put on each other
        light, dark = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (one, other)
