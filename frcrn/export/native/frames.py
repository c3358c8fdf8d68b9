"""FRCRN's layers over many frames at once, for networks that look ahead; the operations are those of `whole.c`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from frcrn.export.native.layers import Image, LayerWriter
from frcrn.export.native.packing import gates_of, hidden_of
from frcrn.export.native.program import SLACK, Argument, Buffer, Program, View
from frcrn.export.weights import Memory, memory_of, memory_of_bins, memory_of_frames
from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.fsmn import BinFsmn, FrequencyFsmn, TimeFsmn


class Kind(IntEnum):
    """What an operation does; the order is that of `whole.c`."""

    CONVOLVE = 0
    ALONG_BINS = 1
    IN_BINS = 2
    ALONG_TIME = 3
    MEMORY = 4
    GATE = 5
    SUM = 6
    COPY = 7


class Operation(NamedTuple):
    """An operation, for so many more frames than the spectrum has, and the scratch that each thread needs for it."""

    kind: Kind
    arguments: tuple[Argument, ...]
    more: int
    scratch: int


def numbers(x: Argument) -> tuple[Argument, int, int]:
    """Return the three numbers of an image: where it begins for one frame, what comes before it, a frame's length."""
    if isinstance(x, View):
        return x.buffer, x.start, x.buffer.size
    assert isinstance(x, Buffer)
    return x, 0, x.size


class FramesWriter(LayerWriter):
    """Lists operations; all of a network's images are there at once."""

    def __init__(self) -> None:
        super().__init__(Program())
        self.found: list[Operation] = []
        self.most = 0
        self.zeros = -1

    def append(self, kind: Kind, *arguments: Argument, scratch: int = 0) -> None:
        """Append an operation."""
        self.found.append(Operation(kind, arguments, self.more, scratch))

    def silence(self, size: int) -> None:
        """Keep what stands for frames before the first and after the last: zeros, as many as the largest image has."""
        self.zeros = self.program.weight(np.zeros(size, np.float32))

    def heard(self, images: Sequence[Image], frames: int, up: bool) -> list[list[Image]]:
        """Return each image as often as a kernel has frames; steps down add frames, steps up take them away."""
        self.more += (1 - frames) if up else frames - 1
        self.most = max(self.most, self.more)
        first = 0 if up else 1 - frames
        return [[x._replace(shift=first + age) for age in range(frames)] for x in images]

    def remember(self, heard: Sequence[Sequence[Image]]) -> None:
        """Nothing is kept from one wave to the next."""

    def convolved(self, size: tuple[int, int], how: tuple[int, ...], images: Sequence[Image], out: Argument) -> None:
        """Append a convolution."""
        given = [number for x in images for number in (*numbers(x.buffer), x.channels, x.shift, x.more)]
        self.append(Kind.CONVOLVE, *numbers(out), *size, self.more, *how, self.zeros, len(images), *given)

    def projected(self, kind: Kind, x: Image, out: Argument, memory: Memory, order: int, *taps: int) -> None:
        """Append what begins with f and g of an image before their memories."""
        (f, _, pack), (g, _, _) = (self.matrix(part.project, None) for part in (memory.f, memory.g))
        self.append(
            kind,
            *(*numbers(x.buffer), *numbers(out), x.bins, x.channels, memory.hidden, order),
            *(*self.matrix(*memory.linear), f, g, pack, *taps),
            scratch=2 * x.size + 4 * x.bins * memory.hidden + 4 * SLACK,
        )

    def along_frequency(self, layer: FrequencyFsmn, x: Image) -> Image:
        """Memory along frequency."""
        memory, out = memory_of(layer), self.image(x.channels, x.bins)
        self.projected(Kind.ALONG_BINS, x, out.buffer, memory, memory.order, *self.taps(memory))
        return out

    def in_bins(self, layer: BinFsmn, x: Image) -> Image:
        """Memory along time in each bin."""
        memory, found = memory_of_bins(layer), Buffer(x.size)
        self.projected(Kind.IN_BINS, x, found, memory, 0)
        return self.remembered(x, found, memory.order, self.program.weight(memory.taps_f), -1)

    def along_time(self, layer: TimeFsmn, x: Image) -> Image:
        """Memory along time over all channels and bins of a frame."""
        memory, found = memory_of_frames(layer, x.channels, x.bins), Buffer(4 * layer.features)
        self.projected(Kind.ALONG_TIME, x, found, memory, 0)
        return self.remembered(x, found, memory.order, *self.taps(memory))

    def remembered(self, x: Image, found: Buffer, order: int, of_f: int, of_g: int) -> Image:
        """An image and a weighted sum of what was found in frames up to this one."""
        out = self.image(x.channels, x.bins)
        self.append(
            Kind.MEMORY,
            *(*numbers(x.buffer), *numbers(found), *numbers(out.buffer), x.bins, x.channels, order, of_f, of_g),
        )
        return out

    def weigh(self, layer: ComplexSE, x: Image) -> Image:
        """Weigh the channels of an image by what their means over the whole wave say."""
        out = self.image(x.channels, x.bins)
        self.append(
            Kind.GATE,
            *(*numbers(x.buffer), *numbers(out.buffer), x.bins, x.channels),
            *(hidden_of(layer), self.program.weight(gates_of(layer))),
            scratch=8 * x.channels + SLACK,
        )
        return out

    def sum(self, x: Image, y: Image) -> Image:
        """Two images, added."""
        out = self.image(x.channels, x.bins)
        self.append(Kind.SUM, *numbers(x.buffer), *numbers(y.buffer), *numbers(out.buffer), x.size)
        return out

    def copy(self, x: Argument, out: Argument, rows: int, count: int, row: int = 0, row_out: int = 0) -> None:
        """Copy rows of values, `row` and `row_out` from one to the next."""
        self.append(Kind.COPY, *numbers(x), *numbers(out), rows, count, row, row_out)
