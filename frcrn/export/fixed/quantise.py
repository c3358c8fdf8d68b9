"""Weights as 8-bit numbers: each row of a matrix has a scale of its own, a power of two.

A row w of weights, an input x of 16 bits that stands for x / 2^q, and a bias b become

    z = (sum W x + B + half) >> s        W = round(w 2^p), B = round(b 2^(p + q)), s = p + q - 12, half = 2^(s - 1)

in 32 bits, and z / 2^12 is the sum that the activation takes. p is the largest for which |W| stays below 128 and no
sum can leave 32 bits, whatever the inputs are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.models.layers.rows import Activation, Dense, Lstm
from frcrn.models.layers.specs import Array
from frcrn.models.nnse import NNSE

Numbers = NDArray[np.int64]
SUM_BITS = 12
"""Of a sum before its activation, of features, and of activations that can leave -1 to 1."""
UNIT_BITS = 15
"""Of activations between -1 and 1."""
CELL_BITS = 11
"""Of an LSTM's cells, between -16 and 16."""
MOST_BITS = 15
LIMIT = 2**30
"""What the largest possible sum stays below, so that two of them and the rounding before a shift stay in 32 bits."""


class Matrix(NamedTuple):
    """Rows of 8-bit weights, the shift after each row's sum, and its bias on the scale of that sum."""

    weights: Numbers
    shifts: Numbers
    bias: Numbers


class FixedLayer(NamedTuple):
    """A layer: dense, or an LSTM where it has a recurrent matrix, of the gates i, f, g, o."""

    activation: Activation
    inputs: int
    frames: int
    outputs: int
    matrix: Matrix
    recurrent: Matrix | None

    @property
    def state(self) -> int:
        """Return how many values it keeps from frame to frame."""
        return 2 * self.outputs if self.recurrent else self.frames * self.inputs if self.frames > 1 else 0


def quantised(model: NNSE) -> list[FixedLayer]:
    """Return the layers of a network between features and gains."""
    layers, bits = [], SUM_BITS
    for layer in model.layers:
        if isinstance(layer, Dense):
            spec = layer.spec()
            bias = np.zeros(len(spec.weight), np.float32) if spec.bias is None else spec.bias
            outputs, width = spec.weight.shape
            matrix = rounded(spec.weight, bias, bits)
            layers.append(FixedLayer(spec.activation, width // spec.frames, spec.frames, outputs, matrix, None))
            bits = UNIT_BITS if spec.activation in ("tanh", "sigmoid") else SUM_BITS
        else:
            assert isinstance(layer, Lstm)
            cells = layer.spec()
            outputs, inputs = cells.recurrent.shape[1], cells.weight.shape[1]
            matrix = rounded(cells.weight, cells.bias + cells.recurrent_bias, bits)
            recurrent = rounded(cells.recurrent, np.zeros(4 * outputs, np.float32), UNIT_BITS)
            layers.append(FixedLayer("tanh", inputs, 1, outputs, matrix, recurrent))
            bits = UNIT_BITS
    return layers


def rounded(weight: Array, bias: Array, bits: int) -> Matrix:
    """Weights [outputs, inputs] and bias for inputs with so many bits after the point -> whole numbers."""
    powers = finest(weight, bias, bits)
    numbers, biases = scaled(weight, bias, bits, powers)
    return Matrix(numbers, powers + bits - SUM_BITS, biases)


def scaled(weight: Array, bias: Array, bits: int, powers: Numbers) -> tuple[Numbers, Numbers]:
    """Return weights [outputs, inputs] and bias as whole numbers, each row's times two to its power."""
    numbers = np.round(weight.astype(np.float64) * 2.0 ** powers[:, None])
    return numbers.astype(np.int64), np.round(bias.astype(np.float64) * 2.0 ** (powers + bits)).astype(np.int64)


def finest(weight: Array, bias: Array, bits: int) -> Numbers:
    """Return the largest power for each row with which its weights fit into 8 bits, and all its sums into 32."""
    powers = np.full(len(weight), MOST_BITS)
    for _ in range(MOST_BITS - SUM_BITS + bits + 1):
        numbers, shifts = scaled(weight, bias, bits, powers)
        sums = np.abs(numbers).sum(axis=1) * 2**15 + np.abs(shifts)
        large = (np.abs(numbers).max(axis=1) > 127) | (sums >= LIMIT)
        if not large.any():
            return powers
        powers = powers - large
    row = int(np.flatnonzero(large)[0])
    most = np.abs(weight[row]).max()
    raise ValueError(f"a row with weights up to {most:g} and bias {bias[row]:g} is too large for 8-bit weights")
