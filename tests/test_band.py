"""Full band: what lies above the network's band is split off without loss, cleaned in time with it, and streamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from frcrn import FRCRN, audio
from frcrn.audio.filters import ShortResampler, bank, ratio
from frcrn.cli import main
from frcrn.inference.enhance import enhance, enhance_file
from frcrn.inference.fullband import FullBand
from frcrn.models import Enhancer
from tests.fakes import CausalGain, Gain
from tests.networks import tiny, two_levels, with_mask_of_one

Array = NDArray[np.float32]
RATES = [16050, 22050, 24000, 44100, 44101, 48000, 96000, 192000]


def white(length: int, channels: int = 1, seed: int = 0) -> Array:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, length))).astype(np.float32)


def talk(rate: int, seconds: float = 2.0) -> Array:
    """[1, T]: voiced stretches, bursts like fricatives up to 20 kHz, and pauses of very soft noise."""
    random, time = np.random.default_rng(3), np.arange(round(seconds * rate)) / rate
    voiced = sum(np.sin(2 * np.pi * 140 * k * time + k) / k for k in range(1, 60) if 140 * k < rate / 2)
    hiss = random.standard_normal(len(time))
    phase = time % 0.5
    wave = 0.1 * voiced * (phase < 0.2) + 0.05 * hiss * ((phase > 0.2) & (phase < 0.3)) + 1e-5 * hiss
    return wave.astype(np.float32)[None]


def above(wave: Array, rate: int, hertz: float = 8200) -> Array:
    """Only what lies above a frequency, [C, T]."""
    spectrum = np.fft.rfft(wave)
    spectrum[..., np.fft.rfftfreq(wave.shape[-1], 1 / rate) < hertz] = 0
    return np.fft.irfft(spectrum, wave.shape[-1]).astype(np.float32)


def decibels(wave: Array) -> float:
    return float(10 * np.log10(np.square(wave, dtype=np.float64).mean() + 1e-20))


def in_chunks(model: Enhancer, wave: Array, rate: int, most: int = 3000, band: str = "full") -> Array:
    stream, random = model.stream(rate, len(wave), band=band), np.random.default_rng(5)
    parts, start = [], 0
    while start < wave.shape[1]:
        size = int(random.integers(0, most))
        parts.append(stream.push(wave[:, start : start + size]))
        start += size
    return np.concatenate([*parts, stream.flush()], axis=1)


class Opposite(CausalGain):
    """Lets loud stretches of 10 ms through and nothing else, so that its share follows the sound."""

    def clean(self, wave):  # type: ignore[no-untyped-def]
        return wave * (wave.abs() > 0.02)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("length", [1, 77, 20_011])
def test_both_bands_at_gain_one_give_the_input_back(rate: int, length: int) -> None:
    wave = white(length, 2)
    assert_allclose(enhance(CausalGain(1.0), wave, rate), wave, atol=1e-4)
    split = FullBand(rate, 16000, 2)
    low = split.split(wave, last=True)
    assert low.shape[1] == split.low_length(length)


@pytest.mark.parametrize("rate", RATES)
def test_any_chunking_gives_what_the_whole_gives(rate: int) -> None:
    wave = white(rate // 2, 2) + talk(rate, 0.5)[:, : rate // 2]
    for model in (tiny(causal=True), Opposite()):
        assert_allclose(in_chunks(model, wave, rate), enhance(model, wave, rate), atol=1e-5)


@pytest.mark.parametrize("size", [1, 7])
def test_tiny_chunks_give_the_same_too(size: int) -> None:
    wave, stream = white(2000), Opposite().stream(48000)
    parts = [stream.push(wave[0, start : start + size]) for start in range(0, 2000, size)]
    assert_allclose(np.concatenate([*parts, stream.flush()]), enhance(Opposite(), wave[0], 48000), atol=1e-5)


def test_a_network_that_looks_ahead_has_a_full_band_too() -> None:
    wave = white(30_000)
    assert_allclose(enhance(Gain(1.0), wave, 48000), wave, atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 11025, 16000])
def test_rates_without_an_upper_band_are_as_they_were(rate: int) -> None:
    wave, model = white(5000), tiny(causal=True)
    assert_array_equal(enhance(model, wave, rate), enhance(model, wave, rate, band="speech"))
    assert_array_equal(in_chunks(model, wave, rate), in_chunks(model, wave, rate, band="speech"))


def test_the_speech_band_is_what_plain_resampling_gives() -> None:
    wave = white(48_000)
    there = audio.resample(np.pad(wave, ((0, 0), (0, 5))), 48000, 16000)[:, :16000]
    back = audio.resample(there, 16000, 48000)
    assert_allclose(enhance(CausalGain(1.0), wave, 48000, band="speech")[:, :47_000], back[:, :47_000], atol=1e-6)
    assert decibels(above(back, 48000, 8500)) < -60


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_an_impulse_comes_out_in_place_and_within_the_latency(rate: int) -> None:
    model = with_mask_of_one(FRCRN(two_levels(640, 320, causal=True)))
    stream, place = model.stream(rate), rate // 5
    wave = np.zeros(rate // 2, np.float32)
    wave[place] = 1
    out, came, delay = [], 0, 0
    for start in range(0, len(wave), 8):
        chunk = stream.push(wave[start : start + 8])
        out.append(chunk)
        came += len(chunk)
        if not delay and came > place:
            delay = start + 8 - place
    whole = np.concatenate([*out, stream.flush()])
    assert int(np.abs(whole).argmax()) == place
    assert delay <= stream.latency + 8
    assert 0.0395 < stream.latency / rate < (0.0401 if rate == 16000 else 0.0511)


def test_noise_alone_falls_with_the_low_band_and_speech_stays() -> None:
    noise = white(3 * 48000)
    quiet = enhance(CausalGain(0.03), noise, 48000)[:, 48000:]
    fall = decibels(above(noise, 48000)) - decibels(above(quiet, 48000))
    assert 30.4 - 6 < fall < 30.4 + 18  # noise alone is meant to fall 12 dB further up there
    speech = talk(48000)
    kept = enhance(CausalGain(1.0), speech, 48000)
    assert abs(decibels(above(kept, 48000)) - decibels(above(speech, 48000))) < 1


def test_steady_noise_stays_steady() -> None:
    quiet = above(enhance(CausalGain(0.1), white(4 * 48000), 48000), 48000)[0, 48000:-480]
    frames = quiet[: len(quiet) // 2400 * 2400].reshape(-1, 2400)
    assert np.std([decibels(frame) for frame in frames]) < 1


def test_a_click_is_weighed_in_the_frame_it_is_in() -> None:
    """The low band lets only loud sound through; the high band follows it to a few milliseconds."""
    wave = np.zeros((1, 48000), np.float32)
    wave[:, 24000:24480] = white(480)[:, :480]

    class Mute(CausalGain):
        def clean(self, wave):  # type: ignore[no-untyped-def]
            return wave * (wave.abs() < 1e-4)

    kept = above(enhance(Mute(), wave, 48000), 48000, 8500)
    assert decibels(kept) < decibels(above(wave, 48000, 8500)) - 10


def test_strength_and_limit_apply_to_the_high_band() -> None:
    wave = white(48000)
    high = above(enhance(CausalGain(0.0), wave, 48000, max_attenuation_db=12), 48000)
    assert decibels(high) == pytest.approx(decibels(above(wave, 48000)) - 12, abs=0.5)
    assert_allclose(enhance(CausalGain(0.5), wave, 48000, strength=0), wave, atol=1e-6)


def test_filters_keep_tones_and_stop_what_is_above() -> None:
    for rate in RATES[1:]:
        time = np.arange(rate // 4) / rate
        tone = np.sin(2 * np.pi * 3000 * time).astype(np.float32)[None]
        low = ShortResampler(rate, 16000, 1).push(tone, last=True)
        there = np.sin(2 * np.pi * 3000 * np.arange(low.shape[1]) / 16000)
        assert_allclose(low[0, 200:-200], there[200:-200], atol=1e-5 if bank(ratio(rate, 16000)) else 1e-3)
        hiss = np.sin(2 * np.pi * min(8200, rate / 2 - 100) * time).astype(np.float32)[None]
        assert np.abs(ShortResampler(rate, 16000, 1).push(hiss, last=True)[0, 200:-200]).max() < 2e-4


def test_band_is_an_option_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wave = talk(48000, 1.0)
    audio.write(tmp_path / "x.wav", wave, 48000)
    enhance_file(tmp_path / "x.wav", tmp_path / "full.wav", model=CausalGain(1.0))
    enhance_file(tmp_path / "x.wav", tmp_path / "speech.wav", model=CausalGain(1.0), band="speech")
    full, speech = (audio.read(tmp_path / f"{name}.wav").samples for name in ("full", "speech"))
    assert decibels(above(full, 48000, 8500)) > decibels(above(speech, 48000, 8500)) + 30
    assert main(["enhance", str(tmp_path / "x.wav"), "-o", str(tmp_path / "y.wav"), "--band", "speech"]) == 0
    made = audio.read(tmp_path / "y.wav").samples
    assert decibels(above(made, 48000, 8500)) < -80
    with pytest.raises(ValueError, match="band 'wide': choose full or speech"):
        enhance(CausalGain(), wave, 48000, band="wide")
