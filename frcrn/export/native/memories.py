"""The weights of memories as the program in C takes them: f and g apart, taps by age."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from frcrn.export.native.program import Array
from frcrn.models.layers.fsmn import BinFsmn, ComplexFsmn, TimeFsmn
from frcrn.models.layers.specs import array


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
    w = layer.spec()
    return Memory(
        Part(w.f.linear[:, order], w.f.bias, w.f.project[order]),
        Part(w.g.linear[:, order], w.g.bias, w.g.project[order]),
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
