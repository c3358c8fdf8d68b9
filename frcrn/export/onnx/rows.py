"""Networks of frames as ONNX graphs: one hop with its states, pieces of a wave, and a whole wave, by one wiring."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from frcrn.export.onnx import dft, pitch
from frcrn.export.onnx.graph import Graph, States
from frcrn.export.onnx.network import Step, by_hop, margins
from frcrn.export.onnx.sessions import AUDIO, ENHANCED
from frcrn.export.rows import RowRules
from frcrn.models.base import SPEECH
from frcrn.models.frames import FrameEnhancer
from frcrn.models.layers.pitch import DelaySpec
from frcrn.models.layers.rows import DenseSpec, NormSpec, RecurrentSpec
from frcrn.models.layers.specs import Array, array

ACTIVATED = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
END = 2**31
TINY = 1e-20


class Row(NamedTuple):
    """A value [B, N, size]."""

    name: str
    size: int


class RowWriter(RowRules[Row]):
    """Writes layers into a graph; without states every past is silent, and with `single` there is one frame."""

    def __init__(self, graph: Graph, states: States | None, hop: int, *, single: bool = False) -> None:
        super().__init__()
        self.graph, self.states, self.hop, self.single = graph, states, hop, single
        self.batch: int | str = 1 if single else "batch"

    def times(self, x: Row, y: Row) -> Row:
        """Multiply two rows."""
        return Row(self.graph.op("Mul", x.name, y.name), x.size)

    def beside(self, x: Row, y: Row) -> Row:
        """Put one row after another."""
        return Row(self.graph.op("Concat", x.name, y.name, axis=2), x.size + y.size)

    def masked(self, spectrum: Row, gains: Row) -> Row:
        """Multiply both parts of a spectrum."""
        both = self.graph.op("Concat", gains.name, gains.name, axis=2)
        return Row(self.graph.op("Mul", spectrum.name, both), spectrum.size)

    def speech(self, probability: Row) -> None:
        """Make it the state of the last frame; nobody reads what it was before."""
        if self.states is not None:
            self.states.past(SPEECH, self.batch, 1)
            self.states.keep(SPEECH, self.graph.reshape(self.graph.part(probability.name, 1, -1, END), 0, 1))

    def dense(self, name: str, spec: DenseSpec, x: Row) -> Row:
        """A matrix over the last rows, and its activation."""
        graph, rows = self.graph, x.name
        if spec.frames > 1:
            rows = self.recent(name, x, spec.frames)
        y = graph.op("MatMul", rows, spec.weight.T)
        if spec.bias is not None:
            y = graph.op("Add", y, spec.bias)
        if spec.activation == "relu6":
            y = graph.op("Clip", y, np.array(0.0), np.array(6.0))
        elif spec.activation != "linear":
            y = graph.op(ACTIVATED[spec.activation], y)
        return Row(y, len(spec.weight))

    def recent(self, name: str, x: Row, frames: int) -> str:
        """[B, N, size] -> [B, N, frames size], the oldest row first."""
        graph, past = self.graph, frames - 1
        if self.states is None:
            longer = graph.op("Pad", x.name, np.array([0, past, 0, 0, 0, 0]))
        else:
            before = graph.reshape(self.states.past(name, self.batch, past * x.size), 0, past, x.size)
            longer = graph.op("Concat", before, x.name, axis=1)
            kept = graph.reshape(graph.part(longer, 1, -past, END), 0, past * x.size)
            self.states.keep(name, kept)
        ends = [age - past or END for age in range(frames)]
        return graph.op("Concat", *(graph.part(longer, 1, age, end) for age, end in enumerate(ends)), axis=2)

    def lstm(self, name: str, spec: RecurrentSpec, x: Row) -> Row:
        """A long short-term memory."""
        hidden = spec.recurrent.shape[1]
        order = [0, 3, 1, 2]  # i, o, f, g
        y, (h, c) = self.recurrent("LSTM", name, spec, x, order, 2)
        if self.states is not None:
            self.states.keep(name, self.graph.op("Concat", h, c, axis=1))
        return Row(y, hidden)

    def gru(self, name: str, spec: RecurrentSpec, x: Row) -> Row:
        """A gated recurrent unit."""
        order = [1, 0, 2]  # z, r, n
        y, (h,) = self.recurrent("GRU", name, spec, x, order, 1, linear_before_reset=1)
        if self.states is not None:
            self.states.keep(name, h)
        return Row(y, spec.recurrent.shape[1])

    def recurrent(
        self, kind: str, name: str, spec: RecurrentSpec, x: Row, order: list[int], parts: int, **how: Any
    ) -> tuple[str, list[str]]:
        """A recurrent node, its output [B, N, hidden] and the parts of its new state, [B, hidden] each."""
        graph, hidden = self.graph, spec.recurrent.shape[1]
        weight, recurrent, bias, again = (reordered(part, order)[None] for part in spec)
        inputs: list[Any] = [graph.op("Transpose", x.name, perm=[1, 0, 2]), weight, recurrent]
        inputs += [np.concatenate([bias, again], axis=1)]
        if self.states is not None:
            past = self.states.past(name, self.batch, parts * hidden)
            first = graph.op("Unsqueeze", past, np.array([0]))
            inputs += ["", *(graph.ops("Split", parts, first, axis=2) if parts > 1 else [first])]
        y, *new = graph.ops(kind, 1 + parts, *inputs, hidden_size=hidden, **how)
        y = graph.op("Transpose", graph.op("Squeeze", y, np.array([1])), perm=[1, 0, 2])
        return y, [graph.op("Squeeze", part, np.array([0])) for part in new] if self.states is not None else new

    def norm(self, name: str, spec: NormSpec, x: Row) -> Row:
        """A normalisation of each row."""
        made = self.graph.op("LayerNormalization", x.name, spec.gain, spec.bias, axis=-1, epsilon=spec.epsilon)
        return x._replace(name=made)

    def delay(self, name: str, spec: DelaySpec, x: Row) -> Row:
        """A frame one period of its pitch earlier."""
        graph, hop, size = self.graph, self.hop, spec.longest + x.size
        fresh = graph.op("Div", graph.part(x.name, 2, -hop, END), spec.taper[-hop:])
        recent = self.recent(name, Row(fresh, hop), -(-size // hop))
        return Row(pitch.delayed(graph, graph.part(recent, 2, -size, END), spec), x.size)

    def comb(self, name: str, spec: Array, x: Row) -> Row:
        """A comb filter over a spectrum, the one a period earlier, and the gains of bands."""
        return Row(pitch.combed(self.graph, x.name, spec), 2 * len(spec))

    def log(self, name: str, spec: tuple[float, float, float], x: Row) -> Row:
        """A scaled logarithm of each value."""
        graph, (floor, scale, shift) = self.graph, spec
        y = graph.op("Log", graph.op("Add", x.name, np.array([floor])))
        y = graph.op("Mul", y, np.array([scale])) if scale != 1 else y
        return x._replace(name=graph.op("Add", y, np.array([shift])) if shift else y)

    def spectrum(self, name: str, window: int, x: Row) -> Row:
        """Samples to a spectrum: a matrix where there are many rows, two small steps where there is one."""
        graph, size = self.graph, window + 2
        if not self.single:
            return Row(graph.op("MatMul", x.name, fourier(window)[0]), size)
        found = dft.analysed(graph, graph.reshape(x.name, 1, window), np.ones(window))
        return Row(graph.reshape(found, 1, 1, size), size)

    def inverse(self, name: str, window: int, x: Row) -> Row:
        """A spectrum to samples."""
        graph = self.graph
        if not self.single:
            return Row(graph.op("MatMul", x.name, fourier(window)[1]), window)
        found = dft.synthesised(graph, graph.reshape(x.name, 2, window // 2 + 1), np.ones(window))
        return Row(graph.reshape(found, 1, 1, window), window)

    def magnitude(self, name: str, squared: bool, x: Row) -> Row:
        """The magnitude or power of each bin."""
        graph = self.graph
        real, imaginary = graph.ops("Split", 2, graph.op("Mul", x.name, x.name), axis=2)
        power = graph.op("Add", real, imaginary)
        return Row(power if squared else graph.op("Sqrt", graph.op("Add", power, np.array([TINY]))), x.size // 2)


def reordered(part: Array, order: list[int]) -> Array:
    """Return the gates of a matrix or bias in another order."""
    gates = np.split(part, len(order))
    return np.concatenate([gates[gate] for gate in order])


def fourier(window: int) -> tuple[Array, Array]:
    """Return the transform [window, 2 F] and its inverse [2 F, window]."""
    bins = window // 2 + 1
    angle = 2 * np.pi * np.outer(np.arange(window), np.arange(bins)) / window
    share = np.full(bins, 2 / window)
    share[[0, -1]] = 1 / window
    forward = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
    inverse = np.concatenate([np.cos(angle) * share, -np.sin(angle) * share], axis=1).T
    return forward.astype(np.float32), inverse.astype(np.float32)


def write_frames(model: FrameEnhancer, *, single: bool) -> Step:
    """Return the graph of a hop, [1, hop], or of a piece of a wave, [batch, n hop], with its states."""
    graph, frames = Graph(), model.frames
    states = States(graph)
    writer = RowWriter(graph, states, frames.hop, single=single)
    shape = (1, frames.hop) if single else ("batch", "n")
    past = states.past("analysis", writer.batch, frames.overlap)
    wave = graph.op("Concat", past, graph.input(AUDIO, *shape), axis=1)
    states.keep("analysis", graph.part(wave, 1, -frames.overlap, END))
    clean = enhanced(writer, model, wave)
    tail = states.past("synthesis", writer.batch, frames.overlap)
    begun = graph.op("Add", graph.part(clean, 1, 0, frames.overlap), tail)
    clean = graph.op("Concat", begun, graph.part(clean, 1, frames.overlap, END), axis=1)
    states.keep("synthesis", graph.part(clean, 1, -frames.overlap, END))
    graph.output(by_hop(graph, graph.part(clean, 1, 0, -frames.overlap), frames), ENHANCED, *shape)
    return Step(graph.model(), states.shapes)


def write_wave(model: FrameEnhancer) -> Any:
    """Return the graph of a wave, [batch, samples] -> [batch, samples]."""
    graph, frames = Graph(), model.frames
    audio = graph.input(AUDIO, "batch", "samples")
    samples = graph.part(graph.op("Shape", audio), 0, 1, 2)
    wave = graph.op("Pad", audio, graph.op("Concat", *margins(graph, frames, samples, causal=True), axis=0))
    clean = by_hop(graph, enhanced(RowWriter(graph, None, frames.hop), model, wave), frames)
    first = np.array([frames.overlap])
    last = graph.op("Add", samples, first)
    graph.output(graph.op("Slice", clean, first, last, np.array([1])), ENHANCED, "batch", "samples")
    return graph.model()


def enhanced(writer: RowWriter, model: FrameEnhancer, wave: str) -> str:
    """[B, n hop] -> the frames of the network, added up: as many samples, without the gain of each hop."""
    graph, frames = writer.graph, model.frames
    parts, shape = frames.window // frames.hop, array(frames.taper)
    hops = graph.reshape(wave, 0, -1, frames.hop)
    shifted = [graph.part(hops, 1, number, number + 1 - parts or END) for number in range(parts)]
    rows = graph.op("Concat", *shifted, axis=2)
    tapered = not np.allclose(shape, 1)
    made = model.wire(writer, Row(graph.op("Mul", rows, shape) if tapered else rows, frames.window)).name
    made = graph.op("Mul", made, shape) if tapered else made
    pieces = []
    for number, piece in enumerate(graph.ops("Split", parts, made, axis=2)):
        pieces.append(graph.op("Pad", piece, np.array([0, number, 0, 0, parts - 1 - number, 0])))
    return graph.reshape(graph.op("Sum", *pieces), 0, -1)
