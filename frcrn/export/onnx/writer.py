"""The layers of FRCRN as graph nodes, where one frame and a whole wave do not differ.

An image is [B, 2C, T, F]: real channels, imaginary channels, and bins as the width, along which convolutions are fast.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from frcrn.export import backend
from frcrn.export.onnx.graph import Graph, States
from frcrn.export.weights import BinMemory, GateWeights, KernelWeights
from frcrn.models.layers.specs import Array, AttentionSpec, ConvolutionSpec, MemorySpec

LEAK = 0.01
FEW = 8  # complex channels out, below which a convolution is cheaper tap by tap
OF_FG = np.array([[1, 0, 0, -1], [0, 1, 1, 0]], np.float32)
"""(re, im) of (f + ig)(x + iy), from f(x), g(x), f(y), g(y)."""
OF_MEMORY = np.array([[1, 0, 0, -1, 1, -1], [0, 1, 1, 0, 1, 1]], np.float32)
"""The same, and the shortcut (1 + i)(x + iy) from x, y."""


class Image(NamedTuple):
    """A value [B, 2 channels, T, bins]."""

    name: str
    channels: int
    bins: int


class Placed(NamedTuple):
    """A kernel and how it goes along bins."""

    kernel: KernelWeights
    pads: tuple[int, int]
    stride: int = 1

    @property
    def how(self) -> dict[str, Any]:
        """The attributes of a convolution that does not pad time."""
        return {"strides": [1, self.stride], "pads": [0, self.pads[0], 0, self.pads[1]]}


class Writer(backend.Writer[Image]):
    """Writes layers into a graph."""

    batch: int | str

    def __init__(self, graph: Graph, states: States | None = None) -> None:
        super().__init__()
        self.graph, self.states = graph, states

    @abstractmethod
    def products(self, name: str, images: Sequence[Image], kernels: Sequence[Placed], up: bool) -> list[str]:
        """Images and their earlier frames by kernels that look equally far back -> [B, 2 out, T', F'] of each."""

    def delayed(self, name: str, x: Image, frames: int) -> Image:
        """An image as it was some frames earlier, or as it is."""
        if not frames:
            return x
        longer, before = self.with_past(name, x.name, (self.batch, 2 * x.channels, frames, x.bins), axis=2)
        if before:
            longer = self.graph.op("Pad", longer, np.array([0, 0, before, 0, 0, 0, 0, 0]))
        return x._replace(name=self.graph.part(longer, 2, 0, -frames))

    def sum(self, x: Image, y: Image) -> Image:
        """Two images, added."""
        return x._replace(name=self.graph.op("Add", x.name, y.name))

    def joined(self, images: Sequence[Image]) -> Image:
        """Several images as one, all real channels first."""
        halves = [self.graph.ops("Split", 2, image.name, axis=1) for image in images]
        parts = [half[part] for part in range(2) for half in halves]
        return Image(self.graph.op("Concat", *parts, axis=1), sum(x.channels for x in images), images[0].bins)

    def with_past(self, name: str, x: str, shape: tuple[int | str, ...], axis: int) -> tuple[str, int]:
        """Put earlier frames before x, as many as `shape` has on `axis`; or say how many zeros belong there."""
        frames = int(shape[axis])
        if self.states is None or not frames:
            return x, frames
        longer = self.graph.op("Concat", self.states.past(name, *shape), x, axis=axis)
        self.states.keep(name, self.graph.part(longer, axis, -frames, 2**31))
        return longer, 0

    def mixed(self, x: str, mix: Array, channels: int, bins: int) -> Image:
        """[B, n C, T, F] -> [B, 2 C, T, F]: a matrix [2, n] over groups of channels."""
        flat = self.graph.reshape(x, 0, mix.shape[1], -1)
        y = self.graph.reshape(self.graph.op("MatMul", mix, flat), 0, 2 * channels, -1, bins)
        return Image(y, channels, bins)

    def down(self, name: str, spec: ConvolutionSpec, x: Image) -> Image:
        """A complex convolution."""
        kernel = KernelWeights(spec, [x.channels])
        placed = Placed(kernel, (spec.padding, spec.padding), spec.stride)
        (y,) = self.products(name, [x], [placed], up=False)
        bins = (x.bins + 2 * spec.padding - kernel.taps) // spec.stride + 1
        return Image(self.activated(spec, y), kernel.out, bins)

    def activated(self, spec: ConvolutionSpec, x: str) -> str:
        """What comes after a convolution."""
        return self.graph.op("LeakyRelu", x, alpha=LEAK) if spec.activated else x

    def up(self, name: str, spec: ConvolutionSpec, images: Sequence[Image]) -> Image:
        """A complex transposed convolution: a plain one to `stride` times the channels, interleaved along bins."""
        kernel, graph, bins = KernelWeights(spec, [x.channels for x in images]), self.graph, images[0].bins
        stride, taps = spec.stride, kernel.taps
        first, count, start = spec.positions()
        pads = (taps - 1 - first, max(0, count - bins + first))
        # the phases of a stride that need a tap fewer get a kernel of their own
        phases = spec.phases if pads[0] and kernel.out >= FEW else (stride,)
        pieces = [Placed(piece, (pads[0] - number, pads[1])) for number, piece in enumerate(kernel.phases(phases))]
        parts = [self.activated(spec, y) for y in self.products(name, images, pieces, up=True)]
        y = graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        channels, found = kernel.out // stride, bins + sum(pads) - taps + 1
        y = graph.reshape(graph.op("Transpose", y, perm=[0, 2, 3, 1]), 0, 0, found * stride, 2 * channels)
        if (start, found * stride) != (0, spec.size):
            y = graph.part(y, 2, start, start + spec.size)
        return Image(graph.op("Transpose", y, perm=[0, 3, 1, 2]), channels, spec.size)

    def along_frequency(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along frequency, f and g of both parts as groups of channels: f(re), g(re), f(im), g(im)."""
        graph = self.graph
        linear = np.tile(np.concatenate([spec.f.linear, spec.g.linear]), (2, 1))
        bias = np.tile(np.concatenate([spec.f.bias, spec.g.bias]), 2)
        hidden = graph.op("Relu", graph.op("Conv", x.name, linear[:, :, None, None], bias, group=2))
        project = np.tile(np.concatenate([spec.f.project, spec.g.project]), (2, 1))
        p = graph.op("Conv", hidden, project[:, :, None, None], group=4)
        taps = np.tile(np.concatenate([spec.taps_f, spec.taps_g]), (2, 1))
        p = graph.op("Conv", p, taps[:, None, None, :], group=4 * x.channels, pads=[0, spec.order - 1, 0, 0])
        return self.mixed(graph.op("Concat", p, x.name, axis=1), OF_MEMORY, x.channels, x.bins)

    def in_bins(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time in each bin."""
        weights, graph, width = BinMemory(spec), self.graph, 2 * x.channels
        hidden = graph.op("Relu", graph.op("Conv", x.name, weights.linear, weights.bias, group=2))
        p = graph.op("Conv", hidden, weights.project)
        p, before = self.with_past(name, p, (self.batch, width, spec.order - 1, x.bins), axis=2)
        p = graph.op("Conv", p, weights.taps, group=width, pads=[before, 0, 0, 0])
        return x._replace(name=graph.op("Add", self.delayed(f"{name}.late", x, spec.ahead).name, p))

    def gated(self, spec: AttentionSpec, means: str, squeeze: Array | None = None) -> str:
        """Means [N, 2C] -> gates [N, 4C]."""
        graph, gate = self.graph, GateWeights(spec)
        hidden = graph.op("Gemm", means, gate.squeeze if squeeze is None else squeeze, gate.squeeze_bias)
        return graph.op("Sigmoid", graph.op("Gemm", graph.op("Relu", hidden), gate.excite, gate.excite_bias))
