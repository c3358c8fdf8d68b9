"""Samples in, samples out, in pieces of other sizes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from frcrn.audio.reading import Samples


class Queue:
    """Blocks [C, n] pulled from an iterator and handed out again in other sizes."""

    def __init__(self, blocks: Iterable[Samples], channels: int) -> None:
        self._blocks = iter(blocks)
        self._held: Samples = np.zeros((channels, 0), np.float32)

    def take(self, frames: int) -> Samples:
        """Return the next frames, fewer only at the end: [C, up to frames]."""
        held, found = [self._held], self._held.shape[1]
        while found < frames:
            block = next(self._blocks, None)
            if block is None:
                break
            held.append(block)
            found += block.shape[1]
        joined = np.concatenate(held, axis=1) if len(held) > 1 else self._held
        self._held = joined[:, frames:]
        return joined[:, :frames]


class Fifo:
    """Samples that wait, first in, first out; the memory grows to what waited at most, and no further."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._held = np.zeros((channels, 1024), np.float32)
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    def append(self, samples: Samples) -> None:
        """[C, n]."""
        count = samples.shape[1]
        if self._end + count > self._held.shape[1]:
            self._make_room(count)
        self._held[:, self._end : self._end + count] = samples
        self._end += count

    def take(self, count: int) -> Samples:
        """Return the first [C, count], or all where fewer wait; valid until the next call."""
        first = self._start
        self._start = min(first + count, self._end)
        return self._held[:, first : self._start]

    def peek(self) -> Samples:
        """Return all that waits, [C, n], and keep it; valid until the next call."""
        return self._held[:, self._start : self._end]

    def cut(self, length: int) -> None:
        """Keep the first `length`, filled up with zeros where fewer wait."""
        if (missing := length - len(self)) > 0:
            self.append(np.zeros((len(self._held), missing), np.float32))
        self._end = self._start + length

    def clear(self) -> None:
        """Forget what waits."""
        self._start = self._end = 0

    def _make_room(self, count: int) -> None:
        waiting = self._held[:, self._start : self._end]
        # twice what is needed, so that the samples move seldom
        if 2 * (len(self) + count) > self._held.shape[1]:
            self._held = np.concatenate(
                [waiting, np.zeros((len(waiting), 2 * (len(self) + count) - len(self)), np.float32)], axis=1
            )
        else:
            self._held[:, : len(self)] = waiting.copy()
        self._start, self._end = 0, waiting.shape[1]
