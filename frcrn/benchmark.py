"""How fast networks are, measured in turn in one run, on one thread and on two, with each runtime that is installed.

A network that can stream is given one hop after the other, as a live stream would give them; one that looks ahead is
given a whole clip. Before each turn a few hops go uncounted, as the runs disturb each other's caches.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata, util
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from frcrn.audio import Samples, resample
from frcrn.checkpoint import load
from frcrn.demo import sample
from frcrn.memory import peak_apart
from frcrn.models import Enhancer
from frcrn.operations import macs, of_graph
from frcrn.peers import Peer

PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
"""The runtimes and the packages that they come from."""
TURNS = 10
SETTLE = 5  # hops at the beginning of a turn that do not count
CLIPS = 3  # turns of what takes whole clips

Run = Callable[[Samples], object]
Progress = Callable[[float], object]


@dataclass(frozen=True)
class Facts:
    """What does not depend on the machine; per second of audio, latency in samples (None: it needs the whole wave)."""

    label: str
    parameters: int
    gmacs: float | None
    sample_rate: int
    hop: int
    latency: int | None


@dataclass
class Subject:
    """One model in one runtime on a number of threads, ready to run: [hop], or a whole clip where it looks ahead."""

    place: str
    facts: Facts
    runtime: str
    threads: int
    run: Run
    clock: list[float] = field(default_factory=list)
    core: list[float] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Whether it runs hop by hop."""
        return self.facts.latency is not None


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
class Result:
    """All of one run of the benchmark."""

    machine: dict[str, Any]
    models: list[Facts]
    speeds: list[Speed]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def installed() -> list[str]:
    """List the runtimes that are installed."""
    return [runtime for runtime, package in PACKAGES.items() if util.find_spec(package)]


def benchmark(
    places: Sequence[str],
    *,
    runtimes: Sequence[str] | None = None,
    threads: Sequence[int] = (1, 2),
    seconds: float = 10.0,
    memory: bool = True,
    progress: Progress = lambda done: None,
) -> Result:
    """Measure models (what `load` takes) and described ONNX peers (JSON files); NAME=PLACE gives one a name."""
    if not 0.1 <= seconds < float("inf"):
        raise ValueError(f"{seconds:g} seconds: at least 0.1 are needed")
    if not threads or min(threads) < 1:
        raise ValueError(f"threads {list(threads)}: expected at least 1")
    before, threads_before = load_average(), torch.get_num_threads()
    subjects = [each for place in places for each in subjects_of(place, runtimes or installed(), threads)]
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
    return Result(machine(seconds, before), list(models.values()), speeds)


def refuse_same_names(subjects: Sequence[Subject]) -> None:
    """Refuse two places that would be shown under one name."""
    places: dict[str, str] = {}
    for subject in subjects:
        if places.setdefault(subject.facts.label, subject.place) != subject.place:
            raise ValueError(f"{subject.place}: two models go by this name; give one another, as in NAME=PLACE")


def subjects_of(place: str, runtimes: Sequence[str], threads: Sequence[int]) -> list[Subject]:
    """Open a model in each runtime, or a peer in its own, on each number of threads."""
    label, sign, path = place.partition("=")
    if not sign or os.path.exists(place):
        label, path = "", place
    if Path(path).suffix == ".json" and Path(path).is_file():
        return [peer_subject(place, path, label, count) for count in threads]
    model = load(path)
    facts = facts_of(model, label or Path(path).stem)
    return [model_subject(place, facts, model, runtime, count) for runtime in runtimes for count in threads]


def facts_of(model: Enhancer, label: str) -> Facts:
    """Count a network's parameters as it was trained, and its operations as it is run."""
    per_second = operations(model.optimize())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    latency = None if model.lookahead else model.latency
    return Facts(label, parameters, per_second / 1e9, model.sample_rate, model.hop, latency)


def operations(model: Enhancer) -> float:
    """Count what a network multiplies and adds for a second of audio, in the middle of a wave."""
    if not model.lookahead:
        state, hop = model.initial_state(1), torch.zeros(1, model.hop)
        return macs(lambda: model.step(hop, state)) * model.sample_rate / model.hop
    one, two = torch.zeros(1, model.sample_rate), torch.zeros(1, 2 * model.sample_rate)
    return macs(lambda: model(two)) - macs(lambda: model(one))


def in_runtime(model: Enhancer, runtime: str, threads: int) -> Enhancer:
    """Return a network in the form that a runtime runs, hop by hop where it can."""
    if runtime == "torch":
        return model.optimize()
    from frcrn.runtime import with_runtime

    return with_runtime(model, runtime, threads, live=True)


def model_subject(place: str, facts: Facts, model: Enhancer, runtime: str, threads: int) -> Subject:
    """Prepare a network of ours."""
    ready = in_runtime(model, runtime, threads)
    if model.lookahead:
        return Subject(place, facts, runtime, threads, lambda clip: ready(torch.from_numpy(clip)[None]))
    state = ready.initial_state(1)

    def step(hop: Samples) -> Any:
        nonlocal state
        clean, state = ready.step(torch.from_numpy(hop)[None], state)
        return clean.numpy()

    return Subject(place, facts, runtime, threads, step)


def peer_subject(place: str, path: str, label: str, threads: int) -> Subject:
    """Prepare someone else's ONNX model; its numbers include the transforms in numpy around the graphs."""
    peer = Peer(Path(path), threads)
    about = peer.description
    counts = [of_graph(runner.file) for runner in peer.runners]
    known = [count for _, count in counts if count is not None]
    gmacs = sum(known) * about.sample_rate / about.hop / 1e9 if len(known) == len(counts) else None
    latency = (about.hop if peer.hops_out else about.window) + peer.delay
    facts = Facts(label or peer.label, sum(n for n, _ in counts), gmacs, about.sample_rate, about.hop, latency)
    heard = np.zeros(about.window, np.float32)

    def step(hop: Samples) -> Any:
        heard[: -about.hop] = heard[about.hop :].copy()
        heard[-about.hop :] = hop
        return peer.step(heard)

    return Subject(place, facts, "onnx", threads, step)


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
    heard = len(clock) * length
    frames: tuple[float | None, ...] = (None,) * 4
    if subject.live:
        under_half = float(np.mean(clock < length / 2))
        frames = (float(np.median(clock)), float(np.percentile(clock, 99)), float(clock.max()), under_half)
    factors = float(clock.sum()) / heard, sum(subject.core) / heard
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


def load_average() -> float | None:
    """Return how many processes wanted a core over the last minute; None where the system does not count."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def machine(seconds: float, load_before: float | None) -> dict[str, Any]:
    """Say what was measured on, with what, and how busy it was."""
    versions = {package: metadata.version(package) for package in PACKAGES.values() if util.find_spec(package)}
    loads = {"load_before": load_before, "load_after": load_average()}
    return {"processor": processor(), "cores": os.cpu_count(), "seconds": seconds, **loads, "versions": versions}


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
