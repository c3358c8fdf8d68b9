"""FRCRN's layers as operations of a program. An image is [bins, 2 channels], real channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from frcrn.export.native.packing import (
    PACK,
    by_image,
    complex_packed,
    few,
    gates_of,
    halves,
    hidden_of,
    pack_of,
    per_pack,
)
from frcrn.export.native.program import Argument, Buffer, Kind, Program, after
from frcrn.export.weights import Array, Memory, array, memory_of, memory_of_bins, memory_of_frames, positions
from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.complex import ComplexConvTranspose2d
from frcrn.models.layers.fsmn import BinFsmn, FrequencyFsmn, TimeFsmn
from frcrn.models.layers.unet import Block

PLAIN, LEAKY, RELU = range(3)
MOST_IMAGES = 16  # that a convolution may look at, as in `kernels.h`
FEW = 8  # complex outputs, below which a scalar product for each costs less than a vector of them


class Image(NamedTuple):
    """A value [bins, 2 channels]; where there are many frames, so many more than of the spectrum, and `shift` away."""

    buffer: Argument
    channels: int
    bins: int
    more: int = 0
    shift: int = 0

    @property
    def size(self) -> int:
        """How many values it has."""
        return 2 * self.channels * self.bins


class Convolution(NamedTuple):
    """A complex convolution: weights [images][2, outputs, channels, taps, frames], the oldest frame first."""

    weights: Sequence[Array]
    scale: Array
    bias: Array
    stride: int
    pad: int
    group: int
    """Complex outputs of one bin; where there are more, they are those of the bins after it."""


class LayerWriter:
    """Appends layers to a program."""

    more = 0
    """How many more frames there are at this place than of the spectrum."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def image(self, channels: int, bins: int) -> Image:
        """Make room for an image."""
        return Image(Buffer(2 * channels * bins), channels, bins, self.more)

    # -- convolutions

    def down(self, block: Any, images: Sequence[Image], activation: int = LEAKY) -> Image:
        """A complex convolution down in frequency, with its batch norm."""
        layer: Any = block.conv if isinstance(block, Block) else block
        (weight,), scale, bias = halves(block)
        out, channels = weight.shape[1], [x.channels for x in images]
        kernel = Convolution(by_image(weight, channels), scale, bias, layer.stride, layer.padding, out)
        total = (images[0].bins + 2 * layer.padding - weight.shape[3]) // layer.stride + 1
        heard = self.heard(images, weight.shape[4], up=False)
        result = self.image(out, total)
        self.convolve(kernel, heard, result.buffer, 2 * out, total, activation)
        self.remember(heard)
        return result

    def up(self, block: Any, images: Sequence[Image]) -> Image:
        """A complex transposed convolution: for each phase of its stride a plain one, whose results take turns."""
        layer: ComplexConvTranspose2d = block.conv
        phases, scale, bias = halves(block)
        stride, out, channels = layer.stride, phases.shape[2], [x.channels for x in images]
        first, total, start = positions(layer)
        pad, row = layer.taps - 1 - first, stride * 2 * out
        found = Buffer(total * row)
        heard = self.heard(images, phases.shape[-1], up=True)
        if out < PACK:
            # all phases as so many more outputs
            joined = np.concatenate(list(phases), axis=1)
            scale, bias = np.tile(scale, stride), np.tile(bias, stride)
            kernel = Convolution(by_image(joined, channels), scale, bias, 1, pad, out)
            self.convolve(kernel, heard, found, row, total, LEAKY)
        else:
            # the later phases of a stride may have one tap fewer, at the front
            fewer = np.repeat(range(len(layer.phases())), layer.phases()).tolist()
            for phase, (weight, skipped) in enumerate(zip(phases, fewer, strict=True)):
                kernel = Convolution(by_image(weight[:, :, :, skipped:], channels), scale, bias, 1, pad - skipped, out)
                self.convolve(kernel, heard, after(found, phase * 2 * out), row, total, LEAKY)
        self.remember(heard)
        return Image(after(found, start * 2 * out) if start else found, out, layer.size, self.more)

    def heard(self, images: Sequence[Image], frames: int, up: bool) -> list[list[Image]]:
        """Return each image with its earlier frames before it, the oldest first."""
        return [[*(x._replace(buffer=self.program.state(x.size)) for _ in range(frames - 1)), x] for x in images]

    def remember(self, heard: Sequence[Sequence[Image]]) -> None:
        """Let each frame take the place of the one before it."""
        for ages in heard:
            for older, newer in zip(ages, ages[1:], strict=False):
                self.copy(newer.buffer, older.buffer, 1, newer.size)

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
        self.convolved((row, total), self.kept(kernel, images[0].bins, activation), images, out)

    def convolved(self, size: tuple[int, int], how: tuple[int, ...], images: Sequence[Image], out: Argument) -> None:
        """Append a convolution; its size is from one bin's outputs to the next one's, and how many bins."""
        given = [argument for x in images for argument in (x.buffer, x.channels)]
        self.program.emit(Kind.CONVOLVE, out, *size, *how, len(images), *given)

    def kept(self, kernel: Convolution, bins: int, activation: int) -> tuple[int, ...]:
        """Keep a convolution's weights; return what says how it is done."""
        program, (_, outputs, _, taps, _) = self.program, kernel.weights[0].shape
        if (count := sum(weight.shape[-1] for weight in kernel.weights)) > MOST_IMAGES:
            raise ValueError(f"a kernel looks at {count} frames of images; in C there are at most {MOST_IMAGES}")
        parts = [weight[..., age] for weight in kernel.weights for age in range(weight.shape[-1])]
        pack = 0 if outputs < FEW else pack_of(outputs, 2)
        packed = complex_packed(parts, pack) if pack else few(parts)
        scale, bias = (per_pack(values, pack) if pack else values for values in (kernel.scale, kernel.bias))
        return (
            *(outputs, kernel.group, pack, activation, bins, taps, kernel.stride, kernel.pad),
            *(program.weight(packed), program.weight(scale), program.weight(bias)),
        )

    # -- memories

    def product(
        self, x: Argument, rows: int, stride: int, weight: Array, bias: Array | None, activation: int
    ) -> Buffer:
        """Rows times a matrix [outputs, inputs]."""
        outputs, inputs = weight.shape
        out = Buffer(rows * outputs)
        matrix, shift, pack = self.matrix(weight, bias)
        self.program.emit(
            Kind.PRODUCT, *(x, rows, inputs, stride, matrix, shift), *(outputs, pack, activation, out, outputs)
        )
        return out

    def matrix(self, weight: Array, bias: Array | None) -> tuple[int, int, int]:
        """Keep a matrix [outputs, inputs] and a bias; return their numbers, and how many outputs go together."""
        outputs, inputs = weight.shape
        pack = pack_of(outputs, 4)
        padded = np.pad(weight, ((0, -outputs % pack), (0, 0)))
        packed = self.program.weight(padded.reshape(-1, pack, inputs).transpose(0, 2, 1))
        return packed, -1 if bias is None else self.program.weight(np.pad(bias, (0, -outputs % pack))), pack

    def projections(self, x: Argument, rows: int, memory: Memory) -> list[Buffer]:
        """F and g of rows [rows, features] before their memories."""
        linear, bias = memory.linear
        both = self.product(x, rows, linear.shape[1], linear, bias, RELU)
        return [
            self.product(after(both, start), rows, 2 * memory.hidden, part.project, None, PLAIN)
            for start, part in ((0, memory.f), (memory.hidden, memory.g))
        ]

    def taps(self, memory: Memory) -> list[int]:
        """Keep the taps of f and g."""
        return [self.program.weight(taps) for taps in (memory.taps_f, memory.taps_g)]

    def along_frequency(self, layer: FrequencyFsmn, x: Image) -> Image:
        """Memory along frequency."""
        memory, out = memory_of(layer), self.image(x.channels, x.bins)
        f, g = self.projections(x.buffer, 2 * x.bins, memory)
        self.program.emit(
            Kind.ALONG_BINS, x.buffer, f, g, *self.taps(memory), memory.order, x.bins, x.channels, out.buffer
        )
        return out

    def in_bins(self, layer: BinFsmn, x: Image) -> Image:
        """Memory along time in each bin."""
        memory, out = memory_of_bins(layer), self.image(x.channels, x.bins)
        f, g = self.projections(x.buffer, 2 * x.bins, memory)
        self.program.emit(
            Kind.IN_BINS,
            *(x.buffer, f, g, self.program.weight(memory.taps_f), memory.order, x.bins, x.channels),
            *(self.program.state((memory.order - 1) * x.size), Buffer(x.size), out.buffer),
        )
        return out

    def along_time(self, layer: TimeFsmn, x: Image) -> Image:
        """Memory along time over all channels and bins of a frame, whose parts must each lie in one piece."""
        memory, features = memory_of_frames(layer, x.channels, x.bins), layer.features
        flat, found, out = Buffer(x.size), Buffer(x.size), self.image(x.channels, x.bins)
        wide = 2 * x.channels
        for part in range(2):
            start, place = after(x.buffer, part * x.channels), after(flat, part * features)
            self.copy(start, place, x.bins, x.channels, wide, x.channels)
        f, g = self.projections(flat, 2, memory)
        past = self.program.state((memory.order - 1) * 4 * features)
        self.program.emit(Kind.ALONG_TIME, flat, f, g, *self.taps(memory), memory.order, features, past, found)
        for part in range(2):
            start, place = after(found, part * features), after(out.buffer, part * x.channels)
            self.copy(start, place, x.bins, x.channels, x.channels, wide)
        return out

    # -- gates and the rest

    def weigh(self, layer: ComplexSE, x: Image) -> Image:
        """Weigh the channels of an image."""
        if layer.pool is None:
            raise ValueError("a network that pools over whole clips cannot stream")
        taps = array(layer.pool.weight)[:, 0].T
        program, past, out = self.program, len(taps) - 1, self.image(x.channels, x.bins)
        program.emit(
            Kind.GATE,
            *(x.buffer, x.bins, x.channels, hidden_of(layer), past),
            *(program.weight(taps), program.weight(gates_of(layer)), program.state(past * 2 * x.channels)),
            *(Buffer(8 * x.channels), out.buffer),
        )
        return out

    def sum(self, x: Image, y: Image) -> Image:
        """Two images, added."""
        out = self.image(x.channels, x.bins)
        self.program.emit(Kind.ADD, x.buffer, y.buffer, x.size, out.buffer)
        return out

    def side_by_side(self, images: Sequence[Image]) -> Image:
        """Images as one, whatever their number."""
        if len(images) == 1:
            return images[0]
        out = self.image(sum(x.channels for x in images), images[0].bins)
        start = 0
        for part in range(2):
            for x in images:
                self.copy(
                    after(x.buffer, part * x.channels),
                    after(out.buffer, start),
                    x.bins,
                    x.channels,
                    2 * x.channels,
                    2 * out.channels,
                )
                start += x.channels
        return out

    def copy(self, x: Argument, out: Argument, rows: int, count: int, row: int = 0, row_out: int = 0) -> None:
        """Copy rows of values, `row` and `row_out` from one to the next."""
        self.program.emit(Kind.COPY, x, row, out, row_out, rows, count)
