"""A network's layers as operations of a program, besides its convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frcrn.export.native.convolutions import PLAIN, RELU, ConvolutionWriter, Image, from_value
from frcrn.export.native.operations import Add, AlongBins, AlongTime, Gate, InBins, Later, Product
from frcrn.export.native.packing import bins_first, gates_of, pack_of
from frcrn.export.native.program import after
from frcrn.export.native.structs import Argument, Buffer
from frcrn.models.layers.specs import Array, AttentionSpec, MemorySpec


class LayerWriter(ConvolutionWriter):
    """Appends layers to a program."""

    def product(
        self, x: Argument, rows: int, stride: int, weight: Array, bias: Array | None, activation: int
    ) -> Buffer:
        """Rows times a matrix [outputs, inputs]."""
        outputs, inputs = weight.shape
        out = Buffer(rows * outputs)
        matrix, shift, pack = self.matrix(weight, bias)
        self.program.emit(
            Product(
                x=x,
                rows=rows,
                inputs=inputs,
                stride=stride,
                weights=matrix,
                bias=shift,
                outputs=outputs,
                pack=pack,
                activation=activation,
                out=out,
                row=outputs,
            )
        )
        return out

    def matrix(self, weight: Array, bias: Array | None) -> tuple[int, int, int]:
        """Keep a matrix [outputs, inputs] and a bias; return their numbers, and how many outputs go together."""
        outputs, inputs = weight.shape
        pack = pack_of(outputs, 4)
        padded = np.pad(weight, ((0, -outputs % pack), (0, 0)))
        packed = self.program.weight(padded.reshape(-1, pack, inputs).transpose(0, 2, 1))
        return packed, -1 if bias is None else self.program.weight(np.pad(bias, (0, -outputs % pack))), pack

    def projections(self, x: Argument, rows: int, spec: MemorySpec) -> list[Buffer]:
        """F and g of rows [rows, features] before their memories."""
        linear, bias = both_linear(spec)
        both = self.product(x, rows, linear.shape[1], linear, bias, RELU)
        return [
            self.product(after(both, start), rows, 2 * spec.hidden, part.project, None, PLAIN)
            for start, part in ((0, spec.f), (spec.hidden, spec.g))
        ]

    def taps(self, *taps: Array) -> list[int]:
        """Keep taps [features, order] as [order, features]."""
        return [self.program.weight(each.T) for each in taps]

    def along_frequency(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along frequency."""
        out = self.image(x.channels, x.bins)
        f, g = self.projections(x.buffer, 2 * x.bins, spec)
        of_f, of_g = self.taps(spec.taps_f, spec.taps_g)
        self.program.emit(
            AlongBins(
                x=x.buffer,
                f=f,
                g=g,
                taps_f=of_f,
                taps_g=of_g,
                order=spec.order,
                bins=x.bins,
                channels=x.channels,
                out=out.buffer,
            )
        )
        return out

    def in_bins(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time in each bin."""
        out = self.image(x.channels, x.bins)
        f, g = self.projections(x.buffer, 2 * x.bins, spec)
        (taps,) = self.taps(of_both(spec))
        self.program.emit(
            InBins(
                x=self.held(x.buffer, x.size, spec.ahead),
                f=f,
                g=g,
                taps=taps,
                order=spec.order,
                bins=x.bins,
                channels=x.channels,
                past=self.program.state((spec.order - 1) * x.size),
                work=Buffer(x.size),
                out=out.buffer,
            )
        )
        return out

    def along_time(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time over all channels and bins of a frame, whose parts must each lie in one piece."""
        memory, features = bins_first(spec, x.channels, x.bins), spec.features
        flat, found, out = (self.image(x.channels, x.bins) for _ in range(3))
        wide = 2 * x.channels
        for part in range(2):
            start, place = from_value(x, part * x.channels), from_value(flat, part * features)
            self.copy(start, place, x.bins, x.channels, wide, x.channels)
        f, g = self.projections(flat.buffer, 2, memory)
        past = self.program.state((memory.order - 1) * 4 * features)
        of_f, of_g = self.taps(memory.taps_f, memory.taps_g)
        self.program.emit(
            AlongTime(
                x=self.held(flat.buffer, flat.size, memory.ahead),
                f=f,
                g=g,
                taps_f=of_f,
                taps_g=of_g,
                order=memory.order,
                features=features,
                past=past,
                out=found.buffer,
            )
        )
        for part in range(2):
            start, place = from_value(found, part * features), from_value(out, part * x.channels)
            self.copy(start, place, x.bins, x.channels, x.channels, wide)
        return out

    def weigh(self, name: str, spec: AttentionSpec, x: Image) -> Image:
        """Weigh the channels of an image."""
        if spec.taps is None:
            raise ValueError("a network that pools over whole clips cannot stream")
        program, past, out = self.program, spec.taps.shape[1] - 1, self.image(x.channels, x.bins)
        program.emit(
            Gate(
                x=x.buffer,
                bins=x.bins,
                channels=x.channels,
                hidden=len(spec.re.bias),
                frames=past,
                taps=self.taps(spec.taps)[0],
                gates=program.weight(gates_of(spec)),
                past=program.state(past * 2 * x.channels),
                work=Buffer(8 * x.channels),
                out=out.buffer,
            )
        )
        return out

    def held(self, x: Argument, count: int, frames: int) -> Argument:
        """Hold values back for some frames, or not at all."""
        if not frames:
            return x
        out, past = Buffer(count), self.program.state(frames * count)
        self.program.emit(Later(x=x, count=count, frames=frames, past=past, out=out))
        return out

    def delayed(self, name: str, x: Image, frames: int) -> Image:
        """An image, held back."""
        return x._replace(buffer=self.held(x.buffer, x.size, frames))

    def sum(self, x: Image, y: Image) -> Image:
        """Two images, added."""
        out = self.image(x.channels, x.bins)
        self.program.emit(Add(x=x.buffer, y=y.buffer, count=x.size, out=out.buffer))
        return out

    def joined(self, images: Sequence[Image]) -> Image:
        """Several images as one, all real channels first."""
        out = self.image(sum(x.channels for x in images), images[0].bins, images[0].more)
        start = 0
        for part in range(2):
            for x in images:
                place = from_value(out, start)
                self.copy(from_value(x, part * x.channels), place, x.bins, x.channels, 2 * x.channels, 2 * out.channels)
                start += x.channels
        return out


def both_linear(spec: MemorySpec) -> tuple[Array, Array]:
    """Return the linear layers of f and g as one, and its bias."""
    return np.concatenate([spec.f.linear, spec.g.linear]), np.concatenate([spec.f.bias, spec.g.bias])


def of_both(spec: MemorySpec) -> Array:
    """Return the taps of real and imaginary features, [2 features, order], which are the same."""
    return np.concatenate([spec.taps_f, spec.taps_f])
