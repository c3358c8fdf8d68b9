"""Other people's streaming ONNX models, described by a small JSON file, as something to score.

    {"name": "DTLN", "sample_rate": 16000, "window": 512, "hop": 128, "taper": "rectangular",
     "graphs": [
       {"file": "dtln_1.onnx", "inputs": {"input_2": "magnitude"}, "outputs": {"activation_2": "mask"},
        "states": {"input_3": "tf_op_layer_stack_2"}},
       {"file": "dtln_2.onnx", "inputs": {"input_4": "frame"}, "outputs": {"conv1d_3": "frame"},
        "states": {"input_5": "tf_op_layer_stack_5"}}]}

Each hop, every graph reads features of the current frame and replaces the frame by its outputs; the frames are
overlapped and added. A state is an input that starts at zero and gets the named output of the step before. `file` is
relative to the JSON file. The taper is applied before analysis and after synthesis.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn import config
from frcrn.audio import MissingPackage, exactly, resample
from frcrn.export.onnx.sessions import inference_session
from frcrn.texts import from_json, text_of

Array = NDArray[np.float32]
Spectrum = NDArray[np.complexfloating]

FEATURES = ("frame", "hop", "magnitude", "power", "real", "imaginary", "complex")
OUTPUTS = (("frame",), ("hop",), ("mask",), ("magnitude",), ("complex",), ("complex_mask",), ("imaginary", "real"))
TAPERS = ("rectangular", "hann", "sqrt_hann", "hamming")


@dataclass(frozen=True)
class PeerGraph:
    """One ONNX file and what its inputs and outputs mean."""

    file: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    states: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, meaning in self.inputs.items():
            config.require(meaning in FEATURES, f"inputs.{name}", f"one of {', '.join(FEATURES)}", meaning)
        found = sorted(map(str, self.outputs.values()))
        config.require(tuple(found) in OUTPUTS, "outputs", " or ".join(map("+".join, OUTPUTS)), "+".join(found))


@dataclass(frozen=True)
class Description:
    """What the JSON file says."""

    name: str
    sample_rate: int
    window: int
    hop: int
    graphs: tuple[PeerGraph, ...]
    taper: str = "sqrt_hann"
    scale: float = 1.0
    """What the overlapped frames are multiplied by, where the tapers do not add up to one."""
    delay: int | None = None
    """Samples by which the output is late; None = what overlapping implies (0; window - hop where hops go out)."""

    def __post_init__(self) -> None:
        config.require(self.sample_rate > 0, "sample_rate", "a rate in Hz", self.sample_rate)
        config.require(0 < self.hop <= self.window, "hop", f"1 to the window, {self.window}", self.hop)
        config.require(self.taper in TAPERS, "taper", f"one of {', '.join(TAPERS)}", self.taper)
        config.require(self.delay is None or self.delay >= 0, "delay", "0 or more samples", self.delay)
        config.require(len(self.graphs) > 0, "graphs", "at least one graph", "none")


def describe(path: Path) -> Description:
    """Read a description; whatever is unknown, missing or not there is refused by name."""
    try:
        values = from_json(text_of(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected the description of a peer in JSON ({error})") from error
    description = config.build(Description, values, str(path))
    for graph in description.graphs:
        if not (path.parent / graph.file).is_file():
            raise ValueError(f"{path}: the graph {graph.file} is not there")
    return description


def taper(name: str, window: int) -> Array:
    """[window] -> what a frame is multiplied by, periodic."""
    angle = 2 * np.pi * np.arange(window) / window
    shapes = {
        "rectangular": np.ones(window),
        "hann": 0.5 - 0.5 * np.cos(angle),
        "sqrt_hann": np.sin(angle / 2),
        "hamming": 0.54 - 0.46 * np.cos(angle),
    }
    return np.asarray(shapes[name], dtype=np.float32)


class Runner:
    """One ONNX graph with its states."""

    def __init__(self, graph: PeerGraph, folder: Path, threads: int = 1) -> None:
        self.graph, self.file = graph, folder / graph.file
        self.session = _session(self.file, threads)
        self.shapes = {item.name: _shape(item.shape) for item in self.session.get_inputs()}
        self.results = [item.name for item in self.session.get_outputs()]
        self._check_names()
        self.reset()

    def _check_names(self) -> None:
        """Refuse a description that does not fit the graph."""
        given = [*self.graph.inputs, *self.graph.states]
        if sorted(given) != sorted(self.shapes):
            raise ValueError(f"{self.file}: its inputs are {', '.join(self.shapes)}; described are {', '.join(given)}")
        for name in (*self.graph.outputs, *self.graph.states.values()):
            if name not in self.results:
                raise ValueError(f"{self.file}: no output {name!r}; it has {', '.join(self.results)}")

    def reset(self) -> None:
        """Set every state to zero."""
        self.states = {name: np.zeros(self.shapes[name], np.float32) for name in self.graph.states}

    def step(self, frame: Array, fresh: Array) -> Array:
        """Frame [window], its new samples [hop] -> the frame after this graph, or finished samples [hop]."""
        spectrum = np.fft.rfft(frame)
        features = {name: self._feature(name, kind, frame, fresh, spectrum) for name, kind in self.graph.inputs.items()}
        values = dict(zip(self.results, self.session.run(None, features | self.states), strict=True))
        self.states = {name: values[source] for name, source in self.graph.states.items()}
        outputs = {kind: values[name] for name, kind in self.graph.outputs.items()}
        return _frame(outputs, spectrum, len(frame))

    def _feature(self, name: str, kind: str, frame: Array, fresh: Array, spectrum: Spectrum) -> Array:
        shape = self.shapes[name]
        if kind == "complex":
            return _packed(spectrum, shape)
        flat = {
            "frame": frame,
            "hop": fresh,
            "magnitude": np.abs(spectrum),
            "power": np.square(np.abs(spectrum)),
            "real": spectrum.real,
            "imaginary": spectrum.imag,
        }[kind]
        if flat.size != np.prod(shape):
            raise ValueError(f"{self.file}: input {name!r} has shape {list(shape)}, its {kind} has {flat.size} values")
        return flat.astype(np.float32).reshape(shape)


def _session(file: Path, threads: int) -> Any:
    try:
        return inference_session(str(file), threads, "a peer")
    except MissingPackage:
        raise
    except Exception as error:  # onnxruntime's own exception classes have no common public base
        raise ValueError(f"{file}: not a readable ONNX graph ({str(error).splitlines()[0]})") from error


def _shape(axes: list[int | str | None]) -> tuple[int, ...]:
    """Take named axes (batch, frames) as 1."""
    return tuple(axis if isinstance(axis, int) else 1 for axis in axes)


def _parts_axis(shape: tuple[int, ...], bins: int) -> int:
    """Return which axis holds real and imaginary part; the other long one holds the bins."""
    places = [axis for axis, size in enumerate(shape) if size == 2]
    if len(places) != 1 or sorted(size for size in shape if size != 1) != sorted((2, bins)):
        raise ValueError(f"a spectrum of {bins} complex bins does not fit the shape {list(shape)}")
    return places[0]


def _packed(spectrum: Spectrum, shape: tuple[int, ...]) -> Array:
    """[F] -> real and imaginary parts in the graph's own axis order."""
    axis = _parts_axis(shape, len(spectrum))
    rest = shape[:axis] + shape[axis + 1 :]
    parts = [part.astype(np.float32).reshape(rest) for part in (spectrum.real, spectrum.imag)]
    return np.stack(parts, axis=axis)


def _unpacked(values: Array, bins: int) -> Spectrum:
    axis = _parts_axis(values.shape, bins)
    real, imaginary = (part.reshape(-1) for part in np.moveaxis(values, axis, 0))
    return np.asarray(real + 1j * imaginary)


def _frame(outputs: dict[str, Array], spectrum: Spectrum, window: int) -> Array:
    """Turn what a graph put out into samples."""
    for finished in ("frame", "hop"):
        if finished in outputs:
            return outputs[finished].reshape(-1)
    bins = len(spectrum)
    if "complex" in outputs:
        spectrum = _unpacked(outputs["complex"], bins)
    elif "complex_mask" in outputs:
        spectrum = spectrum * _unpacked(outputs["complex_mask"], bins)
    elif "real" in outputs:
        spectrum = outputs["real"].reshape(-1) + 1j * outputs["imaginary"].reshape(-1)
    elif "mask" in outputs:
        spectrum = spectrum * outputs["mask"].reshape(-1)
    else:
        spectrum = outputs["magnitude"].reshape(-1) * np.exp(1j * np.angle(spectrum))
    return np.fft.irfft(spectrum, window).astype(np.float32)


class Peer:
    """A described model that enhances whole clips."""

    live = True

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path, self.description = path, describe(path)
        self.label = self.description.name
        self.runners = [Runner(graph, path.parent, threads) for graph in self.description.graphs]
        self.taper = taper(self.description.taper, self.description.window)

    def fingerprint(self) -> str:
        """Return a hash of the description and the graphs."""
        state = hashlib.sha256(self.path.read_bytes())
        for graph in self.description.graphs:
            state.update((self.path.parent / graph.file).read_bytes())
        return state.hexdigest()

    @property
    def hops_out(self) -> bool:
        """Tell whether the last graph puts out finished samples, so that nothing is overlapped."""
        return "hop" in self.description.graphs[-1].outputs.values()

    @property
    def delay(self) -> int:
        """Samples by which what the graphs put out is late."""
        if self.description.delay is not None:
            return self.description.delay
        return self.description.window - self.description.hop if self.hops_out else 0

    def enhance(self, name: str, noisy: Array, rate: int) -> Array:
        """[T] -> [T], in time with the input; `name` plays no part."""
        own = self.description.sample_rate
        enhanced = resample(self.run(resample(noisy, rate, own)), own, rate)
        return np.asarray(exactly(enhanced[None], len(noisy))[0])

    def run(self, noisy: Array) -> Array:
        """[T] -> [T] at the model's own rate."""
        window, hop = self.description.window, self.description.hop
        early = window - hop
        delay = self.delay
        steps = -(-(len(noisy) + early + delay) // hop)
        padded = np.zeros(early + steps * hop, np.float32)
        padded[early : early + len(noisy)] = noisy
        result = np.zeros_like(padded)
        for runner in self.runners:
            runner.reset()
        for start in range(0, steps * hop, hop):
            frame = self.step(padded[start : start + window])
            if self.hops_out:
                result[start + early : start + window] = frame
            else:
                result[start : start + window] += frame
        finished = result[early + delay : early + delay + len(noisy)]
        return finished * np.float32(self.description.scale)

    def step(self, samples: Array) -> Array:
        """The last [window] samples -> the tapered frame [window] to overlap and add, or finished samples [hop]."""
        fresh, frame = samples[-self.description.hop :], samples * self.taper
        for runner in self.runners:
            frame = runner.step(frame, fresh)
        return frame if self.hops_out else frame * self.taper
