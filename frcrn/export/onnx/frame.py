"""FRCRN for one frame: states in and out, and as few nodes as can be.

Below some 50 channels it is the number of nodes that costs, and above it the weights that must be read. Time is no
axis: earlier frames stand beside the new one as channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from frcrn.export.onnx.graph import Graph, States
from frcrn.export.onnx.writer import FEW, OF_FG, OF_MEMORY, Image, Placed, Writer
from frcrn.export.weights import GateWeights
from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.specs import Array, AttentionSpec, MemorySpec
from frcrn.models.layers.wiring import Layers

NARROW = 32  # complex channels, up to which products with zeros cost less than another layout


class FrameWriter(Writer):
    """Writes layers for images [1, 2C, 1, F]."""

    batch = 1
    states: States

    def __init__(self, graph: Graph, states: States, layers: Layers) -> None:
        super().__init__(graph, states)
        self.groups: dict[str, Layers] = {}
        for name, layer in layers:
            self.groups.setdefault(group_of(name), []).append((name, layer))
        self.means: dict[str, Means] = {}

    def layer(self, name: str, layer: nn.Module, x: tuple[Image, ...]) -> tuple[Image, ...]:
        """Write a layer; the first and the last of a group begin and end what its squeeze-excitations share."""
        group = group_of(name)
        if group not in self.means:
            self.means[group] = Means(self.graph, self.states, f"{group}attention", self.groups[group])
        y = super().layer(name, layer, x)
        if name == self.groups[group][-1][0]:
            self.means[group].finish()
        return y

    def products(self, name: str, images: Sequence[Image], kernels: Sequence[Placed], up: bool) -> list[str]:
        """Images and their earlier frames by each kernel -> [1, 2 out, 1, F']."""
        first = kernels[0].kernel
        if up and len(kernels) == 1 and first.out < FEW and first.taps > 1:
            return [self.shifted(name, images, kernels[0])]
        inputs = [*self.earlier(name, images, first.frames - 1), *(x.name for x in images)]
        joined = self.graph.op("Concat", *inputs, axis=1) if len(inputs) > 1 else inputs[0]
        return [self.graph.op("Conv", joined, it.kernel.over_channels(), it.kernel.bias, **it.how) for it in kernels]

    def earlier(self, name: str, images: Sequence[Image], frames: int) -> list[str]:
        """Return the earlier frames of each image, oldest first; the new ones become the latest of them."""
        pasts = []
        for suffix, x in zip(("", ".skip", *(f".skip{more}" for more in range(2, len(images)))), images, strict=False):
            ages = [f".{age}" if frames > 1 else "" for age in range(frames, 0, -1)]
            mine = [self.states.past(name + suffix + age, 1, 2 * x.channels, 1, x.bins) for age in ages]
            for age, newer in zip(ages, [*mine[1:], x.name], strict=False):
                self.states.keep(name + suffix + age, newer)
            pasts.extend(mine)
        return pasts

    def shifted(self, name: str, images: Sequence[Image], placed: Placed) -> str:
        """For few channels out: each tap as a matrix product, whose results only have to be shifted and added.

        The state is what is left over for later frames, which is less than the input.
        """
        graph, kernel = self.graph, placed.kernel
        taps, out = kernel.taps, 2 * kernel.out * kernel.frames
        products = []
        for x, weight in zip(images, kernel.weights, strict=True):
            # [frames, 2 out, 2 C, taps] -> rows (tap, frames from now on, 2 out)
            matrix = weight[::-1].transpose(3, 0, 1, 2).reshape(taps * out, -1)
            products.append(graph.op("MatMul", matrix, graph.reshape(x.name, 2 * x.channels, x.bins)))
        y = graph.op("Sum", *products) if len(products) > 1 else products[0]
        shifts = np.zeros((out, taps, out, 1, taps), np.float32)
        for tap in range(taps):
            shifts[np.arange(out), tap, np.arange(out), 0, tap] = 1
        bias = np.concatenate([kernel.bias, np.zeros(out - len(kernel.bias), np.float32)])
        y = graph.reshape(y, 1, taps * out, 1, images[0].bins)
        y = graph.op("Conv", y, shifts.reshape(out, taps * out, 1, taps), bias, **placed.how)
        bins = images[0].bins + sum(placed.pads) - taps + 1
        return self.carried(name, y, (1, 2 * kernel.out, 1, bins), kernel.frames)

    def carried(self, name: str, y: str, shape: tuple[int, ...], frames: int) -> str:
        """Contributions to this frame and to later ones as channels -> this frame's sum; the rest is state."""
        if frames == 1:
            return y
        now, *later = self.graph.ops("Split", frames, y, axis=1)
        names = [f"{name}.{age}" if frames > 2 else name for age in range(1, frames)]
        pasts = [self.states.past(state, *shape) for state in names]
        for state, contribution, older in zip(names, later, [*pasts[1:], ""], strict=True):
            self.states.keep(state, self.graph.op("Add", contribution, older) if older else contribution)
        return self.graph.op("Add", now, pasts[0])

    def along_frequency(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along frequency; for few channels by convolutions alone, which need no other layout in between."""
        if x.channels > NARROW:
            return super().along_frequency(name, spec, x)
        graph, width = self.graph, 2 * x.channels
        unit, none = np.eye(x.channels, dtype=np.float32), np.zeros_like(spec.g.project)
        turned = np.block([[none, -spec.g.project], [spec.g.project, none]])
        y = graph.op("Conv", x.name, np.block([[unit, -unit], [unit, unit]])[:, :, None, None])
        for part, project, groups, taps in (
            (spec.g, turned, 1, spec.taps_g),
            (spec.f, np.tile(spec.f.project, (2, 1)), 2, spec.taps_f),
        ):
            linear, bias, taps = np.tile(part.linear, (2, 1)), np.tile(part.bias, 2), np.tile(taps, (2, 1))
            hidden = graph.op("Relu", graph.op("Conv", x.name, linear[:, :, None, None], bias, group=2))
            p = graph.op("Conv", hidden, project[:, :, None, None], group=groups)
            p = graph.op("Conv", p, taps[:, None, None, :], group=width, pads=[0, spec.order - 1, 0, 0])
            y = graph.op("Add", p, y)
        return x._replace(name=y)

    def along_time(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time; earlier frames are rows."""
        graph, features = self.graph, spec.features
        flat = graph.reshape(x.name, 2, features)
        hidden_f = graph.op("Relu", graph.op("Gemm", flat, spec.f.linear.T, spec.f.bias))
        hidden_g = graph.op("Relu", graph.op("Gemm", flat, spec.g.linear.T, spec.g.bias))
        f, g = (
            graph.reshape(graph.op("Gemm", hidden, part.project.T), 1, 2 * features)
            for hidden, part in ((hidden_f, spec.f), (hidden_g, spec.g))
        )
        # f(re), f(im), g(re), g(im)
        rows = graph.op("Concat", f, g, axis=1)
        rows, _ = self.with_past(name, rows, (spec.order - 1, 4 * features), axis=0)
        taps = np.concatenate([spec.taps_f, spec.taps_f, spec.taps_g, spec.taps_g]).T
        memory = graph.op("ReduceSum", graph.op("Mul", rows, taps), np.array([0]), keepdims=1)
        both = graph.op(
            "Concat", memory, graph.reshape(self.delayed(f"{name}.late", x, spec.ahead).name, 1, 2 * features), axis=1
        )
        return self.mixed(both, OF_MEMORY[:, [0, 2, 1, 3, 4, 5]], x.channels, x.bins)

    def weigh(self, name: str, spec: AttentionSpec, x: Image) -> Image:
        """Weigh the channels of an image by what their means say."""
        graph = self.graph
        means = graph.op("ReduceMean", x.name, axes=[2, 3], keepdims=0)
        pooled, squeeze = self.means[group_of(name)].pooled(spec, means)
        weights = self.mixed(self.gated(spec, pooled, squeeze), OF_FG, x.channels, 1)
        return x._replace(name=graph.op("Mul", x.name, weights.name))


def group_of(name: str) -> str:
    """Return the part of a network that a layer belongs to, with the dot after it."""
    return name[: name.rfind(".") + 1]


def taps_of(spec: AttentionSpec) -> Array:
    """Return the weights [frames, 2 channels] of the means; here they are those of the past."""
    if spec.taps is None:
        raise ValueError("a network that pools over whole clips cannot stream")
    return spec.taps.T


class Means:
    """Means of earlier frames for all squeeze-excitations of a group: one state [frames, all channels]."""

    def __init__(self, graph: Graph, states: States, name: str, layers: Layers) -> None:
        self.graph, self.states, self.name = graph, states, name
        self.fresh: list[str] = []
        taps = [taps_of(layer.spec())[:-1] for _, layer in layers if isinstance(layer, ComplexSE)]
        self.frames = len(taps[0]) if taps else 0
        if self.frames:
            widths = np.array([weight.shape[1] for weight in taps])
            self.past = states.past(name, self.frames, int(widths.sum()))
            weighted = graph.op("Mul", self.past, np.concatenate(taps, axis=1))
            total = graph.op("ReduceSum", weighted, np.array([0]), keepdims=1)
            self.sums = graph.ops("Split", len(widths), total, widths, axis=1)

    def pooled(self, spec: AttentionSpec, means: str) -> tuple[str, Array]:
        """Keep this frame's means; return them with what is left of the past, and the first matrix that takes both."""
        squeeze, now = GateWeights(spec).squeeze, taps_of(spec)[-1][:, None]
        number = len(self.fresh)
        self.fresh.append(means)
        if not self.frames:
            return means, now * squeeze
        pooled = self.graph.op("Concat", means, self.sums[number], axis=1)
        return pooled, np.concatenate([now * squeeze, squeeze])

    def finish(self) -> None:
        """Append this frame's means to the state."""
        if self.frames:
            fresh = self.graph.op("Concat", *self.fresh, axis=1)
            kept = self.graph.part(self.past, 0, 1, self.frames)
            self.states.keep(self.name, self.graph.op("Concat", kept, fresh, axis=0))
