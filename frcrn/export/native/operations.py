"""The operations that C knows: one table, of which C's structures and checks, Python's packing and a page are made.

An operation is a class, and its fields in their order are its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from frcrn.export.native.structs import (
    ACTIVATION,
    COUNT,
    FLAG,
    NUMBER,
    OPTIONAL,
    READ,
    RING,
    STATE,
    WEIGHTS,
    WORK,
    WRITTEN,
    Argument,
    Operation,
    Struct,
)


@dataclass(frozen=True, kw_only=True)
class Analyse(Operation):
    """Window a hop and the samples before it, and transform them to their spectrum [bins][2]."""

    past: Annotated[Argument, STATE, "window - hop"]
    spectrum: Annotated[Argument, WRITTEN, "window + 2"]
    work: Annotated[Argument, WORK, "2 * window + 2"]
    taper: Annotated[int, WEIGHTS, "window"]
    turns: Annotated[int, WEIGHTS, "window + 2"]
    halves: Annotated[int, WEIGHTS, "2 * window + 2"]

    cost = "2048 * window"


@dataclass(frozen=True, kw_only=True)
class Features(Operation):
    """Compress a spectrum, put its magnitude beside it, and gather bins in bands.

    The shares of each band: its first bin, how many bins, and a weight for each of them, so three numbers or more.
    """

    spectrum: Annotated[Argument, READ, "2 * bins"]
    out: Annotated[Argument, WRITTEN, "(2 + 2 * magnitude) * bands"]
    work: Annotated[Argument, WORK, "(2 + 2 * magnitude) * bins"]
    bins: Annotated[int, COUNT]
    bands: Annotated[int, COUNT]
    compress: Annotated[int, WEIGHTS, "1"]
    magnitude: Annotated[int, FLAG]
    shares: Annotated[int, OPTIONAL, "3 * bands"]

    rules = ("2 * bins <= window + 2", "shares >= 0 or bands <= bins")
    cost = "(4 + 4 * magnitude) * (bands + 16) * bins"


@dataclass(frozen=True, kw_only=True)
class Operand(Struct):
    """One image of a convolution, or one of its earlier frames."""

    x: Annotated[Argument, READ, "2 * channels * bins"]
    channels: Annotated[int, COUNT]


@dataclass(frozen=True, kw_only=True)
class Convolve(Operation):
    """Convolve images along bins, scale and shift the sum; `channels` are those of all images together."""

    out: Annotated[Argument, WRITTEN, "(total - 1) * row + 2 * outputs"]
    row: Annotated[int, COUNT]
    total: Annotated[int, COUNT]
    outputs: Annotated[int, COUNT]
    group: Annotated[int, COUNT]
    pack: Annotated[int, NUMBER]
    activation: Annotated[int, ACTIVATION]
    bins: Annotated[int, COUNT]
    taps: Annotated[int, COUNT]
    stride: Annotated[int, COUNT]
    pad: Annotated[int, NUMBER]
    weights: Annotated[int, WEIGHTS, "(1 + (pack == 0)) * padded(outputs, pack) * 2 * channels * taps"]
    scale: Annotated[int, WEIGHTS, "2 * padded(outputs, pack)"]
    bias: Annotated[int, WEIGHTS, "2 * padded(outputs, pack)"]
    count: Annotated[int, COUNT]
    images: tuple[Operand, ...]

    rules = (
        *("pack == 0 or pack == 16 or pack == 32", "outputs % group == 0", "row >= 2 * outputs"),
        *("pad < taps", "(total - 1) * stride <= bins + pad", "stride <= bins + taps", "count <= 16"),
    )
    cost = "4 * total * padded(outputs, pack) * channels * taps"


@dataclass(frozen=True, kw_only=True)
class Product(Operation):
    """Multiply rows by a matrix."""

    x: Annotated[Argument, READ, "(rows - 1) * stride + inputs"]
    rows: Annotated[int, COUNT]
    inputs: Annotated[int, COUNT]
    stride: Annotated[int, COUNT]
    weights: Annotated[int, WEIGHTS, "padded(outputs, pack) * inputs"]
    bias: Annotated[int, OPTIONAL, "padded(outputs, pack)"]
    outputs: Annotated[int, COUNT]
    pack: Annotated[int, COUNT]
    activation: Annotated[int, ACTIVATION]
    out: Annotated[Argument, WRITTEN, "(rows - 1) * row + outputs"]
    row: Annotated[int, COUNT]

    rules = ("pack == 16 or pack == 32 or pack == 64", "row >= outputs")
    cost = "rows * padded(outputs, pack) * inputs"


@dataclass(frozen=True, kw_only=True)
class AlongBins(Operation):
    """Remember along bins, from low to high: f and g of x, by their taps."""

    x: Annotated[Argument, READ, "2 * channels * bins"]
    f: Annotated[Argument, READ, "2 * channels * bins"]
    g: Annotated[Argument, READ, "2 * channels * bins"]
    taps_f: Annotated[int, WEIGHTS, "order * channels"]
    taps_g: Annotated[int, WEIGHTS, "order * channels"]
    order: Annotated[int, COUNT]
    bins: Annotated[int, COUNT]
    channels: Annotated[int, COUNT]
    out: Annotated[Argument, WRITTEN, "2 * channels * bins"]

    cost = "4 * order * channels * bins"


@dataclass(frozen=True, kw_only=True)
class InBins(Operation):
    """Remember along time in each bin by itself."""

    x: Annotated[Argument, READ, "2 * channels * bins"]
    f: Annotated[Argument, READ, "2 * channels * bins"]
    g: Annotated[Argument, READ, "2 * channels * bins"]
    taps: Annotated[int, WEIGHTS, "order * 2 * channels"]
    order: Annotated[int, COUNT]
    bins: Annotated[int, COUNT]
    channels: Annotated[int, COUNT]
    past: Annotated[Argument, RING, "(order - 1) * 2 * channels * bins"]
    work: Annotated[Argument, WORK, "2 * channels * bins"]
    out: Annotated[Argument, WRITTEN, "2 * channels * bins"]

    cost = "2 * order * channels * bins"


@dataclass(frozen=True, kw_only=True)
class AlongTime(Operation):
    """Remember along time over all features of a frame; the ring holds f(re), f(im), g(re), g(im)."""

    x: Annotated[Argument, READ, "2 * features"]
    f: Annotated[Argument, READ, "2 * features"]
    g: Annotated[Argument, READ, "2 * features"]
    taps_f: Annotated[int, WEIGHTS, "order * features"]
    taps_g: Annotated[int, WEIGHTS, "order * features"]
    order: Annotated[int, COUNT]
    features: Annotated[int, COUNT]
    past: Annotated[Argument, RING, "(order - 1) * 4 * features"]
    out: Annotated[Argument, WRITTEN, "2 * features"]

    cost = "4 * order * features"


@dataclass(frozen=True, kw_only=True)
class Gate(Operation):
    """Weigh channels by what their means over bins and frames say."""

    x: Annotated[Argument, READ, "2 * channels * bins"]
    bins: Annotated[int, COUNT]
    channels: Annotated[int, COUNT]
    hidden: Annotated[int, COUNT]
    frames: Annotated[int, NUMBER]
    taps: Annotated[int, WEIGHTS, "(frames + 1) * 2 * channels"]
    gates: Annotated[int, WEIGHTS, "2 * (2 * hidden * channels + hidden + channels)"]
    past: Annotated[Argument, RING, "frames * 2 * channels"]
    work: Annotated[Argument, WORK, "8 * channels"]
    out: Annotated[Argument, WRITTEN, "2 * channels * bins"]

    cost = "2 * channels * (bins + frames + 4 * hidden)"


@dataclass(frozen=True, kw_only=True)
class Add(Operation):
    """Add values."""

    x: Annotated[Argument, READ, "count"]
    y: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    out: Annotated[Argument, WRITTEN, "count"]

    cost = "count"


@dataclass(frozen=True, kw_only=True)
class Copy(Operation):
    """Copy rows of values, `row` and `row_out` from one to the next."""

    x: Annotated[Argument, READ, "(rows - 1) * row + count"]
    row: Annotated[int, NUMBER]
    out: Annotated[Argument, WRITTEN, "(rows - 1) * row_out + count"]
    row_out: Annotated[int, NUMBER]
    rows: Annotated[int, COUNT]
    count: Annotated[int, COUNT]

    rules = ("rows == 1 or row >= count", "rows == 1 or row_out >= count")
    cost = "rows * count"


@dataclass(frozen=True, kw_only=True)
class Bound(Operation):
    """Bound a stage's mask by tanh; a further one is added to what is there."""

    x: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    bound: Annotated[int, WEIGHTS, "1"]
    further: Annotated[int, NUMBER]
    out: Annotated[Argument, WRITTEN, "count"]

    cost = "16 * count"


@dataclass(frozen=True, kw_only=True)
class Apply(Operation):
    """Multiply a spectrum by a mask, transform it back, and add it to what earlier frames left.

    The shares of each bin: the lower of the two bands that stand for it, and a weight for each of them.
    """

    spectrum: Annotated[Argument, READ, "window + 2"]
    mask: Annotated[Argument, READ, "2 * bands"]
    work: Annotated[Argument, WORK, "2 * window + 2"]
    past: Annotated[Argument, STATE, "window - hop"]
    taper: Annotated[int, WEIGHTS, "window"]
    gain: Annotated[int, WEIGHTS, "hop"]
    turns: Annotated[int, WEIGHTS, "window + 2"]
    halves: Annotated[int, WEIGHTS, "2 * window + 2"]
    bands: Annotated[int, COUNT]
    shares: Annotated[int, OPTIONAL, "3 * (window + 2) / 2"]

    rules = ("2 * bands <= window + 2", "shares < 0 or bands >= 2")
    cost = "2048 * window"


@dataclass(frozen=True, kw_only=True)
class Later(Operation):
    """Hold values back for some frames."""

    x: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    frames: Annotated[int, COUNT]
    past: Annotated[Argument, RING, "frames * count"]
    out: Annotated[Argument, WRITTEN, "count"]

    cost = "count"


HOP: tuple[type[Operation], ...] = (
    *(Analyse, Features, Convolve, Product, AlongBins, InBins, AlongTime, Gate, Add, Copy, Bound, Apply),
)
"""The operations of frcrn.c; the place of each is its number in a model file."""
