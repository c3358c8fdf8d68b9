"""FRCRN for one frame: states in and out, and as few nodes as can be.

Below some 50 channels it is the number of nodes that costs, and above it the weights that must be read. Time is no
axis: earlier frames stand beside the new one as channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from frcrn.export.onnx.graph import Graph, States
from frcrn.export.onnx.writer import FEW, OF_FG, OF_MEMORY, Attention, Image, Placed, Writer
from frcrn.export.weights import Fsmn, Gate, array
from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.fsmn import FrequencyFsmn, TimeFsmn

NARROW = 32  # complex channels, up to which products with zeros cost less than another layout


class FrameWriter(Writer):
    """Writes layers for images [1, 2C, 1, F]."""

    batch = 1
    states: States

    def __init__(self, graph: Graph, states: States) -> None:
        super().__init__(graph, states)

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
        for suffix, x in zip(("", ".skip"), images, strict=False):
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

    def along_frequency(self, layer: FrequencyFsmn, x: Image) -> Image:
        """Memory along frequency; for few channels by convolutions alone, which need no other layout in between."""
        if x.channels > NARROW:
            return super().along_frequency(layer, x)
        weights, graph, width = Fsmn(layer), self.graph, 2 * x.channels
        unit, none = np.eye(x.channels, dtype=np.float32), np.zeros_like(weights.project_g)
        turned = np.block([[none, -weights.project_g], [weights.project_g, none]])
        y = graph.op("Conv", x.name, np.block([[unit, -unit], [unit, unit]])[:, :, None, None])
        for linear, bias, project, parts, taps in (
            (weights.linear_g, weights.bias_g, turned, 1, weights.taps_g),
            (weights.linear_f, weights.bias_f, np.tile(weights.project_f, (2, 1)), 2, weights.taps_f),
        ):
            linear, bias, taps = np.tile(linear, (2, 1)), np.tile(bias, 2), np.tile(taps, (2, 1))
            hidden = graph.op("Relu", graph.op("Conv", x.name, linear[:, :, None, None], bias, group=2))
            p = graph.op("Conv", hidden, project[:, :, None, None], group=parts)
            p = graph.op("Conv", p, taps[:, None, None, :], group=width, pads=[0, layer.order - 1, 0, 0])
            y = graph.op("Add", p, y)
        return x._replace(name=y)

    def along_time(self, name: str, layer: TimeFsmn, x: Image) -> Image:
        """Memory along time; earlier frames are rows."""
        weights, graph, features = Fsmn(layer), self.graph, layer.features
        flat = graph.reshape(x.name, 2, features)
        hidden_f = graph.op("Relu", graph.op("Gemm", flat, weights.linear_f.T, weights.bias_f))
        hidden_g = graph.op("Relu", graph.op("Gemm", flat, weights.linear_g.T, weights.bias_g))
        f, g = (
            graph.reshape(graph.op("Gemm", hidden, project.T), 1, 2 * features)
            for hidden, project in ((hidden_f, weights.project_f), (hidden_g, weights.project_g))
        )
        # f(re), f(im), g(re), g(im)
        rows = graph.op("Concat", f, g, axis=1)
        rows, _ = self.with_past(name, rows, (layer.order - 1, 4 * features), axis=0)
        taps = np.concatenate([weights.taps_f, weights.taps_f, weights.taps_g, weights.taps_g]).T
        memory = graph.op("ReduceSum", graph.op("Mul", rows, taps), np.array([0]), keepdims=1)
        both = graph.op("Concat", memory, graph.reshape(x.name, 1, 2 * features), axis=1)
        return self.mixed(both, OF_MEMORY[:, [0, 2, 1, 3, 4, 5]], x.channels, x.bins)

    def attention(self, name: str, unet: Any) -> Attention:
        """Prepare the squeeze-excitations of a `UNet`."""
        return FrameAttention(self, name, unet)


class FrameAttention(Attention):
    """Squeeze-excitations whose means of earlier frames are one state [frames, all channels], summed at once."""

    def __init__(self, writer: FrameWriter, name: str, unet: Any) -> None:
        self.writer, self.name = writer, name
        self.means: list[str] = []
        levels = [str(number) for number in range(len(unet.levels))]
        down = [unet.se_enc[level] for level in levels if level in unet.se_enc]
        up = [unet.se_dec[level] for level in reversed(levels) if level in unet.se_dec]
        taps = [array(layer.pool.weight)[:, 0, :-1].T for layer in [*down, *up]]
        self.frames = len(taps[0]) if taps else 0
        if self.frames:
            graph, widths = writer.graph, np.array([weight.shape[1] for weight in taps])
            self.past = writer.states.past(name, self.frames, int(widths.sum()))
            weighted = graph.op("Mul", self.past, np.concatenate(taps, axis=1))
            total = graph.op("ReduceSum", weighted, np.array([0]), keepdims=1)
            self.sums = graph.ops("Split", len(widths), total, widths, axis=1)

    def weigh(self, layers: Mapping[str, ComplexSE], name: str, x: Image) -> Image:
        """Weigh the channels of an image, if `layers` has one of this name."""
        if name not in layers:
            return x
        layer, graph = layers[name], self.writer.graph
        assert layer.pool is not None
        means = graph.op("ReduceMean", x.name, axes=[2, 3], keepdims=0)
        squeeze = array(layer.pool.weight)[:, 0, -1:] * Gate(layer).squeeze
        pooled = means
        if self.frames:
            pooled = graph.op("Concat", means, self.sums[len(self.means)], axis=1)
            squeeze = np.concatenate([squeeze, Gate(layer).squeeze])
        self.means.append(means)
        gates = self.writer.gated(layer, pooled, squeeze)
        weights = self.writer.mixed(gates, OF_FG, x.channels, 1)
        return x._replace(name=graph.op("Mul", x.name, weights.name))

    def finish(self) -> None:
        """Append this frame's means to the state."""
        if self.frames and self.means:
            graph = self.writer.graph
            fresh = graph.op("Concat", *self.means, axis=1)
            kept = graph.part(self.past, 0, 1, self.frames)
            self.writer.states.keep(self.name, graph.op("Concat", kept, fresh, axis=0))
