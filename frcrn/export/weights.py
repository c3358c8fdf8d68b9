"""Weights of layers in their inference form, arranged as graphs want them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.complex import ComplexConv2d, ComplexConvTranspose2d
from frcrn.models.layers.fsmn import BinFsmn, ComplexFsmn, TimeFsmn

Array = NDArray[np.float32]


class Kernel:
    """The real kernels of a complex layer, one for each image: [frames, 2 out, 2 C, taps], the oldest frame first."""

    def __init__(self, layer: ComplexConv2d | ComplexConvTranspose2d, channels: Sequence[int]) -> None:
        weight, self.bias = (array(value) for value in layer.weight_and_bias())
        self.out, self.taps, self.frames = len(weight) // 2, weight.shape[2], weight.shape[3]
        # the layer's inputs are the real channels of all images and then the imaginary ones; here it is by image
        parts = weight.reshape(2 * self.out, 2, -1, *weight.shape[2:]).transpose(4, 0, 1, 2, 3)
        pieces = np.split(parts, np.cumsum(channels)[:-1], axis=3)
        self.weights = [piece.reshape(self.frames, 2 * self.out, -1, self.taps) for piece in pieces]

    def phases(self, counts: Sequence[int]) -> list[Kernel]:
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


def positions(layer: ComplexConvTranspose2d) -> tuple[int, int, int]:
    """Return which positions of a step up are computed, from the first on so many, and where its bins begin in them.

    They are only those that are not cropped away, as far as whole ones go.
    """
    first = min(layer.padding // layer.stride, layer.taps - 1)
    count = -(-(layer.padding + layer.size) // layer.stride) - first
    return first, count, layer.padding - first * layer.stride


class Fsmn:
    """The weights of a memory, f and g apart: linear [H, C], bias [H], project [C, H], taps [C, order]."""

    def __init__(self, layer: ComplexFsmn) -> None:
        linear, bias, project_f, project_g, memory = (array(value) for value in layer.weights())
        self.linear_f, self.linear_g = np.split(linear, 2)
        self.bias_f, self.bias_g = np.split(bias, 2)
        self.project_f, self.project_g = project_f, project_g
        taps = memory[: 2 * layer.features, 0, :, 0].copy()
        taps[:, -1] += 1  # the block's own shortcut
        self.taps_f, self.taps_g = np.split(taps, 2)


class BinMemory:
    """The weights of a memory in each bin, as kernels of images whose real channels come first."""

    def __init__(self, layer: BinFsmn) -> None:
        linear, bias, project, self.taps = (array(value) for value in layer.weights())
        self.linear, self.bias = np.tile(linear, (2, 1))[:, :, None, None], np.tile(bias, 2)
        self.project = project[:, :, None, None]


class Gate:
    """The gates of a squeeze-excitation as two matrices; hidden and gates are ordered f(re), g(re), f(im), g(im)."""

    def __init__(self, layer: ComplexSE) -> None:
        (in_f, bias_f), (out_f, shift_f) = linear(layer.re[0]), linear(layer.re[2])
        (in_g, bias_g), (out_g, shift_g) = linear(layer.im[0]), linear(layer.im[2])
        zero, none = np.zeros_like(in_f), np.zeros_like(out_f)
        self.squeeze = np.block([[in_f, zero], [in_g, zero], [zero, in_f], [zero, in_g]]).T
        self.squeeze_bias = np.tile(np.concatenate([bias_f, bias_g]), 2)
        rows = [out_f, out_g, out_f, out_g]
        self.excite = np.block([[row if at == n else none for at in range(4)] for n, row in enumerate(rows)]).T
        self.excite_bias = np.tile(np.concatenate([shift_f, shift_g]), 2)


def linear(layer: Any) -> tuple[Array, Array]:
    """Weight [out, in], bias [out]."""
    return array(layer.weight), array(layer.bias)


def array(tensor: torch.Tensor) -> NDArray[np.float32]:
    """A tensor's values as numpy float32."""
    return tensor.detach().cpu().float().contiguous().numpy()


class Part(NamedTuple):
    """F or g before its memory: linear [hidden, features], bias [hidden], projection [features, hidden]."""

    linear: Array
    bias: Array
    project: Array


class Memory(NamedTuple):
    """Both parts, and their taps [order, features], the oldest first."""

    f: Part
    g: Part
    taps_f: Array
    taps_g: Array

    @property
    def order(self) -> int:
        """How many places or frames it looks at."""
        return len(self.taps_f)

    @property
    def hidden(self) -> int:
        """How many hidden features each part has."""
        return len(self.f.bias)

    @property
    def linear(self) -> tuple[Array, Array]:
        """The linear layers of f and g as one, and its bias."""
        return np.concatenate([self.f.linear, self.g.linear]), np.concatenate([self.f.bias, self.g.bias])


def memory_of(layer: ComplexFsmn, order: Any = slice(None)) -> Memory:
    """Return the weights of a complex memory, its features in this order."""
    w = Fsmn(layer)
    return Memory(
        Part(w.linear_f[:, order], w.bias_f, w.project_f[order]),
        Part(w.linear_g[:, order], w.bias_g, w.project_g[order]),
        w.taps_f[order].T,
        w.taps_g[order].T,
    )


def memory_of_frames(layer: TimeFsmn, channels: int, bins: int) -> Memory:
    """Return the weights of a memory over all channels and bins of a frame, bins before channels."""
    return memory_of(layer, np.arange(layer.features).reshape(channels, bins).T.ravel())


def memory_of_bins(layer: BinFsmn) -> Memory:
    """Return the weights of a memory in each bin, whose taps [order, 2 features] are the same for f and g."""
    linear, bias, _, taps = (array(value) for value in layer.weights())
    parts = zip(np.split(linear, 2), np.split(bias, 2), (layer.re, layer.im), strict=True)
    f, g = (Part(weight, shift, array(part.project.weight)) for weight, shift, part in parts)
    return Memory(f, g, taps[:, 0, :, 0].T, taps[:, 0, :, 0].T)
