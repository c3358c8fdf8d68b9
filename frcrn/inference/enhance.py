"""Take the noise out of arrays and of files of any length, rate, format and number of channels."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from frcrn import audio
from frcrn.audio import BLOCK, AudioError, Reader, Samples, Source, loudness
from frcrn.audio.arrays import Wave, beyond, say_clipped
from frcrn.audio.fifo import Fifo, Queue
from frcrn.audio.normalising import normalised
from frcrn.config import FOR_RECORDINGS
from frcrn.files import path_text
from frcrn.inference import blockwise
from frcrn.inference.choices import Mix, checked_mix, passes_of
from frcrn.inference.fullband import checked_band, full_band
from frcrn.inference.network import Network, evaluating, is_network
from frcrn.inference.opening import open_network

Progress = Callable[[float], None]
MOST_CHANNELS = 128
_LARGEST = float(np.finfo(np.float32).max)


class Recording(NamedTuple):
    """Something that can be read more than once: `blocks()` yields [C, n] from its first sample on."""

    blocks: Callable[[], Iterator[Samples]]
    rate: int
    channels: int
    name: str


class Measure(NamedTuple):
    """A recording's samples per channel, the channels' peaks [C], and the gains [C] that suit the network."""

    length: int
    peak: NDArray[np.float64]
    gain: NDArray[np.float64]


def enhance(
    model: Network,
    wave: Wave,
    rate: int | None = None,
    *,
    strength: float = 1.0,
    max_attenuation_db: float | None = None,
    residual: bool = False,
    repair: bool = False,
    band: str = "full",
    passes: int | None = 1,
) -> Wave:
    """Return the clean form of a wave [T] or [C, T]; `Enhancer.enhance` describes the arguments."""
    mix, passes = checked_mix(strength, max_attenuation_db, residual), passes_of(model, passes)
    rate = audio.checked_rate(model.sample_rate if rate is None else rate)
    floats = audio.as_floats(wave)
    samples = np.atleast_2d(floats)
    if samples.ndim > 2 or len(samples) > max(MOST_CHANNELS, samples.shape[1]):
        turned = "; of soundfile's [time, channels], give wave.T" if samples.ndim == 2 else ""
        raise AudioError(f"wave of shape {tuple(wave.shape)}: expected [time] or [channels, time]{turned}")
    if not samples.size:
        raise AudioError(f"wave of shape {tuple(wave.shape)}: it holds no samples; at least one is needed")
    samples = audio.finite(samples, "wave", rate, repair=repair)

    def blocks() -> Iterator[Samples]:
        return (samples[:, start : start + BLOCK] for start in range(0, samples.shape[1], BLOCK))

    recording = Recording(blocks, rate, len(samples), f"wave of shape {tuple(wave.shape)}")
    with evaluating(model):
        clean = np.concatenate(list(enhanced(model, recording, measured(model, recording), mix, band, passes)), axis=1)
    if "int" in str(wave.dtype):
        say_clipped(recording.name, beyond(clean))
    return audio.like(wave, clean.reshape(floats.shape))


def enhance_file(
    source: Source,
    target: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | Network = FOR_RECORDINGS,
    runtime: str = "auto",
    strength: float = 1.0,
    max_attenuation_db: float | None = None,
    residual: bool = False,
    mono: bool = False,
    repair: bool = False,
    band: str = "full",
    track: int | None = None,
    normalise: float | None = None,
    passes: int | None = None,
    precision: str = "fp32",
    progress: Progress | None = None,
) -> None:
    """Write the clean form of an audio file of any length: same length, rate, channels, level and format.

    Args:
        source: a path, the bytes of a file, or an open one.
        target: the file to write, which may be the source's; its extension chooses the format, and the source's own is
            kept exactly.
        model: a network, or what `load` takes; the bundled `offline` looks ahead, which `default` does not.
        runtime: what runs a network that is loaded here: "native" (in C), "onnx", "openvino" or "torch"; "auto" takes
            the first of native, onnx and torch that works here.
        strength: how much of the noise is removed, 0 to 1.
        max_attenuation_db: attenuate by at most this many dB; None is unlimited.
        residual: write what was removed in place of what is left.
        mono: mix the channels to one.
        repair: put zeros in place of NaN and Inf, and take of a damaged file what can be read.
        band: "full" keeps and cleans what lies above the network's band (8 kHz), "speech" leaves it out.
        track: which audio track of a video, from 1; None is the first.
        normalise: bring the result to this loudness in LUFS (ITU-R BS.1770; needs PyAV); None leaves it.
        passes: average over so many runs of the network, each with its frames elsewhere; None is what the model asks
            for (2 for the bundled ones). A stream gives what one pass gives.
        precision: what a network that is loaded here multiplies in: "fp32", or "bf16", which is faster with native and
            torch where the processor has AVX512-BF16, and less exact.
        progress: called with the part that is done, 0 to 1.

    Example:
        >>> frcrn.enhance_file("noisy.flac", "clean.flac", strength=0.9)
    """
    mix = checked_mix(strength, max_attenuation_db, residual)
    path_text(target, "the target")
    network: Any = model if is_network(model) else open_network(cast(Any, model), runtime, precision=precision)
    passes = passes_of(network, passes)
    with recording_of(source, mono=mono, repair=repair, track=track) as (recording, found, origin):
        form = form_for(found, recording.name, Path(target))
        measure = measured(network, recording)
        sound = (recording.rate, recording.channels, form)
        with evaluating(network), audio.writer(target, *sound, frames=measure.length, origin=origin) as append:
            done = 0
            clean = enhanced(network, recording, measure, mix, band, passes)
            if normalise is not None:
                clean = normalised(clean, normalise, recording.rate, recording.channels)
            for block in clean:
                append(block)
                done += block.shape[1]
                if progress:
                    progress(done / measure.length)


def enhanced(
    model: Network, recording: Recording, measure: Measure, mix: Mix, band: str = "full", passes: int = 1
) -> Iterator[Samples]:
    """Yield the clean form of a recording in blocks [C, n], aligned with it and as long."""
    for_network, for_mixing = itertools.tee(recording.blocks())
    whole = checked_band(band) == "full" and recording.rate > model.sample_rate
    route = through_both_bands if whole else through
    clean = Queue(route(model, recording, for_network, measure, passes), recording.channels)
    audible = (measure.peak > 0).astype(np.float32)[:, None]
    waiting = Fifo(recording.channels)

    def mixed() -> Iterator[tuple[Samples, Samples]]:
        for noisy in for_mixing:
            if mix.residual:
                waiting.append(noisy)
            yield mix.keep * noisy + (1 - mix.keep) * audible * clean.take(noisy.shape[1]), noisy

    for wave in loudness.bounded(mixed(), np.where(measure.peak <= 1, loudness.CEILING, np.inf)):
        if mix.residual:  # of what is written: it and the result are the input, also where that was turned down
            yield _as_samples(np.subtract(waiting.take(wave.shape[1]), wave, dtype=np.float64))
        else:
            yield wave


def through(
    model: Network, recording: Recording, noisy: Iterator[Samples], measure: Measure, passes: int
) -> Iterator[Samples]:
    """Noisy blocks [C, n] at the recording's rate -> clean ones, through the network at its own rate and level."""
    rate, channels, gain = recording.rate, recording.channels, measure.gain
    fed = _to_model_rate(model, recording, itertools.chain(_times(noisy, gain), [_silence(model, recording)]))
    length = max(1, math.ceil(measure.length * model.sample_rate / rate))
    clean = (_checked(block, recording) for block in blockwise.run(model, fed, length, channels, passes))
    return _times(audio.resampled(clean, model.sample_rate, rate, channels=channels), 1 / gain)


def through_both_bands(
    model: Network, recording: Recording, noisy: Iterator[Samples], measure: Measure, passes: int
) -> Iterator[Samples]:
    """Do as `through` does, and keep what lies above the network's band, weighed."""
    bands = full_band(recording.rate, model.sample_rate, recording.channels)

    def low() -> Iterator[Samples]:
        for block in _times(noisy, measure.gain):
            yield bands.split(block)
        yield bands.split(np.zeros((recording.channels, 0), np.float32), last=True)

    def clean() -> Iterator[Samples]:
        length = math.ceil(measure.length * model.sample_rate / recording.rate)
        for block in blockwise.run(model, low(), length, recording.channels, passes):
            yield bands.join(_checked(block, recording))
        yield bands.join(np.zeros((recording.channels, 0), np.float32), last=True)

    return _times(clean(), 1 / measure.gain)


def measured(model: Network, recording: Recording) -> Measure:
    """Read a recording through for its length, its peaks, and the gains that the network is to be fed with.

    A network without a level of its own is fed the recording as it is, but never beyond full scale. One with a level
    gets it as the released pipeline does it: that pipeline normalises all samples, then again by those whose power is
    above the mean; the second gain undoes the first, so the power of those samples is all that counts.
    """
    length, peak, _ = loudness.loudness(recording.blocks(), recording.channels)
    if not length:
        raise AudioError(f"{recording.name}: it holds no samples; at least one is needed")
    inside = 1 / np.maximum(peak, 1)
    if model.level_dbfs is None:
        return Measure(length, peak, inside)

    def fed() -> Iterator[Samples]:
        return _to_model_rate(model, recording, _times(recording.blocks(), inside))

    power = loudness.active_power(fed(), loudness.loudness(fed(), recording.channels).power)
    return Measure(length, peak, inside * loudness.gain_to(model.level_dbfs, power))


@contextmanager
def recording_of(
    source: Source, *, mono: bool, repair: bool, track: int | None
) -> Iterator[tuple[Recording, audio.AudioFormat, audio.Origin]]:
    """Open a file once, so that reading it again reads the same, and say in which format it is."""
    name = audio.name_of(source)
    stream, ours = audio.open_source(source, name)

    def blocks() -> Iterator[Samples]:
        with Reader(stream, repair=repair, name=name, track=track) as reader:
            for block in reader.blocks():
                yield block.mean(axis=0, keepdims=True) if mono else block

    try:
        with Reader(stream, repair=repair, name=name, track=track) as reader:
            rate = _believed(reader.rate, name)
            recording = Recording(blocks, rate, 1 if mono else reader.channels, name)
        yield recording, reader.format, audio.Origin(stream, name, track)
    finally:
        if ours:
            stream.close()


def _believed(rate: int, name: str) -> int:
    try:
        return audio.checked_rate(rate)
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from None


def form_for(found: audio.AudioFormat, name: str, target: Path) -> audio.AudioFormat:
    """Keep the source's format under the same extension, and for a device or a pipe, whose name says nothing."""
    same = Path(name).suffix.lower() == target.suffix.lower()
    keeps = same or (target.exists() and not target.is_file())
    return found if keeps and audio.writable(found) else audio.format_for(target, found)


def _to_model_rate(model: Network, recording: Recording, blocks: Iterator[Samples]) -> Iterator[Samples]:
    return audio.resampled(blocks, recording.rate, model.sample_rate, channels=recording.channels)


def _silence(model: Network, recording: Recording) -> Samples:
    return np.zeros((recording.channels, audio.silence_after(recording.rate, model.sample_rate)), np.float32)


def _times(blocks: Iterator[Samples], gain: NDArray[np.float64]) -> Iterator[Samples]:
    """Blocks [C, n] times a factor per channel [C], in double precision: both may be far from 1."""
    return (_as_samples(block * gain[:, None]) for block in blocks)


def _as_samples(wave: NDArray[np.float64]) -> Samples:
    """Return float32; what lies beyond the largest is the largest."""
    return np.clip(wave, -_LARGEST, _LARGEST).astype(np.float32)


def _checked(clean: Samples, recording: Recording) -> Samples:
    """Refuse to hand out what a damaged network made."""
    if not np.isfinite(clean).all():
        raise ValueError(f"{recording.name}: the network returned NaN or Inf; its weights may be damaged")
    return clean
