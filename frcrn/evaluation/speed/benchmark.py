"""How fast networks are, measured in turn in one run, on one thread and on two, with each runtime that is installed.

A network that can stream is given one hop after the other, as a live stream would give them; one that looks ahead is
given a whole clip. Before each turn a few hops go uncounted, as the runs disturb each other's caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np
import torch

from frcrn.audio import Samples, resample
from frcrn.audio.sample import sample
from frcrn.evaluation.speed.candidates import Facts, Subject, machine, subjects_of
from frcrn.machine import load_average, peak_apart

TURNS = 10
SETTLE = 5  # hops at the beginning of a turn that do not count
CLIPS = 3  # turns of what takes whole clips

MOST_SECONDS = 3600.0
"""More tells nothing more, and 1e300 has no end."""
MOST_THREADS = 1024
"""Each takes memory, and a hundred thousand all there is."""

Progress = Callable[[float], object]


@dataclass(frozen=True)
class Speed:
    """What was measured: times in seconds, memory in MiB."""

    label: str
    runtime: str
    threads: int
    real_time_factor: float
    core_time_factor: float
    """As the real-time factor, but by the time that the process was on a core."""
    frames: int
    median: float | None
    p99: float | None
    worst: float | None
    under_half: float | None
    """The share of the frames that took less than half a frame's time."""
    peak_memory: float | None = None
    own_memory: float | None = None
    """How much of the peak came after the libraries were loaded."""


@dataclass(frozen=True)
class Measurements:
    """All of one run of the benchmark."""

    machine: dict[str, Any]
    models: list[Facts]
    speeds: list[Speed]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def benchmark(
    places: Sequence[str],
    *,
    runtimes: Sequence[str] | None = None,
    threads: Sequence[int] = (1, 2),
    seconds: float = 10.0,
    memory: bool = True,
    progress: Progress = lambda done: None,
) -> Measurements:
    """Measure how fast models run, all in turn in one run.

    Args:
        places: what `load` takes, the JSON file of an ONNX model of others, or an exported folder;
            "NAME=PLACE" gives one a name.
        runtimes: those to measure, "native:bf16" is one in that precision; None is all that are installed, in fp32.
        threads: the numbers of threads to measure with.
        seconds: how much audio each gets.
        memory: measure the peak of memory too, in a process of its own.
        progress: called with the part that is done, 0 to 1.

    Example:
        >>> benchmark(["default"], runtimes=["native"], threads=[1]).speeds[0].real_time_factor
    """
    if not 0.1 <= seconds <= MOST_SECONDS:
        raise ValueError(f"{seconds:g} seconds: accepted are 0.1 to {MOST_SECONDS:g}")
    if not threads or not 1 <= min(threads) <= max(threads) <= MOST_THREADS:
        raise ValueError(f"threads {list(threads)}: accepted are whole numbers from 1 to {MOST_THREADS}")
    before, threads_before = load_average(), torch.get_num_threads()
    subjects = [each for place in places for each in subjects_of(place, runtimes, threads)]
    refuse_same_names(subjects)
    try:
        measure(subjects, seconds, progress)
    finally:
        torch.set_num_threads(threads_before)
    speeds = [speed(subject, seconds) for subject in subjects]
    if memory:
        kinds = {(subject.place, subject.runtime) for subject in subjects}
        peaks = {kind: peak_apart(rehearse, *kind) for kind in sorted(kinds)}
        pairs = zip(speeds, subjects, strict=True)
        speeds = [with_memory(each, *peaks[subject.place, subject.runtime]) for each, subject in pairs]
    models = {subject.facts.label: subject.facts for subject in subjects}
    return Measurements(machine(seconds, before), list(models.values()), speeds)


def refuse_same_names(subjects: Sequence[Subject]) -> None:
    """Refuse two places that would be shown under one name."""
    places: dict[str, str] = {}
    for subject in subjects:
        if places.setdefault(subject.facts.label, subject.place) != subject.place:
            raise ValueError(f"{subject.place}: two models go by this name; give one another, as in NAME=PLACE")


@torch.inference_mode()
def measure(subjects: Sequence[Subject], seconds: float, progress: Progress) -> None:
    """Let all take turns, each with its share of the audio at a time."""
    sources = [inputs(subject, seconds) for subject in subjects]
    for turn in range(TURNS):
        for number, (subject, source) in enumerate(zip(subjects, sources, strict=True)):
            torch.set_num_threads(subject.threads)
            if subject.live:
                take_turn(subject, source, SETTLE, frames_of(subject, seconds) // TURNS)
            elif turn < CLIPS:
                take_turn(subject, source, 1 if turn == 0 else 0, 1)
            progress((turn + (number + 1) / len(subjects)) / TURNS)


def take_turn(subject: Subject, source: Iterator[Samples], settle: int, count: int) -> None:
    """Run so often uncounted, then so often by the clocks."""
    for _ in range(settle):
        subject.run(next(source))
    for _ in range(count):
        piece = next(source)
        began, busy = time.perf_counter(), time.process_time()
        subject.run(piece)
        subject.clock.append(time.perf_counter() - began)
        subject.core.append(time.process_time() - busy)


def frames_of(subject: Subject, seconds: float) -> int:
    """Return how many hops are measured, a whole number for each turn."""
    return max(1, round(seconds * subject.facts.sample_rate / subject.facts.hop / TURNS)) * TURNS


def inputs(subject: Subject, seconds: float) -> Iterator[Samples]:
    """Yield noisy speech for ever: hop by hop, or a clip as long as is measured."""
    noisy = sample()
    wave = resample(noisy.samples[0], noisy.rate, subject.facts.sample_rate)
    size = subject.facts.hop if subject.live else round(seconds * subject.facts.sample_rate)
    wave = np.tile(wave, -(-size // len(wave)))
    return cycle(np.ascontiguousarray(wave[: len(wave) // size * size].reshape(-1, size)))


def speed(subject: Subject, seconds: float) -> Speed:
    """Sum up what was measured."""
    clock = np.array(subject.clock)
    length = subject.facts.hop / subject.facts.sample_rate if subject.live else seconds
    audio = len(clock) * length
    frames: tuple[float | None, ...] = (None,) * 4
    if subject.live:
        under_half = float(np.mean(clock < length / 2))
        frames = (float(np.median(clock)), float(np.percentile(clock, 99)), float(clock.max()), under_half)
    factors = float(clock.sum()) / audio, sum(subject.core) / audio
    return Speed(subject.facts.label, subject.runtime, subject.threads, *factors, len(clock), *frames)


def rehearse(place: str, runtime: str) -> None:
    """Run a model for two seconds, for what that needs of memory."""
    torch.set_num_threads(1)
    (subject,) = subjects_of(place, [runtime], [1])
    with torch.inference_mode():
        take_turn(subject, inputs(subject, 2.0), 0, frames_of(subject, 2.0) if subject.live else 1)


def with_memory(speed: Speed, peak: float | None, own: float | None) -> Speed:
    """Enter what a model needed of memory."""
    return replace(speed, peak_memory=peak, own_memory=own)
