"""A network's layers over many frames at once, where it looks ahead; the operations are those of `whole.c`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from frcrn.export.native.convolutions import Ages, Image, Kept
from frcrn.export.native.frame_operations import (
    Add,
    AlongBins,
    AlongTime,
    Convolve,
    Copy,
    Gate,
    InBins,
    Operand,
    Projections,
    Region,
    Remember,
)
from frcrn.export.native.layers import LayerWriter, both_linear, of_both
from frcrn.export.native.packing import bins_first, gates_of
from frcrn.export.native.program import SLACK, Program
from frcrn.export.native.structs import Argument, Buffer, Operation, View
from frcrn.models.layers.specs import Array, AttentionSpec, MemorySpec


class Work(NamedTuple):
    """An operation, for so many more frames than the spectrum has, and the scratch that each thread needs for it."""

    operation: Operation
    more: int
    scratch: int


def region(x: Image) -> Region:
    """Return where the frames of an image lie."""
    if isinstance(x.buffer, View):
        return Region(at=x.buffer.buffer, before=x.buffer.start, length=x.buffer.buffer.size)
    assert isinstance(x.buffer, Buffer)
    return Region(at=x.buffer, before=0, length=x.buffer.size)


class FramesWriter(LayerWriter):
    """Lists operations; all of a network's images are there at once."""

    def __init__(self) -> None:
        super().__init__(Program())
        self.found: list[Work] = []
        self.most = 0
        """How many more frames the longest image has than the spectrum."""
        self.widest = 0
        """How many values a frame of the largest image has that a convolution looks at."""

    def append(self, operation: Operation, out: Image, scratch: int = 0) -> None:
        """Append an operation."""
        self.found.append(Work(operation, out.more, scratch))

    def held(self, x: Argument, count: int, frames: int) -> Argument:
        """Refuse to hold values back: all frames are there at once."""
        if frames:
            raise ValueError("a network of whole waves does not answer later")
        return x

    def ages(self, images: Sequence[Image], frames: int, *, up: bool) -> tuple[Ages, int]:
        """Return each image once for each frame of a kernel, and how many more frames than the spectrum come of it.

        Steps down add frames, steps up take them away.
        """
        first, more = (0, 1 - frames) if up else (1 - frames, frames - 1)
        return [[x._replace(shift=first + age) for age in range(frames)] for x in images], images[0].more + more

    def keep(self, ages: Ages) -> None:
        """Nothing is kept from one wave to the next."""

    def convolved(self, out: Image, row: int, total: int, how: Kept, images: Sequence[Image]) -> None:
        """Append a convolution of `total` bins."""
        self.most = max(self.most, out.more, *(x.more for x in images))
        self.widest = max(self.widest, *(x.size for x in images))
        operands = tuple(Operand(x=region(x), channels=x.channels, shift=x.shift, more=x.more) for x in images)
        place, count = region(out), len(images)
        self.append(Convolve(out=place, row=row, total=total, **how._asdict(), count=count, images=operands), out)

    def by(self, spec: MemorySpec) -> Projections:
        """Keep what finds f and g of an image before their memories."""
        (f, _, pack), (g, _, _) = (self.matrix(part.project, None) for part in (spec.f, spec.g))
        linear, bias, linear_pack = self.matrix(*both_linear(spec))
        return Projections(linear=linear, bias=bias, linear_pack=linear_pack, f=f, g=g, pack=pack)

    def along_frequency(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along frequency."""
        out = self.image(x.channels, x.bins, x.more)
        by, (taps_f, taps_g) = self.by(spec), self.taps(spec.taps_f, spec.taps_g)
        operation = AlongBins(
            x=region(x),
            out=region(out),
            bins=x.bins,
            channels=x.channels,
            hidden=spec.hidden,
            by=by,
            order=spec.order,
            taps_f=taps_f,
            taps_g=taps_g,
        )
        self.append(operation, out, scratch_of(x, spec))
        return out

    def in_bins(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time in each bin."""
        return self.remembered(InBins, spec, x, Buffer(x.size), of_both(spec))

    def along_time(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time over all channels and bins of a frame."""
        memory = bins_first(spec, x.channels, x.bins)
        return self.remembered(AlongTime, memory, x, Buffer(4 * spec.features), memory.taps_f, memory.taps_g)

    def remembered(
        self, kind: type[InBins | AlongTime], spec: MemorySpec, x: Image, room: Buffer, *taps: Array
    ) -> Image:
        """An image and a weighted sum of what is found in frames up to this one."""
        out, found = self.image(x.channels, x.bins, x.more), Image(room, x.channels, x.bins, x.more)
        by, bins, channels = self.by(spec), x.bins, x.channels
        operation = kind(x=region(x), out=region(found), bins=bins, channels=channels, hidden=spec.hidden, by=by)
        self.append(operation, found, scratch_of(x, spec))
        taps_f, taps_g = (*self.taps(*taps), -1)[:2]
        remember = Remember(
            x=region(x),
            found=region(found),
            out=region(out),
            bins=bins,
            channels=channels,
            order=spec.order,
            taps_f=taps_f,
            taps_g=taps_g,
        )
        self.append(remember, out)
        return out

    def weigh(self, name: str, spec: AttentionSpec, x: Image) -> Image:
        """Weigh the channels of an image by what their means over the whole wave say."""
        out = self.image(x.channels, x.bins, x.more)
        operation = Gate(
            x=region(x),
            out=region(out),
            bins=x.bins,
            channels=x.channels,
            hidden=len(spec.re.bias),
            gates=self.program.weight(gates_of(spec)),
        )
        self.append(operation, out, 8 * x.channels + SLACK)
        return out

    def sum(self, x: Image, y: Image) -> Image:
        """Two images, added."""
        out = self.image(x.channels, x.bins, x.more)
        self.append(Add(x=region(x), y=region(y), out=region(out), count=x.size), out)
        return out

    def copy(self, x: Image, out: Image, rows: int, count: int, row: int = 0, row_out: int = 0) -> None:
        """Copy rows of values, `row` and `row_out` from one to the next."""
        self.append(Copy(x=region(x), out=region(out), rows=rows, count=count, row=row, row_out=row_out), out)


def scratch_of(x: Image, spec: MemorySpec) -> int:
    """Return how many values a thread needs for f and g of an image."""
    return 2 * x.size + 4 * x.bins * spec.hidden + 4 * SLACK
