"""Fourier transforms of one frame in two small steps of matrix products each, real numbers only.

With N = rows x columns, n = columns n1 + n2 and k = k1 + rows k2, the exponent of exp(-2 pi i n k / N) is

    n k / N = n1 k1 / rows + n2 (k1 + rows k2) / N        but for the whole number n1 k2

so X[k1 + rows k2] = sum_n2 exp(-2 pi i n2 (k1 + rows k2) / N) sum_n1 exp(-2 pi i n1 k1 / rows) x[columns n1 + n2]: a
transform of `rows` samples for each n2, and then one product over n2 for each k1, whose weights have taken in the
twiddle factors exp(-2 pi i n2 k1 / N). For 640 samples that is a tenth of the weights of the plain matrix [640, 642],
and reading weights is all that one frame costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.export.onnx.graph import Graph

Array = NDArray[Any]


def factors(size: int) -> tuple[int, int]:
    """Return rows and columns, rows x columns = size, as near to each other as they get."""
    columns = max(number for number in range(1, int(size**0.5) + 1) if size % number == 0)
    return size // columns, columns


def rotation(angle: Array) -> Array:
    """[a, b] -> [a, 2, b, 2]: what e^(i angle) does to (real, imaginary), inputs first."""
    table = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], axis=-1)
    return table.reshape(*angle.shape, 2, 2).swapaxes(-3, -2)


def turns(a: Array, b: Array, size: int) -> Array:
    """2 pi a b / size."""
    return 2 * np.pi * np.outer(a, b) / size


def analysed(graph: Graph, wave: str, taper: Array) -> str:
    """[1, N] -> spectrum [2, N / 2 + 1] of the tapered wave."""
    size = len(taper)
    rows, columns = factors(size)
    high = size // 2 // rows + 1
    n1, n2, k2 = np.arange(rows), np.arange(columns), np.arange(high)
    x = graph.reshape(graph.op("Mul", wave, taper[None]), rows, columns)
    # [k1, 2, n1] from real samples: only the first input of each rotation is there
    first = rotation(-turns(n1, n1, rows))[:, 0].transpose(1, 2, 0).reshape(2 * rows, rows)
    x = graph.reshape(graph.op("MatMul", first, x), rows, 1, 2 * columns)
    second = np.stack([rotation(-turns(n2, k2, columns) - turns(n2, np.full(high, k1), size)) for k1 in n1])
    # [k1, (n2, 2), (k2, 2)] -> [k1, (2, n2), (2, k2)]
    second = second.transpose(0, 2, 1, 4, 3).reshape(rows, 2 * columns, 2 * high)
    x = graph.reshape(graph.op("MatMul", x, second), rows, 2, high)
    x = graph.reshape(graph.op("Transpose", x, perm=[1, 2, 0]), 2, high * rows)
    return graph.part(x, 1, 0, size // 2 + 1)


def synthesised(graph: Graph, spec: str, taper: Array) -> str:
    """Spectrum [2, N / 2 + 1] -> tapered frame [1, N]."""
    size = len(taper)
    rows, columns = factors(size)
    bins = size // 2 + 1
    high = size // 2 // rows + 1
    n1, n2, k2 = np.arange(rows), np.arange(columns), np.arange(high)
    # every bin but the first and the last also stands for its mirror image
    share = np.full(high * rows, 2 / size)
    share[[0, bins - 1]] = 1 / size
    x = graph.op("Pad", spec, np.array([0, 0, 0, high * rows - bins]))
    x = graph.op("Transpose", graph.reshape(x, 2, high, rows), perm=[2, 0, 1])
    first = np.stack([rotation(turns(k2, n2, columns) + turns(np.full(high, k1), n2, size)) for k1 in n1])
    first = first * share.reshape(high, rows).T[:, :, None, None, None]
    first = first.transpose(0, 2, 1, 4, 3).reshape(rows, 2 * high, 2 * columns)
    x = graph.op("MatMul", graph.reshape(x, rows, 1, 2 * high), first)
    # the real part of [k1, 2] -> n1
    second = rotation(turns(n1, n1, rows))[..., 0].transpose(2, 0, 1).reshape(rows, 2 * rows)
    x = graph.op("MatMul", second, graph.reshape(x, 2 * rows, columns))
    return graph.op("Mul", graph.reshape(x, 1, size), taper[None])
