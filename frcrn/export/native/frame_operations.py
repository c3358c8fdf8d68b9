"""The operations over many frames at once, of whole.c: the same kind of table as for single hops.

Images lie one after the other in memory for as many frames as the longest has; sizes here are those of one frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from frcrn.export.native.structs import (
    ACTIVATION,
    COUNT,
    NUMBER,
    OFFSET,
    OPTIONAL,
    PLACE,
    WEIGHTS,
    Argument,
    Operation,
    Struct,
)


@dataclass(frozen=True, kw_only=True)
class Region(Struct):
    """Where the frames of an image lie."""

    at: Annotated[Argument, PLACE]
    """Where it would begin if there were one frame only."""
    before: Annotated[int, NUMBER]
    """What of each frame comes before it."""
    length: Annotated[int, COUNT]
    """Values from one frame to the next."""


@dataclass(frozen=True, kw_only=True)
class Operand(Struct):
    """One image of a convolution: so many frames away, with so many more frames than the spectrum."""

    x: Region
    channels: Annotated[int, COUNT]
    shift: Annotated[int, OFFSET]
    more: Annotated[int, NUMBER]


@dataclass(frozen=True, kw_only=True)
class Projections(Struct):
    """F and g before a memory: the linear layers of both as one, and the projection of each."""

    linear: Annotated[int, WEIGHTS, "padded(2 * hidden, linear_pack) * features"]
    bias: Annotated[int, WEIGHTS, "padded(2 * hidden, linear_pack)"]
    linear_pack: Annotated[int, COUNT]
    f: Annotated[int, WEIGHTS, "padded(features, pack) * hidden"]
    g: Annotated[int, WEIGHTS, "padded(features, pack) * hidden"]
    pack: Annotated[int, COUNT]


@dataclass(frozen=True, kw_only=True)
class Convolve(Operation):
    """Convolve images along bins, scale and shift the sum; frames that are not there are silent."""

    out: Region
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


@dataclass(frozen=True, kw_only=True)
class Projected(Operation):
    """What begins with f and g of an image."""

    x: Region
    out: Region
    bins: Annotated[int, COUNT]
    channels: Annotated[int, COUNT]
    hidden: Annotated[int, COUNT]
    by: Projections


@dataclass(frozen=True, kw_only=True)
class AlongBins(Projected):
    """Remember along bins, from low to high."""

    order: Annotated[int, COUNT]
    taps_f: Annotated[int, WEIGHTS, "order * channels"]
    taps_g: Annotated[int, WEIGHTS, "order * channels"]


@dataclass(frozen=True, kw_only=True)
class InBins(Projected):
    """Find what a memory in each bin remembers: [bins][2 channels]."""


@dataclass(frozen=True, kw_only=True)
class AlongTime(Projected):
    """Find what a memory over all bins remembers: f(re), f(im), g(re), g(im) of all bins."""


@dataclass(frozen=True, kw_only=True)
class Remember(Operation):
    """Add to x a weighted sum of what was found in frames up to this one; with one row of taps, as in each bin."""

    x: Region
    found: Region
    out: Region
    bins: Annotated[int, COUNT]
    channels: Annotated[int, COUNT]
    order: Annotated[int, COUNT]
    taps_f: Annotated[int, WEIGHTS]
    taps_g: Annotated[int, OPTIONAL]


@dataclass(frozen=True, kw_only=True)
class Gate(Operation):
    """Weigh channels by what their means over all frames say: first for the sums of these frames, then with all."""

    x: Region
    out: Region
    bins: Annotated[int, COUNT]
    channels: Annotated[int, COUNT]
    hidden: Annotated[int, COUNT]
    gates: Annotated[int, WEIGHTS, "2 * (2 * hidden * channels + hidden + channels)"]


@dataclass(frozen=True, kw_only=True)
class Add(Operation):
    """Add values."""

    x: Region
    y: Region
    out: Region
    count: Annotated[int, COUNT]


@dataclass(frozen=True, kw_only=True)
class Copy(Operation):
    """Copy rows of values, `row` and `row_out` from one to the next."""

    x: Region
    out: Region
    rows: Annotated[int, COUNT]
    count: Annotated[int, COUNT]
    row: Annotated[int, NUMBER]
    row_out: Annotated[int, NUMBER]


FRAMES: tuple[type[Operation], ...] = (Convolve, AlongBins, InBins, AlongTime, Remember, Gate, Add, Copy)
"""The operations of whole.c; the place of each is its number."""
