"""What a benchmark measures: networks in each runtime, ONNX models of others and exported folders, ready to run."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from frcrn.audio import Samples
from frcrn.config import warn_of_namesake
from frcrn.evaluation.peers import Peer
from frcrn.evaluation.speed.operations import macs, of_graph
from frcrn.evaluation.systems import labelled
from frcrn.export.native.library import compiler
from frcrn.export.onnx.folder import ABOUT, described
from frcrn.export.onnx.sessions import AUDIO, ENHANCED, OnnxSession
from frcrn.machine import load_average, processor
from frcrn.models import Enhancer, FrameEnhancer, MaskEnhancer
from frcrn.models.checkpoint import load
from frcrn.models.directories import CONFIGURATION, names

PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
"""The runtimes that come from packages, and these."""

Run = Callable[[Samples], object]


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


def subjects_of(place: str, runtimes: Sequence[str] | None, threads: Sequence[int]) -> list[Subject]:
    """Open a model in each runtime, or a peer or an export in ONNX Runtime, on each number of threads.

    None stands for the runtimes that are there and run such a model; ":bf16" after one is its precision. Hop by hop,
    the native one knows one thread only.
    """
    label, name = labelled(place)
    path = Path(name)
    if is_exported(path) and name in names():
        warn_of_namesake(name, "the bundled model is measured", "the export")
    elif is_exported(path):
        return [exported_subject(place, path, label, count) for count in threads]
    if path.suffix == ".json" and path.is_file():
        return [peer_subject(place, path, label, count) for count in threads]
    model = load(name)
    facts = facts_of(model, label or path.stem)
    if runtimes is None:
        in_c = isinstance(model, (MaskEnhancer, FrameEnhancer))
        runtimes = [each for each in installed() if each != "native" or in_c]
    return [
        model_subject(place, facts, model, runtime, count)
        for runtime in runtimes
        for count in ([1] if runtime.startswith("native") and model.streams else threads)
    ]


def is_exported(path: Path) -> bool:
    """Tell whether a path is a folder that `frcrn export` wrote, or a graph in one."""
    if path.is_dir():
        return (path / ABOUT).is_file() and not (path / CONFIGURATION).is_file()
    return path.suffix == ".onnx" and path.is_file() and (path.parent / ABOUT).is_file()


def facts_of(model: Enhancer, label: str) -> Facts:
    """Count a network's parameters as it was trained, and its operations as it is run."""
    per_second = operations(model.optimize())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    latency = model.latency if model.streams else None
    return Facts(label, parameters, per_second / 1e9, model.sample_rate, model.hop, latency)


def operations(model: Enhancer) -> float:
    """Count what a network multiplies and adds for a second of audio, in the middle of a wave."""
    if model.streams:
        state, hop = model.initial_state(1), torch.zeros(1, model.hop)
        return macs(lambda: model.step(hop, state)) * model.sample_rate / model.hop
    one, two = torch.zeros(1, model.sample_rate), torch.zeros(1, 2 * model.sample_rate)
    return macs(lambda: model(two)) - macs(lambda: model(one))


def in_runtime(model: Enhancer, runtime: str, threads: int) -> Enhancer:
    """Return a network in the form that a runtime runs, hop by hop where it can."""
    name, _, precision = runtime.partition(":")
    if name == "torch":
        return model.optimize(precision or "fp32")
    from frcrn.export.runtime import with_runtime

    return with_runtime(model, name, threads, live=True, precision=precision or "fp32")


def model_subject(place: str, facts: Facts, model: Enhancer, runtime: str, threads: int) -> Subject:
    """Prepare a network of ours."""
    ready = in_runtime(model, runtime, threads)
    if not model.streams:
        return Subject(place, facts, runtime, threads, lambda clip: ready(torch.from_numpy(clip)[None]))
    state = ready.initial_state(1)

    def step(hop: Samples) -> Any:
        nonlocal state
        clean, state = ready.step(torch.from_numpy(hop)[None], state)
        return clean.numpy()

    return Subject(place, facts, runtime, threads, step)


def peer_subject(place: str, path: Path, label: str, threads: int) -> Subject:
    """Prepare someone else's ONNX model; its numbers include the transforms in numpy around the graphs."""
    peer = Peer(path, threads)
    about = peer.description
    counts = [of_graph(runner.file) for runner in peer.runners]
    known = [count for _, count in counts if count is not None]
    gmacs = sum(known) * about.sample_rate / about.hop / 1e9 if len(known) == len(counts) else None
    latency = (about.hop if peer.hops_out else about.window) + peer.delay
    facts = Facts(label or peer.label, sum(n for n, _ in counts), gmacs, about.sample_rate, about.hop, latency)
    latest = np.zeros(about.window, np.float32)

    def step(hop: Samples) -> Any:
        latest[: -about.hop] = latest[about.hop :].copy()
        latest[-about.hop :] = hop
        return peer.step(latest)

    return Subject(place, facts, "onnx", threads, step)


def exported_subject(place: str, path: Path, label: str, threads: int) -> Subject:
    """Prepare the graph that is named of an exported folder, else the first: that of one hop, if there is one."""
    folder, file = (path, None) if path.is_dir() else (path.parent, path.name)
    about = described(folder)
    graph = next((graph for graph in about["graphs"].values() if file in (None, graph["file"])), None)
    if graph is None:
        raise ValueError(f"{path}: {ABOUT} beside it does not describe it")
    graph_file = folder / graph["file"]
    content, states = graph_file.read_bytes(), graph.get("states", {})
    if hashlib.sha256(content).hexdigest() != graph["sha256"]:
        raise ValueError(f"{graph_file}: not the graph that {ABOUT} beside it describes; export again")
    parameters, count = of_graph(graph_file)
    # the shapes of a whole wave are not fixed, so that its operations cannot be counted
    gmacs = count * about["sample_rate"] / about["hop"] / 1e9 if states and count is not None else None
    latency = about["latency"] if states else None
    facts = Facts(label or path.stem, parameters, gmacs, about["sample_rate"], about["hop"], latency)
    session = OnnxSession(content, threads)
    if states and not agrees(session, about["hop"], states):
        raise ValueError(f"{graph_file}: takes or returns something else than {ABOUT} beside it says; export again")
    past = {name: np.full(state["shape"], state["initial"], np.float32) for name, state in states.items()}

    def run(piece: Samples) -> Any:
        results = session.run({AUDIO: piece[None], **past})
        past.update({name: results[state["next"]] for name, state in states.items()})
        return results[ENHANCED]

    return Subject(place, facts, "onnx", threads, run)


def agrees(session: OnnxSession, hop: int, states: Mapping[str, Any]) -> bool:
    """Tell whether a graph of one hop has the inputs and outputs that its description names."""
    told = {AUDIO: [1, hop], **{name: state["shape"] for name, state in states.items()}}
    inputs, outputs = session.shapes, set(session.outputs)
    return (
        inputs.keys() == told.keys()
        and all(len(inputs[name]) == len(shape) for name, shape in told.items())
        and all(a == b or isinstance(a, str) for name in told for a, b in zip(inputs[name], told[name], strict=True))
        and outputs >= {ENHANCED, *(state["next"] for state in states.values())}
    )


def installed() -> list[str]:
    """List the runtimes that are there; native needs a C compiler and no package."""
    found = [runtime for runtime, package in PACKAGES.items() if util.find_spec(package)]
    return [*found, "native"] if compiler() else found


def machine(seconds: float, load_before: float | None) -> dict[str, Any]:
    """Say what was measured on, with what, and how busy it was."""
    versions = {package: metadata.version(package) for package in PACKAGES.values() if util.find_spec(package)}
    if program := compiler():
        versions[Path(program).name] = subprocess.run(
            [program, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=False
        ).stdout.strip()
    loads = {"load_before": load_before, "load_after": load_average()}
    return {"processor": processor(), "cores": os.cpu_count(), "seconds": seconds, **loads, "versions": versions}
