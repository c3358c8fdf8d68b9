"""Weights of layers in their inference form, arranged as graphs want them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np

from frcrn.models.layers.specs import Array, AttentionSpec, ConvolutionSpec, MemorySpec


class KernelWeights:
    """The real kernels of a complex layer, one for each image: [frames, 2 out, 2 C, taps], the oldest frame first."""

    def __init__(self, spec: ConvolutionSpec, channels: Sequence[int]) -> None:
        self.bias = np.tile(spec.bias, len(spec.weight) // len(spec.bias))
        self.out, self.taps, self.frames = len(spec.weight) // 2, spec.taps, spec.frames
        # the layer's inputs are the real channels of all images and then the imaginary ones; here it is by image
        parts = spec.weight.reshape(2 * self.out, 2, -1, *spec.weight.shape[2:]).transpose(4, 0, 1, 2, 3)
        pieces = np.split(parts, np.cumsum(channels)[:-1], axis=3)
        self.weights = [piece.reshape(self.frames, 2 * self.out, -1, self.taps) for piece in pieces]

    def phases(self, counts: Sequence[int]) -> list[KernelWeights]:
        """Cut the kernel of a step up by groups of phases, each group with one tap at the front fewer than the last."""
        pieces, start = [], 0
        width = 2 * self.out // sum(counts)
        for number, count in enumerate(counts):
            piece, rows = copy(self), slice(start, start + count * width)
            piece.weights = [weight[:, rows, :, number:] for weight in self.weights]
            piece.out, piece.taps, piece.bias = count * width // 2, self.taps - number, self.bias[rows]
            pieces.append(piece)
            start = rows.stop
        return pieces

    def over_time(self) -> Array:
        """[2 out, all images' 2 C, frames, taps]."""
        return np.concatenate(self.weights, axis=2).transpose(1, 2, 0, 3)

    def over_channels(self) -> Array:
        """[2 out, K, 1, taps]: K are all images' earlier frames, and then all images' new ones."""
        past = [frame for weight in self.weights for frame in weight[:-1]]
        return np.concatenate([*past, *(weight[-1] for weight in self.weights)], axis=1)[:, :, None]


class BinMemory:
    """The weights of a memory in each bin, as kernels of images whose real channels come first."""

    def __init__(self, spec: MemorySpec) -> None:
        f, g = spec.f.project, spec.g.project
        none = np.zeros_like(f)
        self.linear = np.tile(np.concatenate([spec.f.linear, spec.g.linear]), (2, 1))[:, :, None, None]
        self.bias = np.tile(np.concatenate([spec.f.bias, spec.g.bias]), 2)
        # hidden of f(x), g(x), f(y), g(y) -> real part, imaginary part
        self.project = np.block([[f, none, none, -g], [none, g, f, none]])[:, :, None, None]
        self.taps = np.tile(spec.taps_f, (2, 1))[:, None, :, None]


class GateWeights:
    """The gates of a squeeze-excitation as two matrices; hidden and gates are ordered f(re), g(re), f(im), g(im)."""

    def __init__(self, spec: AttentionSpec) -> None:
        f, g = spec.re, spec.im
        zero, none = np.zeros_like(f.squeeze), np.zeros_like(f.excite)
        self.squeeze = np.block([[f.squeeze, zero], [g.squeeze, zero], [zero, f.squeeze], [zero, g.squeeze]]).T
        self.squeeze_bias = np.tile(np.concatenate([f.bias, g.bias]), 2)
        rows = [f.excite, g.excite, f.excite, g.excite]
        self.excite = np.block([[row if at == n else none for at in range(4)] for n, row in enumerate(rows)]).T
        self.excite_bias = np.tile(np.concatenate([f.shift, g.shift]), 2)
