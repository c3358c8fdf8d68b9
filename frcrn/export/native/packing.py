"""Weights in the order in which `kernels.h` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from frcrn.export.graph import array
from frcrn.export.native.program import Array
from frcrn.export.weights import linear
from frcrn.layers.attention import ComplexSE

PACK = 16


def gates_of(layer: ComplexSE) -> Array:
    """Return the weights of both gates, one after the other."""
    parts = []
    for gate in (layer.re, layer.im):
        (first, bias), (second, shift) = linear(gate[0]), linear(gate[2])
        parts += [first.ravel(), bias, second.T.ravel(), shift]
    return np.concatenate(parts)


def hidden_of(layer: ComplexSE) -> int:
    """Return how many hidden values a gate has."""
    return len(linear(layer.re[0])[0])


def folded(layer: Any, norm: Any) -> tuple[Array, Array]:
    """Return scale and bias [2 outputs] of a complex convolution and the batch norm after it, if there is one."""
    real, imag = array(layer.re.bias).astype(np.float64), array(layer.im.bias).astype(np.float64)
    bias = np.concatenate([real - imag, real + imag])
    if norm is None:
        return np.ones(len(bias), np.float32), bias.astype(np.float32)
    weight, shift, mean, variance = (
        array(value).astype(np.float64) for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    scale = weight / np.sqrt(variance + norm.eps)
    return scale.astype(np.float32), ((bias - mean) * scale + shift).astype(np.float32)


def by_image(weight: Array, channels: Sequence[int]) -> list[Array]:
    """[2, outputs, all channels, taps, frames] -> the same for each image, of so many channels."""
    return np.split(weight, np.cumsum(channels)[:-1], axis=2)


def per_phase(values: Array, stride: int) -> Array:
    """[2 outputs] -> [2 stride outputs]: each phase has the same."""
    return np.tile(values.reshape(2, 1, -1), (1, stride, 1)).ravel()


def per_pack(values: Array, pack: int) -> Array:
    """[2 outputs] -> the same with zeros after each part, up to whole packs."""
    parts = values.reshape(2, -1)
    return np.pad(parts, ((0, 0), (0, -parts.shape[1] % pack))).ravel()


def pack_of(outputs: int, most: int) -> int:
    """Return how many outputs go together: what wastes least, and of that the most."""
    sizes = [PACK * count for count in (1, 2, 4) if count <= most]
    return min(sizes, key=lambda size: (outputs + -outputs % size, -size))


def complex_packed(parts: Sequence[Array], pack: int) -> Array:
    """Images' weights [2, outputs, channels, taps] -> [packs, images, taps, channels, 2, pack]."""
    padded = [np.pad(part, ((0, 0), (0, -part.shape[1] % pack), (0, 0), (0, 0))) for part in parts]
    packs = padded[0].shape[1] // pack
    rows = [
        part.reshape(2, packs, pack, *part.shape[2:]).transpose(1, 4, 3, 0, 2).reshape(packs, -1) for part in padded
    ]
    return np.concatenate(rows, axis=1)


def few(parts: Sequence[Array]) -> Array:
    """Images' weights [2, outputs, channels, taps] -> [2 outputs, images, taps, 2 channels]."""
    rows = []
    for real, imag in parts:
        block = np.concatenate([np.concatenate([real, -imag], axis=1), np.concatenate([imag, real], axis=1)])
        rows.append(block.transpose(0, 2, 1).reshape(len(block), -1))
    return np.concatenate(rows, axis=1)
