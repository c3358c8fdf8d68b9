"""A network's convolutions as operations of a program. An image is [bins, 2 channels], real channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from frcrn.export import backend
from frcrn.export.native.operations import Convolve, Copy, Operand
from frcrn.export.native.packing import PACK, by_image, complex_packed, few, halves, pack_of, per_pack
from frcrn.export.native.program import Program, after
from frcrn.export.native.structs import Argument, Buffer
from frcrn.models.layers.specs import Array, ConvolutionSpec

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


Ages = list[list[Image]]
"""Each of several images with its earlier frames before it, the oldest first."""


class Kernel(NamedTuple):
    """A complex convolution: weights [images][2, outputs, channels, taps, frames], the oldest frame first."""

    weights: Sequence[Array]
    scale: Array
    bias: Array
    stride: int
    pad: int
    group: int
    """Complex outputs of one bin; where there are more, they are those of the bins after it."""
    activation: int


class Kept(NamedTuple):
    """The arguments of a convolution that say how it is done, its weights among them."""

    outputs: int
    group: int
    pack: int
    activation: int
    bins: int
    taps: int
    stride: int
    pad: int
    weights: int
    scale: int
    bias: int


class ConvolutionWriter(backend.Writer[Image]):
    """Appends convolutions to a program."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def image(self, channels: int, bins: int, more: int = 0) -> Image:
        """Make room for an image."""
        return Image(Buffer(2 * channels * bins), channels, bins, more)

    def down(self, name: str, spec: ConvolutionSpec, x: Image) -> Image:
        """A complex convolution down in frequency, with its batch norm."""
        (weight,), (scale, bias) = halves(spec), affine(spec)
        out = spec.outputs
        kernel = Kernel([weight], scale, bias, spec.stride, spec.padding, out, activation(spec))
        total = (x.bins + 2 * spec.padding - spec.taps) // spec.stride + 1
        ages, more = self.ages([x], spec.frames, up=False)
        result = self.image(out, total, more)
        self.convolve(kernel, ages, result, 2 * out, total)
        self.keep(ages)
        return result

    def up(self, name: str, spec: ConvolutionSpec, images: Sequence[Image]) -> Image:
        """A complex transposed convolution: for each phase of its stride a plain one, whose results take turns."""
        phases, (scale, bias) = halves(spec), affine(spec)
        stride, out, channels = spec.stride, spec.outputs, [x.channels for x in images]
        first, total, start = spec.positions()
        pad, row = spec.taps - 1 - first, stride * 2 * out
        ages, more = self.ages(images, spec.frames, up=True)
        found = Image(Buffer(total * row), out, spec.size, more)
        if out < PACK:
            # all phases as so many more outputs
            joined = np.concatenate(list(phases), axis=1)
            scale, bias = np.tile(scale, stride), np.tile(bias, stride)
            kernel = Kernel(by_image(joined, channels), scale, bias, 1, pad, out, activation(spec))
            self.convolve(kernel, ages, found, row, total)
        else:
            # the later phases of a stride may have one tap fewer, at the front
            fewer = np.repeat(range(len(spec.phases)), spec.phases).tolist()
            for phase, (weight, skipped) in enumerate(zip(phases, fewer, strict=True)):
                weights = by_image(weight[:, :, :, skipped:], channels)
                kernel = Kernel(weights, scale, bias, 1, pad - skipped, out, activation(spec))
                self.convolve(kernel, ages, from_value(found, phase * 2 * out), row, total)
        self.keep(ages)
        return from_value(found, start * 2 * out)

    def ages(self, images: Sequence[Image], frames: int, *, up: bool) -> tuple[Ages, int]:
        """Return each image with its earlier frames, and how many more frames than the spectrum the result has."""
        state = self.program.state
        return [[*(x._replace(buffer=state(x.size)) for _ in range(frames - 1)), x] for x in images], 0

    def keep(self, ages: Ages) -> None:
        """Let each frame take the place of the one before it."""
        for frames in ages:
            for older, newer in zip(frames, frames[1:], strict=False):
                self.copy(newer, older, 1, newer.size)

    def convolve(self, kernel: Kernel, ages: Ages, out: Image, row: int, total: int) -> None:
        """Convolve all images and the frames beside them; `row` leads from one bin's outputs to the next one's."""
        images = [x for frames in ages for x in frames]
        self.convolved(out, row, total, self.kept(kernel, images[0].bins), images)

    def convolved(self, out: Image, row: int, total: int, how: Kept, images: Sequence[Image]) -> None:
        """Append a convolution of `total` bins."""
        operands = tuple(Operand(x=x.buffer, channels=x.channels) for x in images)
        self.program.emit(
            Convolve(out=out.buffer, row=row, total=total, **how._asdict(), count=len(images), images=operands)
        )

    def kept(self, kernel: Kernel, bins: int) -> Kept:
        """Keep a convolution's weights; return what says how it is done."""
        program, (_, outputs, _, taps, _) = self.program, kernel.weights[0].shape
        if (count := sum(weight.shape[-1] for weight in kernel.weights)) > MOST_IMAGES:
            raise ValueError(f"a kernel looks at {count} frames of images; in C there are at most {MOST_IMAGES}")
        parts = [weight[..., age] for weight in kernel.weights for age in range(weight.shape[-1])]
        pack = 0 if outputs < FEW else pack_of(outputs, 2)
        packed = complex_packed(parts, pack) if pack else few(parts)
        scale, bias = (per_pack(values, pack) if pack else values for values in (kernel.scale, kernel.bias))
        return Kept(
            *(outputs, kernel.group, pack, kernel.activation, bins, taps, kernel.stride, kernel.pad),
            *(program.weight(packed), program.weight(scale), program.weight(bias)),
        )

    def copy(self, x: Image, out: Image, rows: int, count: int, row: int = 0, row_out: int = 0) -> None:
        """Copy rows of values, `row` and `row_out` from one to the next."""
        self.program.emit(Copy(x=x.buffer, row=row, out=out.buffer, row_out=row_out, rows=rows, count=count))


def from_value(x: Image, start: int) -> Image:
    """Return what of an image comes after its first values."""
    return x._replace(buffer=after(x.buffer, start)) if start else x


def affine(spec: ConvolutionSpec) -> tuple[Array, Array]:
    """Return scale and bias, [2, outputs] each."""
    return spec.scale.reshape(2, -1), spec.bias.reshape(2, -1)


def activation(spec: ConvolutionSpec) -> int:
    """Return what comes after a convolution."""
    return LEAKY if spec.activated else PLAIN
