"""Change the sample rate with short symmetric filters of our own: little delay, and in place to the sample.

Both directions use one kernel, a sinc under a Kaiser window `REACH` samples of the lower rate long to each side:

    k(t) = sin(pi * 2 CUT t) / (pi * t) * kaiser(t / REACH)        t in samples of the lower rate

Downwards y[m] = sum_n x[n] k(m - n / ratio), upwards y[n] = sum_m x[m] k(n / ratio - m), each set of taps scaled so
that a constant stays what it is. The kernel is 80 dB down beyond half the lower rate.

Rates as they are used (48 to 16 kHz is 3 : 1, 44.1 to 16 kHz 441 : 160) repeat the same taps after a few samples: such
a block of outputs is one matrix times the inputs that it reaches, and the matrix does many blocks at once. Rates
without a small common ratio would need too large a matrix; there, each output takes the nearest of `_PHASES` sets.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from frcrn.audio.fifo import Fifo
from frcrn.audio.reading import Samples

REACH = 80
"""Samples of the lower rate on each side of an output that it depends on: 5 ms at 16 kHz."""
CUT = 0.484
"""Where the kernel passes half of the amplitude, in parts of the lower rate: 7744 Hz at 16 kHz."""
_BETA = 7.86  # of the Kaiser window: 80 dB
_BLOCK = 40  # outputs at the lower rate that a matrix gives at least
_LARGEST = 1 << 21  # entries of a matrix
_PHASES = 2048
_AT_ONCE = 1 << 22  # taps looked up at once, where there is no matrix


class Ratio(NamedTuple):
    """So many inputs come to so many outputs, in lowest terms."""

    inputs: int
    outputs: int

    @property
    def reach(self) -> int:
        """Inputs on each side of an output that it depends on."""
        return math.ceil(REACH * max(1.0, self.inputs / self.outputs))


def ratio(rate: int, new_rate: int) -> Ratio:
    """Return the ratio of two rates."""
    common = math.gcd(rate, new_rate)
    return Ratio(rate // common, new_rate // common)


def taps(step: Ratio, offsets: NDArray[np.float64]) -> NDArray[np.float32]:
    """[..., 1] fractions of an input after the last one at or before an output -> [..., 2 reach + 1] taps.

    Tap i belongs to the input that is i - reach after that last one.
    """
    low = max(1.0, step.inputs / step.outputs)
    time = (np.arange(-step.reach, step.reach + 1) - offsets) / low
    window = np.i0(_BETA * np.sqrt(np.clip(1 - np.square(time / REACH), 0, None)))
    kernel = np.sinc(2 * CUT * time) * np.where(np.abs(time) < REACH, window, 0)
    found: NDArray[np.float32] = (kernel / kernel.sum(axis=-1, keepdims=True)).astype(np.float32)
    return found


class Bank(NamedTuple):
    """A matrix [inputs + 2 reach, outputs] that turns a block of inputs and what is around it into its outputs."""

    inputs: int
    outputs: int
    matrix: NDArray[np.float32]


@lru_cache(maxsize=16)
def bank(step: Ratio) -> Bank | None:
    """Return the matrix for a ratio, or None where it would be too large."""
    times = math.ceil(_BLOCK / min(step))
    inputs, outputs = times * step.inputs, times * step.outputs
    rows = inputs + 2 * step.reach
    if rows * outputs > _LARGEST:
        return None
    place = np.arange(outputs) * step.inputs
    found = taps(step, (place % step.outputs / step.outputs)[:, None])
    matrix = np.zeros((rows, outputs), np.float32)
    for number, first in enumerate(place // step.outputs):
        matrix[first : first + found.shape[1], number] = found[number]
    return Bank(inputs, outputs, matrix)


@lru_cache(maxsize=4)
def phases(step: Ratio) -> NDArray[np.float32]:
    """[phases + 1, 2 reach + 1]: taps for offsets from 0 to 1."""
    return taps(step, (np.arange(_PHASES + 1) / _PHASES)[:, None])


class ShortResampler:
    """A streaming resampler; output m is at the time of input m * rate / new_rate, silence before and after."""

    def __init__(self, rate: int, new_rate: int, channels: int) -> None:
        self._step = ratio(rate, new_rate)
        self._bank = bank(self._step)
        self._held = Fifo(channels)
        self.reset()

    def reset(self) -> None:
        """Begin again with silence before."""
        self._held.clear()
        # the first input held is number `_first`, a whole number of blocks less the reach
        self._first = -self._step.reach
        self._held.append(np.zeros((self._held.channels, self._step.reach), np.float32))
        self._taken = self._given = 0

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """[C, n] -> [C, as many as are ready]; with `last`, as many as cover all the time that went in."""
        self._held.append(samples)
        self._taken += samples.shape[1]
        inputs, outputs = self._step
        if last:
            ready = -(-self._taken * outputs // inputs)
            self._held.append(np.zeros((self._held.channels, 2 * self._step.reach + 1), np.float32))
        else:
            ready = max(self._given, -(-max(0, self._taken - self._step.reach) * outputs // inputs))
        return self._by_blocks(ready, self._bank) if self._bank else self._one_by_one(ready)

    def _by_blocks(self, ready: int, bank: Bank) -> Samples:
        """Give the outputs up to `ready`; of a block of which only a part is ready, that part."""
        begun = self._given // bank.outputs
        count = -(-ready // bank.outputs) - begun
        if ready == self._given:
            return np.zeros((self._held.channels, 0), np.float32)
        self._drop(begun * bank.inputs - self._step.reach)
        rows = len(bank.matrix)
        held = self._held.peek()
        if (missing := (count - 1) * bank.inputs + rows - held.shape[1]) > 0:
            held = np.pad(held, ((0, 0), (0, missing)))
        blocks = sliding_window_view(held, rows, axis=1)[:, : count * bank.inputs : bank.inputs]
        made = (blocks.reshape(-1, rows) @ bank.matrix).reshape(len(held), -1)
        start = begun * bank.outputs
        made = made[:, self._given - start : ready - start]
        self._given = ready
        return made

    def _one_by_one(self, ready: int) -> Samples:
        """Give the outputs up to `ready`, each with taps of its own."""
        table, parts = phases(self._step), []
        size = max(1, _AT_ONCE // table.shape[1])
        for start in range(self._given, ready, size):
            place = np.arange(start, min(ready, start + size)) * self._step.inputs
            first = place // self._step.outputs
            phase = np.rint(place % self._step.outputs / self._step.outputs * _PHASES).astype(int)
            self._drop(int(first[0]) - self._step.reach)
            windows = sliding_window_view(self._held.peek(), table.shape[1], axis=1)[:, first - first[0]]
            parts.append(np.einsum("cnt,nt->cn", windows, table[phase]))
        self._given = ready
        return np.concatenate([np.zeros((self._held.channels, 0), np.float32), *parts], axis=1)

    def _drop(self, first: int) -> None:
        """Forget the inputs before number `first`."""
        self._held.take(first - self._first)
        self._first = first
