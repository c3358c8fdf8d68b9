"""The operations of networks that take frames to frames, in rows.h, and with them the table of all that frcrn.c knows.

A row is the values of one frame. A spectrum is [bins][2], as it is in the operations on images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from frcrn.export.native.operations import HOP, Later
from frcrn.export.native.structs import COUNT, FLAG, READ, STATE, WEIGHTS, WORK, WRITTEN, Argument, Operation


@dataclass(frozen=True, kw_only=True)
class Cut(Operation):
    """Put a hop after the samples before it, and taper both: a frame."""

    past: Annotated[Argument, STATE, "window - hop"]
    taper: Annotated[int, WEIGHTS, "window"]
    out: Annotated[Argument, WRITTEN, "window"]

    cost = "window"


@dataclass(frozen=True, kw_only=True)
class Transform(Operation):
    """Transform a frame to its spectrum."""

    x: Annotated[Argument, READ, "window"]
    work: Annotated[Argument, WORK, "window"]
    turns: Annotated[int, WEIGHTS, "window + 2"]
    halves: Annotated[int, WEIGHTS, "2 * window + 2"]
    out: Annotated[Argument, WRITTEN, "window + 2"]

    cost = "2048 * window"


@dataclass(frozen=True, kw_only=True)
class Restore(Operation):
    """Transform a spectrum back to a frame; the imaginary parts of the first and the last bin play no part."""

    x: Annotated[Argument, READ, "window + 2"]
    work: Annotated[Argument, WORK, "2 * window + 2"]
    turns: Annotated[int, WEIGHTS, "window + 2"]
    halves: Annotated[int, WEIGHTS, "2 * window + 2"]
    out: Annotated[Argument, WRITTEN, "window"]

    cost = "2048 * window"


@dataclass(frozen=True, kw_only=True)
class Join(Operation):
    """Taper a frame, add it to what earlier frames left, and put out the hop that is finished, times its gain."""

    x: Annotated[Argument, READ, "window"]
    taper: Annotated[int, WEIGHTS, "window"]
    gain: Annotated[int, WEIGHTS, "hop"]
    past: Annotated[Argument, STATE, "window - hop"]
    work: Annotated[Argument, WORK, "window"]

    cost = "2 * window"


@dataclass(frozen=True, kw_only=True)
class Magnitude(Operation):
    """Find the magnitude of each bin, the square root of its power and 1e-20, or where `squared` its power."""

    x: Annotated[Argument, READ, "2 * bins"]
    bins: Annotated[int, COUNT]
    squared: Annotated[int, FLAG]
    out: Annotated[Argument, WRITTEN, "bins"]

    cost = "16 * bins"


@dataclass(frozen=True, kw_only=True)
class Mask(Operation):
    """Multiply each bin of a spectrum by its gain."""

    x: Annotated[Argument, READ, "2 * bins"]
    gains: Annotated[Argument, READ, "bins"]
    bins: Annotated[int, COUNT]
    out: Annotated[Argument, WRITTEN, "2 * bins"]

    cost = "2 * bins"


@dataclass(frozen=True, kw_only=True)
class Multiply(Operation):
    """Multiply values."""

    x: Annotated[Argument, READ, "count"]
    y: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    out: Annotated[Argument, WRITTEN, "count"]

    cost = "count"


@dataclass(frozen=True, kw_only=True)
class Log(Operation):
    """Find `scale log(x + floor) + shift` of each value; the terms are floor, scale, shift."""

    x: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    terms: Annotated[int, WEIGHTS, "3"]
    out: Annotated[Argument, WRITTEN, "count"]

    cost = "16 * count"


@dataclass(frozen=True, kw_only=True)
class Normalise(Operation):
    """Bring values to mean 0 and variance 1, then scale and shift each."""

    x: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    gain: Annotated[int, WEIGHTS, "count"]
    bias: Annotated[int, WEIGHTS, "count"]
    epsilon: Annotated[int, WEIGHTS, "1"]
    out: Annotated[Argument, WRITTEN, "count"]

    cost = "4 * count"


@dataclass(frozen=True, kw_only=True)
class Function(Operation):
    """What is done to each value by itself."""

    x: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    out: Annotated[Argument, WRITTEN, "count"]

    cost = "16 * count"


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Function):
    """Find `1 / (1 + exp(-x))` of each value."""


@dataclass(frozen=True, kw_only=True)
class Tanh(Function):
    """Find the hyperbolic tangent of each value."""


@dataclass(frozen=True, kw_only=True)
class Relu6(Function):
    """Bring each value between 0 and 6."""


@dataclass(frozen=True, kw_only=True)
class Lstm(Operation):
    """Take a row through an LSTM, whose state is h and then c; gates i, f, g, o by one matrix of the row and h."""

    x: Annotated[Argument, READ, "inputs"]
    inputs: Annotated[int, COUNT]
    hidden: Annotated[int, COUNT]
    pack: Annotated[int, COUNT]
    weights: Annotated[int, WEIGHTS, "padded(4 * hidden, pack) * (inputs + hidden)"]
    bias: Annotated[int, WEIGHTS, "padded(4 * hidden, pack)"]
    past: Annotated[Argument, STATE, "2 * hidden"]
    work: Annotated[Argument, WORK, "4 * hidden + inputs + hidden"]
    out: Annotated[Argument, WRITTEN, "hidden"]

    rules = ("pack == 16 or pack == 32 or pack == 64",)
    cost = "padded(4 * hidden, pack) * (inputs + hidden) + 100 * hidden"


@dataclass(frozen=True, kw_only=True)
class Gru(Operation):
    """Take a row through a GRU; gates r, z, n, each the sum of a product with the row and one with h."""

    x: Annotated[Argument, READ, "inputs"]
    inputs: Annotated[int, COUNT]
    hidden: Annotated[int, COUNT]
    pack: Annotated[int, COUNT]
    weights: Annotated[int, WEIGHTS, "padded(3 * hidden, pack) * inputs"]
    bias: Annotated[int, WEIGHTS, "padded(3 * hidden, pack)"]
    recurrent: Annotated[int, WEIGHTS, "padded(3 * hidden, pack) * hidden"]
    recurrent_bias: Annotated[int, WEIGHTS, "padded(3 * hidden, pack)"]
    past: Annotated[Argument, STATE, "hidden"]
    work: Annotated[Argument, WORK, "6 * hidden"]
    out: Annotated[Argument, WRITTEN, "hidden"]

    rules = ("pack == 16 or pack == 32 or pack == 64",)
    cost = "padded(3 * hidden, pack) * (inputs + hidden) + 100 * hidden"


@dataclass(frozen=True, kw_only=True)
class Speech(Operation):
    """Put how probable speech is, 0 to 1, into value 2 of the state."""

    x: Annotated[Argument, READ, "1"]


@dataclass(frozen=True, kw_only=True)
class Delay(Operation):
    """Take a frame one period of its pitch earlier; periods are first looked for at a quarter of the rate."""

    x: Annotated[Argument, READ, "window"]
    taper: Annotated[int, WEIGHTS, "window"]
    shortest: Annotated[int, COUNT]
    longest: Annotated[int, COUNT]
    past: Annotated[Argument, STATE, "longest + window - hop"]
    work: Annotated[Argument, WORK, "2 * longest + 2 * window"]
    out: Annotated[Argument, WRITTEN, "window"]

    rules = ("shortest <= longest",)
    cost = "longest * window + 8 * window"


@dataclass(frozen=True, kw_only=True)
class Comb(Operation):
    """Add to each band of a spectrum what the one a period earlier tells of it, as far as the band's gain wants it."""

    x: Annotated[Argument, READ, "2 * bins"]
    earlier: Annotated[Argument, READ, "2 * bins"]
    gains: Annotated[Argument, READ, "bands"]
    bins: Annotated[int, COUNT]
    bands: Annotated[int, COUNT]
    shares: Annotated[int, WEIGHTS, "bins * bands"]
    work: Annotated[Argument, WORK, "4 * bands"]
    out: Annotated[Argument, WRITTEN, "2 * bins"]

    cost = "8 * bins * bands"


ROWS: tuple[type[Operation], ...] = (
    *(
        Cut,
        Transform,
        Restore,
        Join,
        Magnitude,
        Mask,
        Multiply,
        Log,
        Normalise,
        Sigmoid,
        Tanh,
        Relu6,
        Lstm,
        Gru,
        Speech,
        Delay,
        Comb,
    ),
)
OPERATIONS: tuple[type[Operation], ...] = (*HOP, *ROWS, Later)
"""All operations of frcrn.c; the place of each is its number in a model file."""
