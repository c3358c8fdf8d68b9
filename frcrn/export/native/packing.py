"""Weights in the order in which `kernels.h` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from frcrn.export.weights import Array, array, linear
from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.complex import ComplexConv2d, ComplexConvTranspose2d, block_weight
from frcrn.models.layers.fuse import affine
from frcrn.models.layers.unet import Block

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


class Halves(NamedTuple):
    """A complex convolution, the real and the imaginary half of its weights: scale times convolution, plus bias."""

    phases: Array
    """[phases, 2, outputs, channels, taps, frames], the oldest frame first."""
    scale: Array
    """[2, outputs], as is the bias."""
    bias: Array


def halves(block: nn.Module) -> Halves:
    """Return the weights of a convolution, and of the batch norm after it where there is one."""
    layer = block.conv if isinstance(block, Block) else block
    assert isinstance(layer, ComplexConv2d | ComplexConvTranspose2d) and layer.re.bias is not None
    weight, bias = (array(value) for value in layer.combined())
    out, channels = len(layer.re.bias), weight.shape[1] // 2
    phases = weight.reshape(-1, 2, out, *weight.shape[1:])[:, :, :, :channels]
    bias = bias[: 2 * out].reshape(2, out)
    if not isinstance(block, Block):
        return Halves(phases, np.ones_like(bias), bias)
    assert isinstance(block.norm, nn.BatchNorm2d)
    scale, shift = (array(value).reshape(2, out) for value in affine(block.norm))
    return Halves(phases, scale, bias * scale + shift)


def by_image(weight: Array, channels: Sequence[int]) -> list[Array]:
    """[2, outputs, all channels, taps, frames] -> the same for each image, of so many channels."""
    return np.split(weight, np.cumsum(channels)[:-1], axis=2)


def per_pack(values: Array, pack: int) -> Array:
    """[2, outputs] -> the same with zeros after each part, up to whole packs."""
    return np.pad(values, ((0, 0), (0, -values.shape[1] % pack)))


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
        block = block_weight(torch.from_numpy(real), torch.from_numpy(imag)).numpy()
        rows.append(block.transpose(0, 2, 1).reshape(len(block), -1))
    return np.concatenate(rows, axis=1)
