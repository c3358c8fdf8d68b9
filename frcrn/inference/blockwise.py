"""Run a network over a wave of any length that comes in blocks: streamed where it can be, in pieces otherwise.

A network that cannot stream sees a wave of up to `WHOLE` seconds at once. A longer one is cut into equal pieces of at
most `PIECE` seconds, each overlapping the next by `OVERLAP` seconds: a guard at both ends, where a piece lacks context,
is thrown away, and between the guards one piece fades linearly into the next. Pieces begin on the network's own frame
grid, so that both pieces of a seam see the same frames. The released network takes 0.9 GB in all for a piece, and
1.2 GB for the longest wave that it sees at once.

Several passes, each with the frames placed a part of a hop later than in the one before, are averaged: what a network
does wrong depends on where its frames lie, what it does right hardly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np

from frcrn.audio import Samples, exactly
from frcrn.audio.fifo import Queue
from frcrn.inference.network import Network, runner

WHOLE = 20.0
PIECE = 10.0
OVERLAP = 1.0
GUARD = 0.3


def run(model: Network, blocks: Iterable[Samples], length: int, channels: int, passes: int = 1) -> Iterator[Samples]:
    """Blocks [C, n] at the model's rate, `length` in all -> as many clean samples, in blocks."""
    if passes > 1:
        return averaged(model, blocks, length, channels, passes)
    queue = Queue(blocks, channels)
    return streamed(model, queue, length, channels) if model.streams else pieced(model, queue, length)


def averaged(model: Network, blocks: Iterable[Samples], length: int, channels: int, passes: int) -> Iterator[Samples]:
    """Run the network several times, each time a part of a hop later, and yield the mean."""
    copies = itertools.tee(blocks, passes)
    lates = [model.hop * number // passes for number in range(passes)]
    cleans = [later(model, copy, length, channels, late) for copy, late in zip(copies, lates, strict=True)]
    size = max(1, int(PIECE * model.sample_rate) // channels)
    for start in range(0, length, size):
        wanted = min(size, length - start)
        yield np.mean([clean.take(wanted) for clean in cleans], axis=0, dtype=np.float32)


def later(model: Network, blocks: Iterable[Samples], length: int, channels: int, late: int) -> Queue:
    """Run the network with silence put before the wave, and take that from the result again."""
    silence = np.zeros((channels, late), np.float32)
    clean = Queue(run(model, itertools.chain([silence], blocks), late + length, channels), channels)
    clean.take(late)
    return clean


def streamed(model: Network, queue: Queue, length: int, channels: int) -> Iterator[Samples]:
    """Step through the wave with the network's state, all channels side by side, its delay taken out."""
    late = model.lag
    size = max(1, int(PIECE * model.sample_rate) // channels // model.hop) * model.hop
    at = runner(model)
    state = at.initial_state(channels)
    for start in range(0, length + late, size):
        wanted = min(size, model.hop * math.ceil((length + late - start) / model.hop))
        clean, state = at.step(exactly(queue.take(wanted), wanted), state)
        yield clean[:, max(0, late - start) : length + late - start]


def pieced(model: Network, queue: Queue, length: int) -> Iterator[Samples]:
    """Show the network the whole wave, or overlapping pieces of it that fade into each other."""
    starts, overlap = pieces(model, length)
    fade = _fade(overlap, int(GUARD * model.sample_rate))
    noisy = queue.take(length if len(starts) == 1 else starts[1] + overlap)
    tail = None
    for number, start in enumerate(starts):
        clean = forward(model, noisy)
        if tail is not None:
            clean[:, :overlap] = tail * (1 - fade) + clean[:, :overlap] * fade
        if number + 1 == len(starts):
            yield clean
            return
        stride = starts[number + 1] - start
        yield clean[:, :stride]
        tail = clean[:, stride:]
        last = number + 2 == len(starts)
        noisy = np.concatenate([noisy[:, stride:], queue.take(length if last else stride)], axis=1)


def pieces(model: Network, length: int) -> tuple[list[int], int]:
    """Plan a wave of so many samples: where its pieces start, and by how much each overlaps the next."""
    piece = int(PIECE * model.sample_rate)
    overlap = model.window + int(OVERLAP * model.sample_rate) // model.hop * model.hop
    if length <= WHOLE * model.sample_rate:
        return [0], overlap
    count = math.ceil((length - overlap) / (piece - overlap))
    stride = math.ceil((length - overlap) / count / model.hop) * model.hop
    return [number * stride for number in range(count)], overlap


def forward(model: Network, noisy: Samples) -> Samples:
    """[C, T] -> [C, T], as many channels at once as fit into the memory of one piece."""
    group = max(1, int(PIECE * model.sample_rate) // noisy.shape[1])
    at = runner(model)
    return np.concatenate([at.whole(noisy[first : first + group]) for first in range(0, len(noisy), group)])


def _fade(overlap: int, guard: int) -> Samples:
    """[overlap]: 0 in the first guard, 1 in the last, a line between."""
    ramp = np.linspace(0, 1, overlap - 2 * guard, dtype=np.float32)
    return np.concatenate([np.zeros(guard, np.float32), ramp, np.ones(guard, np.float32)])
