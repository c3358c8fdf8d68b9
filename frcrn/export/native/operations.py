"""The operations that C knows: one table, of which C's structures, Python's packing and the format's page are made.

An operation is a class, and its fields in their order are its arguments. Each is annotated with what kind of number it
is and, where it stands for values, how many: an expression in other arguments and in the model's `window` and `hop`.
`padded(n, pack)` is n rounded up to whole packs, or n where `pack` is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints


class Kind(Enum):
    """What a number in a program is, and what a reader has to check of it."""

    READ = "values that are read: from 0 on in scratch, from -1 on downward in the state"
    WRITTEN = "values that are written: from 0 on in scratch, from -1 on downward in the state"
    WORK = "room in scratch for values in between"
    PLACE = "values in memory, read or written"
    STATE = "values of the state, kept from hop to hop"
    RING = "values of the state: frames that take turns, the newest in place of the oldest"
    WEIGHTS = "weights, by the number of the first"
    OPTIONAL = "weights, or -1 for none"
    COUNT = "a number, 1 or more"
    NUMBER = "a number, 0 or more"
    OFFSET = "a number of either sign"
    FLAG = "0 or 1"
    ACTIVATION = "0 for none, 1 for leaky, 2 for rectified"


READ, WRITTEN, WORK, PLACE = Kind.READ, Kind.WRITTEN, Kind.WORK, Kind.PLACE
STATE, RING, WEIGHTS, OPTIONAL = Kind.STATE, Kind.RING, Kind.WEIGHTS, Kind.OPTIONAL
COUNT, NUMBER, OFFSET, FLAG, ACTIVATION = Kind.COUNT, Kind.NUMBER, Kind.OFFSET, Kind.FLAG, Kind.ACTIVATION


@dataclass(eq=False)
class Buffer:
    """Room for values that live from the first operation that names it to the last."""

    size: int


class View(NamedTuple):
    """A buffer from some value on."""

    buffer: Buffer
    start: int


Argument = int | Buffer | View


class Field(NamedTuple):
    """One argument of an operation, or a structure of several, or any number of those."""

    name: str
    kind: Kind | None
    size: str
    structure: type[Struct] | None = None
    many: bool = False


@dataclass(frozen=True, kw_only=True)
class Struct:
    """Arguments that belong together."""

    @classmethod
    @cache
    def fields(cls) -> tuple[Field, ...]:
        """Return the arguments in their order."""
        hints = get_type_hints(cls, include_extras=True)
        return tuple(field_of(each.name, hints[each.name]) for each in fields(cls))

    def arguments(self) -> Iterator[Argument]:
        """Return all arguments, those of structures in their places."""
        for field in self.fields():
            value: Any = getattr(self, field.name)
            if field.structure is None:
                yield value
            else:
                for part in value if field.many else (value,):
                    yield from part.arguments()


def field_of(name: str, hint: Any) -> Field:
    """Return what an annotation says of a field."""
    if get_origin(hint) is Annotated:
        _, kind, *size = get_args(hint)
        return Field(name, kind, size[0] if size else "")
    if get_origin(hint) is tuple:
        return Field(name, None, "", get_args(hint)[0], many=True)
    return Field(name, None, "", hint)


class Operation(Struct):
    """What is done at one place of a program."""


# -- a hop at a time, in frcrn.c


@dataclass(frozen=True, kw_only=True)
class Analyse(Operation):
    """Window a hop and the samples before it, and transform them to their spectrum [bins][2]."""

    past: Annotated[Argument, STATE, "window - hop"]
    spectrum: Annotated[Argument, WRITTEN, "window + 2"]
    work: Annotated[Argument, WORK, "2 * window + 2"]
    taper: Annotated[int, WEIGHTS, "window"]
    turns: Annotated[int, WEIGHTS, "window + 2"]
    halves: Annotated[int, WEIGHTS, "2 * window + 2"]


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


@dataclass(frozen=True, kw_only=True)
class Add(Operation):
    """Add values."""

    x: Annotated[Argument, READ, "count"]
    y: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    out: Annotated[Argument, WRITTEN, "count"]


@dataclass(frozen=True, kw_only=True)
class Copy(Operation):
    """Copy rows of values, `row` and `row_out` from one to the next."""

    x: Annotated[Argument, READ, "(rows - 1) * row + count"]
    row: Annotated[int, NUMBER]
    out: Annotated[Argument, WRITTEN, "(rows - 1) * row_out + count"]
    row_out: Annotated[int, NUMBER]
    rows: Annotated[int, COUNT]
    count: Annotated[int, COUNT]


@dataclass(frozen=True, kw_only=True)
class Bound(Operation):
    """Bound a stage's mask by tanh; a further one is added to what is there."""

    x: Annotated[Argument, READ, "count"]
    count: Annotated[int, COUNT]
    bound: Annotated[int, WEIGHTS, "1"]
    further: Annotated[int, NUMBER]
    out: Annotated[Argument, WRITTEN, "count"]


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


HOP: tuple[type[Operation], ...] = (
    *(Analyse, Features, Convolve, Product, AlongBins, InBins, AlongTime, Gate, Add, Copy, Bound, Apply),
)
"""The operations of frcrn.c; the place of each is its number in a model file."""
