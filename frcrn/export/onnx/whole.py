"""FRCRN for many frames at once: time is an axis, and the past is padding or, from piece to piece, state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frcrn.export.onnx.graph import Graph, States
from frcrn.export.onnx.writer import OF_FG, OF_MEMORY, Image, Placed, Writer
from frcrn.models.layers.specs import Array, AttentionSpec, MemorySpec


class WholeWriter(Writer):
    """Writes layers for images [B, 2C, T, F]; with `states` for pieces of waves, one after the other."""

    batch = "batch"

    def __init__(self, graph: Graph, causal: bool, states: States | None = None) -> None:
        super().__init__(graph, states)
        self.causal = causal

    def products(self, name: str, images: Sequence[Image], kernels: Sequence[Placed], up: bool) -> list[str]:
        """Images by each kernel; where the network looks ahead, steps down add frames and steps up take them away."""
        x = self.graph.op("Concat", *(x.name for x in images), axis=1) if len(images) > 1 else images[0].name
        past, channels = kernels[0].kernel.frames - 1, 2 * sum(image.channels for image in images)
        before, after = (0, 0) if up else (past, past)
        if self.causal:
            x, before = self.with_past(name, x, ("batch", channels, past, images[0].bins), axis=2)
            after = 0
        results = []
        for kernel, (left, right), stride in kernels:
            how = {"strides": [1, stride], "pads": [before, left, after, right]}
            results.append(self.graph.op("Conv", x, kernel.over_time(), kernel.bias, **how))
        return results

    def along_time(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time: a depthwise convolution of all features."""
        graph, features = self.graph, spec.features
        # [B, 2C, T, F] -> rows (B, T, part) of features (channel, bin)
        rows = graph.op("Transpose", x.name, perm=[0, 2, 1, 3])
        rows = graph.reshape(rows, -1, features)
        outputs = []
        for part in (spec.f, spec.g):
            hidden = graph.op("Relu", graph.op("Gemm", rows, part.linear.T, part.bias))
            outputs.append(graph.op("Gemm", hidden, part.project.T))
        p = graph.op("Concat", *outputs, axis=1)
        # rows (B, T, part) of (f, g) -> [B, (part, f or g), T, (channel, bin)]
        shape = graph.op("Shape", x.name)
        time = graph.op("Gather", shape, np.array([0, 2]))
        p = graph.op("Reshape", p, graph.op("Concat", time, np.array([4, features]), axis=0))
        p = graph.op("Transpose", p, perm=[0, 2, 3, 1])
        p = graph.reshape(p, 0, 4 * features, 1, -1)
        taps = np.tile(np.concatenate([spec.taps_f, spec.taps_g]), (2, 1))
        p, before = self.with_past(name, p, ("batch", 4 * features, 1, spec.order - 1), axis=3)
        p = graph.op("Conv", p, taps[:, None, None, :], group=4 * features, pads=[0, before, 0, 0])
        # [B, 4 C F, 1, T] -> [B, 4 C, T, F]
        p = graph.op("Transpose", graph.reshape(p, 0, 4 * x.channels, x.bins, -1), perm=[0, 1, 3, 2])
        late = self.delayed(f"{name}.late", x, spec.ahead)
        return self.mixed(graph.op("Concat", p, late.name, axis=1), OF_MEMORY, x.channels, x.bins)

    def weigh(self, name: str, spec: AttentionSpec, x: Image) -> Image:
        """Weigh the channels of an image by their means over the whole wave, or where it is causal up to each frame."""
        graph = self.graph
        if spec.taps is None:
            means = graph.op("ReduceMean", x.name, axes=[2, 3], keepdims=0)
            weights = self.mixed(self.gated(spec, means), OF_FG, x.channels, 1).name
        else:
            weights = self.by_frame(name, spec, spec.taps, x)
        return x._replace(name=graph.op("Mul", x.name, weights))

    def by_frame(self, name: str, spec: AttentionSpec, taps: Array, x: Image) -> str:
        """[B, 2C, T, F] -> weights [B, 2C, T, 1]."""
        graph, width = self.graph, 2 * x.channels
        means = graph.op("ReduceMean", x.name, axes=[3], keepdims=1)
        past = ("batch", width, taps.shape[1] - 1, 1)
        means, before = self.with_past(name, means, past, axis=2)
        pooled = graph.op("Conv", means, taps[:, None, :, None], group=width, pads=[before, 0, 0, 0])
        rows = graph.reshape(graph.op("Transpose", pooled, perm=[0, 2, 1, 3]), -1, width)
        gates = graph.op("MatMul", OF_FG, graph.reshape(self.gated(spec, rows), -1, 4, x.channels))
        time = graph.op("Gather", graph.op("Shape", x.name), np.array([0, 2]))
        gates = graph.op("Reshape", gates, graph.op("Concat", time, np.array([width, 1]), axis=0))
        return graph.op("Transpose", gates, perm=[0, 2, 1, 3])
