"""Weights in the order in which `kernels.h` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from frcrn.models.layers.complex import block_weight
from frcrn.models.layers.specs import Array, AttentionSpec, ConvolutionSpec, MemorySpec, ProjectionSpec

PACK = 16


def gates_of(spec: AttentionSpec) -> Array:
    """Return the weights of both gates, one after the other."""
    parts = [(gate.squeeze.ravel(), gate.bias, gate.excite.T.ravel(), gate.shift) for gate in (spec.re, spec.im)]
    return np.concatenate([values for part in parts for values in part])


def ordered(spec: MemorySpec, order: Any) -> MemorySpec:
    """Return a memory with its features in this order."""
    f, g = (ProjectionSpec(part.linear[:, order], part.bias, part.project[order]) for part in (spec.f, spec.g))
    return MemorySpec(f, g, spec.taps_f[order], spec.taps_g[order], spec.ahead)


def bins_first(spec: MemorySpec, channels: int, bins: int) -> MemorySpec:
    """Return a memory over all channels and bins of a frame, its features by bins and then channels."""
    return ordered(spec, np.arange(spec.features).reshape(channels, bins).T.ravel())


def halves(spec: ConvolutionSpec) -> Array:
    """Return the first half of a block weight, of real channels: [phases, 2, outputs, channels, taps, frames]."""
    weight = spec.weight
    return weight.reshape(-1, 2, spec.outputs, *weight.shape[1:])[:, :, :, : weight.shape[1] // 2]


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
