"""The arithmetic of `fixed.c` in Python, number for number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frcrn.export.fixed.quantise import CELL_BITS, SUM_BITS, UNIT_BITS, FixedLayer, Matrix, Numbers

Shorts = NDArray[np.int16]
TANH: Numbers = np.minimum(np.round(np.tanh(np.arange(257) / 32) * 2**UNIT_BITS), 2**UNIT_BITS - 1).astype(np.int64)
"""The hyperbolic tangent at 0, 1/32, ... 8."""
SIX = 6 << SUM_BITS


def saturated(x: Numbers) -> Numbers:
    """Bring numbers into 16 bits."""
    y: Numbers = np.clip(x, -(2**15), 2**15 - 1)
    return y


def shifted(x: Numbers, shift: Numbers | int) -> Numbers:
    """Divide by a power of two and round, halves upward."""
    y: Numbers = (x + (np.left_shift(1, shift) >> 1)) >> shift
    return y


def tanh(z: Numbers) -> Numbers:
    """[-8, 8] in Q12 and beyond -> Q15, by straight lines between the table's values."""
    size = np.minimum(np.abs(z), (8 << SUM_BITS) - 1)
    place, rest = size >> 7, size & 127
    found = TANH[place] + (((TANH[place + 1] - TANH[place]) * rest + 64) >> 7)
    y: Numbers = np.where(z < 0, -found, found)
    return y


def sigmoid(z: Numbers) -> Numbers:
    """Q12 -> Q15: (1 + tanh(z / 2)) / 2."""
    y: Numbers = (tanh(z >> 1) + 2**UNIT_BITS) >> 1
    return y


def activated(z: Numbers, kind: str) -> Numbers:
    """Sums in Q12 -> activations: Q15 where they are between -1 and 1, Q12 elsewhere."""
    if kind == "tanh":
        return tanh(z)
    if kind == "sigmoid":
        return sigmoid(z)
    return np.clip(z, 0, SIX) if kind == "relu6" else np.maximum(saturated(z), 0) if kind == "relu" else saturated(z)


def product(matrix: Matrix, x: Numbers) -> Numbers:
    """[inputs] -> sums [outputs] in Q12."""
    return shifted(matrix.weights @ x + matrix.bias, matrix.shifts)


class Stream:
    """The network, a frame at a time."""

    def __init__(self, layers: Sequence[FixedLayer]) -> None:
        self.layers = layers
        self.states = [np.zeros(layer.state, np.int64) for layer in layers]

    def step(self, features: Shorts) -> Shorts:
        """Features [inputs] in Q12 -> gains [outputs] in Q15."""
        x = features.astype(np.int64)
        for layer, state in zip(self.layers, self.states, strict=True):
            if layer.recurrent is not None:
                x = self.lstm(layer, layer.recurrent, state, x)
                continue
            if layer.frames > 1:
                state[:] = np.concatenate([state[layer.inputs :], x])
                x = state
            x = activated(product(layer.matrix, x), layer.activation)
        return x.astype(np.int16)

    @staticmethod
    def lstm(layer: FixedLayer, recurrent: Matrix, state: Numbers, x: Numbers) -> Numbers:
        """[inputs] -> h [outputs]; the state is h in Q15, then c in Q11."""
        h, c = np.split(state, 2)
        i, f, g, o = np.split(product(layer.matrix, x) + product(recurrent, h), 4)
        kept = shifted(sigmoid(f) * c, UNIT_BITS)
        c = saturated(kept + shifted(sigmoid(i) * tanh(g), 2 * UNIT_BITS - CELL_BITS))
        h = shifted(sigmoid(o) * tanh(c << 1), UNIT_BITS)
        state[:] = np.concatenate([h, c])
        return h


def as_features(x: NDArray[np.float32]) -> Shorts:
    """Features as the network takes them, Q12."""
    return saturated(np.round(x.astype(np.float64) * 2**SUM_BITS).astype(np.int64)).astype(np.int16)
