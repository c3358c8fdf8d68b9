"""A network of frames as a program of C: one wiring, and a rule for each class of layers on rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from frcrn.export.native.layers import LayerWriter
from frcrn.export.native.operations import Copy
from frcrn.export.native.program import Program, after
from frcrn.export.native.row_operations import (
    Comb,
    Cut,
    Delay,
    Gru,
    Join,
    Log,
    Lstm,
    Magnitude,
    Mask,
    Multiply,
    Normalise,
    Relu6,
    Restore,
    Sigmoid,
    Speech,
    Tanh,
    Transform,
)
from frcrn.export.native.structs import Argument, Buffer
from frcrn.export.rows import RowRules
from frcrn.models.frames import FrameEnhancer
from frcrn.models.layers.pitch import DelaySpec
from frcrn.models.layers.rows import DenseSpec, NormSpec, RecurrentSpec
from frcrn.models.layers.specs import Array, array

FUNCTIONS = {"sigmoid": Sigmoid, "tanh": Tanh, "relu6": Relu6}
PLAIN, RELU = 0, 2


class Row(NamedTuple):
    """Where the values of a row lie, and how many there are; of a spectrum, the parts of a bin side by side."""

    at: Argument
    size: int


class RowWriter(RowRules[Row]):
    """Appends layers to a program."""

    def __init__(self, program: Program, window: int, hop: int) -> None:
        super().__init__()
        self.program, self.window, self.hop, self.layers = program, window, hop, LayerWriter(program)
        self.turns, self.halves = program.weight(circle(window // 2)), program.weight(circle(window))

    def row(self, size: int) -> Row:
        """Make room for a row."""
        return Row(Buffer(size), size)

    def times(self, x: Row, y: Row) -> Row:
        """Multiply two rows."""
        out = self.row(x.size)
        self.program.emit(Multiply(x=x.at, y=y.at, count=x.size, out=out.at))
        return out

    def beside(self, x: Row, y: Row) -> Row:
        """Put one row after another."""
        out = self.row(x.size + y.size)
        self.copy(x.at, out.at, x.size)
        self.copy(y.at, after(out.at, x.size), y.size)
        return out

    def copy(self, x: Argument, out: Argument, count: int) -> None:
        """Copy values."""
        self.program.emit(Copy(x=x, row=0, out=out, row_out=0, rows=1, count=count))

    def masked(self, spectrum: Row, gains: Row) -> Row:
        """Multiply each bin by its gain."""
        out = self.row(spectrum.size)
        self.program.emit(Mask(x=spectrum.at, gains=gains.at, bins=gains.size, out=out.at))
        return out

    def speech(self, probability: Row) -> None:
        """Put it where `frcrn_speech` finds it."""
        self.program.emit(Speech(x=probability.at))

    def dense(self, name: str, spec: DenseSpec, x: Row) -> Row:
        """A matrix over the last rows, and its activation."""
        rows = self.recent(x, spec.frames) if spec.frames > 1 else x
        made = RELU if spec.activation == "relu" else PLAIN
        out = Row(self.layers.product(rows.at, 1, rows.size, spec.weight, spec.bias, made), len(spec.weight))
        function = FUNCTIONS.get(spec.activation)
        if function is not None:
            self.program.emit(function(x=out.at, count=out.size, out=out.at))
        return out

    def recent(self, x: Row, frames: int) -> Row:
        """The last rows in one piece; each takes the place of the one before it."""
        kept = (frames - 1) * x.size
        past, out = self.program.state(kept), self.row(frames * x.size)
        self.copy(past, out.at, kept)
        self.copy(x.at, after(out.at, kept), x.size)
        self.copy(after(out.at, x.size), past, kept)
        return out

    def lstm(self, name: str, spec: RecurrentSpec, x: Row) -> Row:
        """A long short-term memory."""
        hidden, both = spec.recurrent.shape[1], np.concatenate([spec.weight, spec.recurrent], axis=1)
        weights, bias, pack = self.layers.matrix(both, spec.bias + spec.recurrent_bias)
        out = self.row(hidden)
        self.program.emit(
            Lstm(
                x=x.at,
                inputs=x.size,
                hidden=hidden,
                pack=pack,
                weights=weights,
                bias=bias,
                past=self.program.state(2 * hidden),
                work=Buffer(5 * hidden + x.size),
                out=out.at,
            )
        )
        return out

    def gru(self, name: str, spec: RecurrentSpec, x: Row) -> Row:
        """A gated recurrent unit."""
        hidden = spec.recurrent.shape[1]
        weights, bias, pack = self.layers.matrix(spec.weight, spec.bias)
        recurrent, again, _ = self.layers.matrix(spec.recurrent, spec.recurrent_bias)
        out = self.row(hidden)
        self.program.emit(
            Gru(
                x=x.at,
                inputs=x.size,
                hidden=hidden,
                pack=pack,
                weights=weights,
                bias=bias,
                recurrent=recurrent,
                recurrent_bias=again,
                past=self.program.state(hidden),
                work=Buffer(6 * hidden),
                out=out.at,
            )
        )
        return out

    def norm(self, name: str, spec: NormSpec, x: Row) -> Row:
        """A normalisation of each row."""
        out, weight = self.row(x.size), self.program.weight
        gain, bias, epsilon = weight(spec.gain), weight(spec.bias), weight(np.array([spec.epsilon]))
        self.program.emit(Normalise(x=x.at, count=x.size, gain=gain, bias=bias, epsilon=epsilon, out=out.at))
        return out

    def delay(self, name: str, spec: DelaySpec, x: Row) -> Row:
        """A frame one period earlier."""
        out, kept = self.row(x.size), spec.longest + x.size - self.hop
        self.program.emit(
            Delay(
                x=x.at,
                taper=self.program.weight(spec.taper),
                shortest=spec.shortest,
                longest=spec.longest,
                past=self.program.state(kept),
                work=Buffer(2 * (spec.longest + x.size)),
                out=out.at,
            )
        )
        return out

    def comb(self, name: str, spec: Array, x: Row) -> Row:
        """A comb filter over a spectrum, the one before it, and the gains of bands."""
        bins, bands = spec.shape
        out = self.row(2 * bins)
        self.program.emit(
            Comb(
                x=x.at,
                earlier=after(x.at, 2 * bins),
                gains=after(x.at, 4 * bins),
                bins=bins,
                bands=bands,
                shares=self.program.weight(spec),
                work=Buffer(4 * bands),
                out=out.at,
            )
        )
        return out

    def log(self, name: str, spec: tuple[float, float, float], x: Row) -> Row:
        """A scaled logarithm of each value."""
        out = self.row(x.size)
        self.program.emit(Log(x=x.at, count=x.size, terms=self.program.weight(np.array(spec)), out=out.at))
        return out

    def spectrum(self, name: str, window: int, x: Row) -> Row:
        """Samples to a spectrum."""
        out, work = self.row(window + 2), Buffer(window)
        self.program.emit(Transform(x=x.at, work=work, turns=self.turns, halves=self.halves, out=out.at))
        return out

    def inverse(self, name: str, window: int, x: Row) -> Row:
        """A spectrum to samples."""
        out, work = self.row(window), Buffer(2 * window + 2)
        self.program.emit(Restore(x=x.at, work=work, turns=self.turns, halves=self.halves, out=out.at))
        return out

    def magnitude(self, name: str, squared: bool, x: Row) -> Row:
        """The magnitude or power of each bin."""
        out = self.row(x.size // 2)
        self.program.emit(Magnitude(x=x.at, bins=out.size, squared=int(squared), out=out.at))
        return out


def circle(size: int) -> Array:
    """[size + 1, 2]: e^(-2 pi i k / size), once around."""
    angle = -2 * np.pi * np.arange(size + 1) / size
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def frames_program(model: FrameEnhancer) -> bytes:
    """Return the model file of a network of frames."""
    program, frames = Program(), model.frames
    writer, taper = RowWriter(program, frames.window, frames.hop), program.weight(array(frames.taper))
    frame = writer.row(frames.window)
    program.emit(Cut(past=program.state(frames.overlap), taper=taper, out=frame.at))
    made = model.wire(writer, frame)
    gain, past, work = program.weight(array(frames.gain)), program.state(frames.overlap), Buffer(frames.window)
    program.emit(Join(x=made.at, taper=taper, gain=gain, past=past, work=work))
    return program.content(model.sample_rate, frames.window, frames.hop)
