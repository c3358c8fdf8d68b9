"""FRCRN's layers over many frames at once, for networks that look ahead; the operations are those of `whole.c`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from frcrn.export.graph import array
from frcrn.export.native.layers import Convolution, Image, LayerWriter
from frcrn.export.native.packing import gates_of, hidden_of
from frcrn.export.native.program import SLACK, Argument, Array, Buffer, Program, View
from frcrn.export.weights import Fsmn
from frcrn.layers.attention import ComplexSE
from frcrn.layers.fsmn import BinFsmn, FrequencyFsmn, TimeFsmn


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


def image(x: Argument) -> tuple[Argument, int, int]:
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

    def remember(self, heard: Sequence[Sequence[Image]], count: int) -> None:
        """Nothing is kept from one wave to the next."""

    def convolve(
        self,
        kernel: Convolution,
        heard: Sequence[Sequence[Image]],
        out: Argument,
        row: int,
        total: int,
        activation: int,
    ) -> None:
        """One convolution of all images and the frames beside them."""
        images = [x for ages in heard for x in ages]
        self.append(
            Kind.CONVOLVE,
            *(*image(out), row, total, self.more, *self.kept(kernel, images[0].bins, activation), self.zeros),
            len(images),
            *(number for x in images for number in (*image(x.buffer), x.channels, x.shift, x.more)),
        )

    def projected(self, kind: Kind, x: Image, out: Buffer, of_f: Sequence[Array], of_g: Sequence[Array]) -> None:
        """F and g of an image before their memories: linear, its bias and projection of each."""
        self.append(
            kind,
            *image(x.buffer),
            *image(out),
            *self.sizes(x, of_f),
            0,
            *self.matrices(of_f, of_g),
            scratch=self.scratch(x, of_f),
        )

    def matrices(self, of_f: Sequence[Array], of_g: Sequence[Array]) -> list[int]:
        """Keep the matrices of f and g."""
        (in_f, bias_f, out_f), (in_g, bias_g, out_g) = of_f, of_g
        (f, _, pack), (g, _, _) = self.matrix(out_f, None), self.matrix(out_g, None)
        return [*self.matrix(np.concatenate([in_f, in_g]), np.concatenate([bias_f, bias_g])), f, g, pack]

    def sizes(self, x: Image, of_f: Sequence[Array]) -> tuple[int, int, int]:
        """Bins, channels and hidden features."""
        return x.bins, x.channels, len(of_f[0])

    def scratch(self, x: Image, of_f: Sequence[Array]) -> int:
        """Return what f, g and what is hidden take for one frame."""
        return 2 * x.size + 4 * x.bins * len(of_f[0]) + 4 * SLACK

    def along_frequency(self, layer: FrequencyFsmn, x: Image) -> Image:
        """Memory along frequency."""
        w, out = Fsmn(layer), self.image(x.channels, x.bins)
        of_f, of_g = (w.linear_f, w.bias_f, w.project_f), (w.linear_g, w.bias_g, w.project_g)
        self.append(
            Kind.ALONG_BINS,
            *(*image(x.buffer), *image(out.buffer), *self.sizes(x, of_f), w.taps_f.shape[1]),
            *(*self.matrices(of_f, of_g), self.program.weight(w.taps_f.T), self.program.weight(w.taps_g.T)),
            scratch=self.scratch(x, of_f),
        )
        return out

    def in_bins(self, layer: BinFsmn, x: Image) -> Image:
        """Memory along time in each bin."""
        weight, bias, _, taps = (array(value) for value in layer.weights())
        (in_f, in_g), (bias_f, bias_g) = np.split(weight, 2), np.split(bias, 2)
        found, out = Buffer(x.size), self.image(x.channels, x.bins)
        of_f, of_g = (in_f, bias_f, array(layer.re.project.weight)), (in_g, bias_g, array(layer.im.project.weight))
        self.projected(Kind.IN_BINS, x, found, of_f, of_g)
        self.append(
            Kind.MEMORY,
            *(*image(x.buffer), *image(found), *image(out.buffer), x.bins, x.channels, taps.shape[2]),
            *(self.program.weight(taps[:, 0, :, 0].T), -1),
        )
        return out

    def along_time(self, layer: TimeFsmn, x: Image) -> Image:
        """Memory along time over all channels and bins of a frame; here bins come before channels."""
        w, features = Fsmn(layer), layer.features
        order = np.arange(features).reshape(x.channels, x.bins).T.ravel()
        found, out = Buffer(4 * features), self.image(x.channels, x.bins)
        of_f, of_g = (
            (w.linear_f[:, order], w.bias_f, w.project_f[order]),
            (w.linear_g[:, order], w.bias_g, w.project_g[order]),
        )
        self.projected(Kind.ALONG_TIME, x, found, of_f, of_g)
        self.append(
            Kind.MEMORY,
            *(*image(x.buffer), *image(found), *image(out.buffer), x.bins, x.channels, w.taps_f.shape[1]),
            *(self.program.weight(taps[order].T) for taps in (w.taps_f, w.taps_g)),
        )
        return out

    def weigh(self, layer: ComplexSE, x: Image) -> Image:
        """Weigh the channels of an image by what their means over the whole wave say."""
        out = self.image(x.channels, x.bins)
        self.append(
            Kind.GATE,
            *(*image(x.buffer), *image(out.buffer), x.bins, x.channels),
            *(hidden_of(layer), self.program.weight(gates_of(layer))),
            scratch=8 * x.channels + SLACK,
        )
        return out

    def sum(self, x: Image, y: Image) -> Image:
        """Two images, added."""
        out = self.image(x.channels, x.bins)
        self.append(Kind.SUM, *image(x.buffer), *image(y.buffer), *image(out.buffer), x.size)
        return out

    def copy(self, x: Argument, out: Argument, rows: int, count: int, row: int = 0, row_out: int = 0) -> None:
        """Copy rows of values, `row` and `row_out` from one to the next."""
        self.append(Kind.COPY, *image(x), *image(out), rows, count, row, row_out)
