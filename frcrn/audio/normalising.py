"""Bring a recording to a loudness in LUFS, measured as ITU-R BS.1770 says by ffmpeg's `ebur128`, through PyAV."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import IO

import numpy as np

from frcrn.audio.formats import MissingPackage, installing
from frcrn.audio.loudness import CEILING, bounded
from frcrn.audio.reading import BLOCK, Samples
from frcrn.audio.resampling import resampled

SILENCE_LUFS = -69.0
"""What `ebur128` says of a recording in which nothing is above its gate; it is left as it is."""

METER_RATE = 48000
"""Of the filters that BS.1770 gives; left to itself, `ebur128` loses the end of what it resamples."""

WINDOW = round(0.4 * METER_RATE)
"""Samples of a block whose loudness counts."""


def normalised(blocks: Iterable[Samples], lufs: float, rate: int, channels: int) -> Iterator[Samples]:
    """Blocks [C, n] -> the same at that loudness; peaks that would be clipped are turned down smoothly."""
    with tempfile.TemporaryFile() as kept:
        found = integrated(_keeping(blocks, kept), rate, channels)
        gain = 1.0 if found <= SILENCE_LUFS else 10 ** ((lufs - found) / 20)
        kept.seek(0)
        yield from bounded(_pairs(kept, gain, channels), np.full(channels, CEILING))


def integrated(blocks: Iterable[Samples], rate: int, channels: int) -> float:
    """Return the integrated loudness of blocks [C, n] in LUFS, -70 for silence."""
    try:
        import av
        from av.filter import Graph
    except ImportError as error:
        raise MissingPackage(f"normalise measures loudness with PyAV: {installing('media')}") from error
    usual = {1: "mono", 2: "stereo", 3: "3.0"}  # what is not named has the places that are usual for so many channels
    layout = usual.get(channels, f"{channels}c" if channels <= 8 else f"{channels} channels")
    graph = Graph()
    time_base = Fraction(1, METER_RATE)
    source = graph.add_abuffer(sample_rate=METER_RATE, format="flt", layout=layout, time_base=time_base)
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    found, at = -70.0, 0
    sound = resampled(blocks, rate, METER_RATE, channels=channels)
    for block in itertools.chain(_at_least_a_window(sound), [None]):
        frame = None
        if block is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T).reshape(1, -1), "flt", layout)
            frame.sample_rate, frame.time_base, frame.pts = METER_RATE, time_base, at
            at += block.shape[1]
        graph.push(frame)
        while True:
            try:
                found = float(graph.pull().metadata.get("lavfi.r128.I", found))
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    return found


def _at_least_a_window(blocks: Iterable[Samples]) -> Iterator[Samples]:
    """Repeat a sound that is shorter than 400 ms, of which BS.1770 says nothing, as if it went on."""
    rest = (block for block in blocks if block.shape[1])
    if (first := next(rest, None)) is None:
        return
    while first.shape[1] < WINDOW and (more := next(rest, None)) is not None:
        first = np.concatenate([first, more], axis=1)
    yield np.tile(first, math.ceil(WINDOW / first.shape[1]))
    yield from rest


def _keeping(blocks: Iterable[Samples], kept: IO[bytes]) -> Iterator[Samples]:
    for block in blocks:
        kept.write(np.ascontiguousarray(block.T, np.float32).tobytes())
        yield block


def _pairs(kept: IO[bytes], gain: float, channels: int) -> Iterator[tuple[Samples, Samples]]:
    while data := kept.read(4 * channels * BLOCK):
        wave = (np.frombuffer(data, np.float32).reshape(-1, channels).T * gain).astype(np.float32)
        yield wave, np.zeros_like(wave)
