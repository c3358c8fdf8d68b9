"""The full band in C is the one in numpy; the denoiser in C, in blocks of any size, is the library's stream."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import frcrn
from frcrn import FRCRN
from frcrn.audio import resample
from frcrn.audio.sample import sample
from frcrn.export.native import library
from frcrn.export.native.band import NativeBand
from frcrn.export.native.library import NativeModel
from frcrn.export.native.network import write_program
from frcrn.export.native.program import Program
from frcrn.export.native.row_operations import Cut, Join, Later
from frcrn.export.native.structs import Buffer
from frcrn.export.runtime import with_runtime
from frcrn.inference import fullband, streaming
from frcrn.inference.fullband import FullBand
from frcrn.models import Enhancer
from tests.networks import lively, tiny, two_levels, with_mask_of_one

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")

Array = NDArray[np.float32]
BAND_RATES = [16050, 22050, 24000, 44100, 44101, 48000, 96000, 192000]
RATES = [16000, 24000, 44100, 48000]


def lively_sound(rate: int, seconds: float, seed: int = 0) -> Array:
    """[T]: bursts of noise of changing loudness between pauses."""
    random, time = np.random.default_rng(seed), np.arange(round(rate * seconds)) / rate
    loud = (1 + np.sin(5 * time)) * (time % 0.5 < 0.3) + 1e-3
    return (0.1 * loud * random.standard_normal(len(time))).astype(np.float32)


class Denoiser:
    """One channel through the denoiser in C."""

    def __init__(self, model: NativeModel, rate: int) -> None:
        self.library, self.model = library.library(), model
        why = ctypes.c_char_p()
        self.address = self.library.frcrn_denoiser_open(model.address, rate, ctypes.byref(why))
        if not self.address:
            raise ValueError((why.value or b"").decode())
        self.latency: int = self.library.frcrn_denoiser_latency(self.address)
        self.scratch = np.full(self.library.frcrn_denoiser_scratch_size(self.address) // 4, np.nan, np.float32)
        self.reset()

    def reset(self) -> None:
        self.state = np.zeros(self.library.frcrn_denoiser_state_size(self.address), np.uint8)

    def push(self, samples: Array, strength: float = 1.0, limit: float = np.inf) -> Array:
        out = samples.copy()
        places = (self.state.ctypes.data, self.scratch.ctypes.data, out.ctypes.data, out.ctypes.data)
        self.library.frcrn_denoise(self.address, *places, len(out), strength, limit)
        return out

    def whole(self, wave: Array, size: int, strength: float = 1.0, limit: float = np.inf) -> Array:
        """[T] -> [T], in blocks, in time with what goes in."""
        padded = np.pad(wave, (0, self.latency))
        blocks = [self.push(padded[at : at + size], strength, limit) for at in range(0, len(padded), size)]
        return np.concatenate(blocks)[self.latency :]


@cache
def network() -> Enhancer:
    return lively(tiny(causal=True), 1, 8000)


@cache
def program() -> NativeModel:
    return NativeModel(write_program(network()))


def passing(rate: int, hop: int, late: int) -> bytes:
    """A program that changes nothing, and answers so many hops later than it must."""
    program, window = Program(), 2 * hop
    taper = np.sin(np.pi * (np.arange(window) + 0.5) / window).astype(np.float32)
    weight, gain = program.weight(taper), program.weight(np.ones(hop, np.float32))
    frame = Buffer(window)
    program.emit(Cut(past=program.state(hop), taper=weight, out=frame))
    if late:
        program.emit(
            Later(x=frame, count=window, frames=late, past=program.state(late * window), out=(frame := Buffer(window)))
        )
    program.emit(Join(x=frame, taper=weight, gain=gain, past=program.state(hop), work=Buffer(window)))
    return program.content(rate, window, hop, late)


def through(band: FullBand | NativeBand, wave: Array, sizes: list[int], late: int) -> Array:
    """[C, T] through a band whose network answers late, and lets through now more and now less."""
    channels, low, parts, done = len(wave), np.zeros((len(wave), 0), np.float32), [], 0

    def answer(until: int) -> Array:
        gain = 0.5 + 0.5 * np.sin(np.arange(done, until) / 700)
        return (low[:, done:until] * gain).astype(np.float32)

    for piece in np.split(wave, np.cumsum(sizes), axis=1):
        low = np.concatenate([low, band.split(piece)], axis=1)
        until = max(done, low.shape[1] - late)
        parts.append(band.join(answer(until)))
        done = until
    low = np.concatenate([low, band.split(np.zeros((channels, 0), np.float32), last=True)], axis=1)
    parts.append(band.join(answer(low.shape[1]), last=True))
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("rate", BAND_RATES)
def test_the_band_in_c_is_the_one_in_numpy(rate: int, channels: int = 2) -> None:
    wave = np.stack([lively_sound(rate, 1.0, seed) for seed in range(channels)])
    sizes = np.random.default_rng(1).integers(0, rate // 16, 12).tolist()
    bands = (kind(rate, 16000, channels) for kind in (FullBand, NativeBand))
    truth, found = (through(band, wave, sizes, late) for band, late in zip(bands, (320, 320), strict=True))
    assert_allclose(found, truth, atol=1e-5)


@pytest.mark.parametrize("late", [0, 79, 4000])
@pytest.mark.parametrize("sizes", [[1] * 300, [40000], []])
def test_any_delay_and_any_pieces(late: int, sizes: list[int]) -> None:
    wave = lively_sound(48000, 1.0)[None]
    truth, found = (through(kind(48000, 16000, 1), wave, sizes, late) for kind in (FullBand, NativeBand))
    assert_allclose(found, truth, atol=1e-5)


@pytest.mark.parametrize("length", [0, 1, 2, 77, 481])
def test_the_shortest_sounds(length: int) -> None:
    wave = lively_sound(48000, 0.1)[None, :length]
    truth, found = (through(kind(48000, 16000, 1), wave, [], 320) for kind in (FullBand, NativeBand))
    assert_allclose(found, truth, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("size", [64, 4096])
def test_the_denoiser_is_the_stream(rate: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "is_there", lambda: False)  # the stream's bands are those in numpy
    wave, stream = lively_sound(rate, 0.8), network().stream(rate)
    assert not isinstance(stream._route, NativeBand)
    truth = stream.push(np.pad(wave, (0, rate // 10)))[: len(wave)]  # a denoiser knows of no end
    assert_allclose(Denoiser(program(), rate).whole(wave, size), truth, atol=1e-4)


def test_null_is_refused_with_a_reason_and_closed_in_peace() -> None:
    compiled, why = library.library(), ctypes.c_char_p()
    for opened in (
        lambda: compiled.frcrn_denoiser_open(None, 48000, ctypes.byref(why)),
        lambda: compiled.frcrn_from(None, 1000, ctypes.byref(why)),
    ):
        why.value = None
        assert opened() is None and b"NULL" in (why.value or b"")
        assert compiled.frcrn_denoiser_open(None, 48000, None) is None
    compiled.frcrn_denoiser_close(None)
    compiled.frcrn_close(None)
    assert compiled.frcrn_use_bfloat16(None) == 0


@pytest.mark.parametrize("rate", [16000, 48000])
def test_blocks_of_any_size_give_the_same_bits(rate: int) -> None:
    wave, denoiser = lively_sound(rate, 0.5), Denoiser(program(), rate)
    truth = denoiser.whole(wave, len(wave))
    for size in (1, 7, 128, 480, 959, 961):
        denoiser.reset()
        assert_array_equal(denoiser.whole(wave, size), truth)


@pytest.mark.parametrize("rate", RATES)
def test_an_impulse_shows_the_latency(rate: int) -> None:
    model = with_mask_of_one(FRCRN(two_levels(640, 320, causal=True)))
    denoiser, wave = Denoiser(NativeModel(write_program(model)), rate), np.zeros(rate // 2, np.float32)
    wave[rate // 5] = 1
    out = denoiser.push(wave)
    assert int(np.abs(out).argmax()) == rate // 5 + denoiser.latency
    assert 0.0395 < denoiser.latency / rate < (0.0401 if rate == 16000 else 0.0511)


def test_no_less_latency_would_do() -> None:
    """At the worst moment, the sample that goes out has just been made."""
    denoiser = Denoiser(program(), 48000)
    at_once = network().stream(48000)
    assert denoiser.latency <= at_once.latency


SHAPES = {
    "looks a second ahead": (16000, 320, 50, 48000),
    "looks a second ahead at its own rate": (16000, 320, 60, 16000),
    "looks two seconds ahead": (8000, 80, 200, 44100),
    "short hops": (16000, 8, 0, 48000),
    "the shortest hops": (8000, 1, 3, 44100),
    "nothing to wait for": (16000, 1, 0, 16000),
    "a pattern that comes back late": (7993, 100, 2, 44101),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_the_shape_of_its_hops_it_is_as_late_as_it_says(shape: str) -> None:
    low, hop, late, rate = SHAPES[shape]
    denoiser = Denoiser(NativeModel(passing(low, hop, late)), rate)
    wave = lively_sound(rate, 0.2 + 2 * denoiser.latency / rate)
    truth = denoiser.whole(wave, len(wave))
    assert_allclose(truth[rate // 10 :], wave[rate // 10 :], atol=1e-4)
    for size in (1 + rate // 7000, 1 + rate // 90):
        denoiser.reset()
        assert_array_equal(denoiser.whole(wave, size), truth)


def test_the_slowest_hops_are_opened_at_once() -> None:
    denoiser = Denoiser(NativeModel(passing(7993, 32768, 0)), 383664)
    assert denoiser.latency / 383664 == pytest.approx(2 * 32768 / 7993, rel=0.01)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_strength_and_limit_are_shares_of_the_sound_as_it_was(rate: int) -> None:
    wave = lively_sound(rate, 0.4)
    clean = Denoiser(program(), rate).whole(wave, 100)
    for strength, limit, keep in (
        (0.0, np.inf, 1.0),
        (0.7, np.inf, 0.3),
        (1.0, 12.0, 10 ** (-12 / 20)),
        (1.0, 0.0, 1.0),
    ):
        found = Denoiser(program(), rate).whole(wave, 100, strength, limit)
        assert_allclose(found, keep * wave + (1 - keep) * clean, atol=1e-6)


def test_a_change_of_strength_fades() -> None:
    denoiser, wave = Denoiser(program(), 48000), np.full(48000, 0.5, np.float32)
    denoiser.push(wave)
    steps = np.abs(np.diff(np.concatenate([denoiser.push(wave[:100]), denoiser.push(wave[:4000], strength=0.0)])))
    assert steps.max() < 2 / (48000 / 50)
    assert_allclose(denoiser.push(wave[:10], strength=0.0), 0.5, atol=1e-6)


def test_what_is_no_number_does_no_harm() -> None:
    denoiser, wave = Denoiser(program(), 48000), lively_sound(48000, 0.5)
    wave[5000:5010] = [np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-40, -1e-40, np.nan, 0, 1]
    assert np.isfinite(denoiser.whole(wave, 333)).all()
    for silence in (0.0, 1e-30):
        out = denoiser.push(np.full(96000, silence, np.float32))
    assert not out[48000:].any()


def test_rates_that_cannot_be_are_refused() -> None:
    for rate in (0, -1, 8000, 15999, 384001):
        with pytest.raises(ValueError, match="the rate must be"):
            Denoiser(program(), rate)


@pytest.mark.parametrize(("low", "rate"), [(7, 340), (1, 49), (1000, 48001)])
def test_a_model_of_a_far_lower_rate_is_refused(low: int, rate: int) -> None:
    content = write_program(network())
    model = NativeModel(content[:8] + struct.pack("<i", low) + content[12:])
    with pytest.raises(ValueError, match="the rate must not be above 48 times the model's own"):
        Denoiser(model, rate)
    assert Denoiser(model, 48 * low).latency


def test_a_model_that_looks_far_ahead_is_refused() -> None:
    content = write_program(FRCRN(two_levels(640, 320, causal=True, stages=1, ahead=2)))
    late = struct.unpack_from("<i", content, 40)[0]
    assert Denoiser(NativeModel(content), 16000).latency == 320 * (1 + late) + 319
    far = NativeModel(content[:40] + struct.pack("<i", 2**28 // 320) + content[44:])
    for rate in (16000, 48000, 256000):
        with pytest.raises(ValueError, match="later than a live stream can be"):
            Denoiser(far, rate)


def test_streams_and_files_run_their_bands_in_c_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    library.library()
    assert isinstance(network().stream(48000)._route, NativeBand)
    wave = lively_sound(48000, 0.5)
    in_c = network().enhance(wave, 48000)
    monkeypatch.setattr(library, "is_there", lambda: False)
    assert isinstance(network().stream(48000)._route, FullBand)
    assert_allclose(network().enhance(wave, 48000), in_c, atol=1e-5)


def test_where_it_does_not_load_numpy_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> NativeBand:
        raise OSError("not here")

    monkeypatch.setattr(fullband, "NativeBand", refuse)
    assert isinstance(streaming.route(48000, 16000, 1, "full"), FullBand)


@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES)
def test_the_bundled_model_too(rate: int) -> None:
    wave = resample(sample().samples[:1], 16000, rate)[0]
    stream = with_runtime(frcrn.load(), "native").stream(rate)
    truth = stream.push(np.pad(wave, (0, rate // 10)))[: len(wave)]
    assert_allclose(Denoiser(NativeModel(write_program(frcrn.load())), rate).whole(wave, 64), truth, atol=1e-4)


WATCH = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all"]
OTHERS = {
    "watched": (["-march=native", *WATCH], None, []),
    "SSE2": (["-O2"], None, []),
    "AArch64": (["-O2", "-static"], "aarch64-linux-gnu-gcc", ["qemu-aarch64"]),
    "ARMv7": (
        ["-O2", "-static", "-mfpu=neon", "-funsafe-math-optimizations"],
        "arm-linux-gnueabihf-gcc",
        ["qemu-arm"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_every_processor_gives_the_same_and_touches_only_its_own_memory(kind: str, tmp_path: Path) -> None:
    options, compiler, runner = OTHERS[kind]
    if any(shutil.which(name) is None for name in (compiler or "true", *runner)):
        pytest.skip(f"not installed: {compiler}, {' '.join(runner)}")
    for name in library.SOURCES:
        (tmp_path / name).write_bytes(library.source(name))
    shutil.copy(Path(__file__).with_name("denoiser_run.c"), tmp_path)
    sources = ["denoiser_run.c", "frcrn.c", "band.c", "denoiser.c"]
    subprocess.run(
        [compiler or str(library.compiler()), *options, *sources, "-o", "run", "-lm"], cwd=tmp_path, check=True
    )
    models = [(write_program(network()), rate) for rate in (16000, 44100, 48000, 50001)]
    shapes = ((passing(low, hop, late), rate) for low, hop, late, rate in SHAPES.values())
    for content, rate in [*models, *shapes]:
        wave = lively_sound(rate, 0.5)
        (tmp_path / "model").write_bytes(content)
        command = [*runner, "./run", "model", str(rate)]
        done = subprocess.run(command, cwd=tmp_path, input=wave.tobytes(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        truth = Denoiser(NativeModel(content), rate).push(wave)
        assert_allclose(np.frombuffer(done.stdout, np.float32), truth, atol=1e-5)
