"""Programs of the interpreter in `frcrn.c`: operations, the weights they read, and where their values lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.export.weights import Array

MAGIC = b"FRCRN 1\n"
ALIGNED = 16  # values, of which buffers and weights take whole multiples
SLACK = 64  # values after a buffer that a vector may read, though nothing comes of them


class Kind(IntEnum):
    """What an operation does; the order is that of `frcrn.c`."""

    ANALYSE = 0
    FEATURES = 1
    CONVOLVE = 2
    PRODUCT = 3
    ALONG_BINS = 4
    IN_BINS = 5
    ALONG_TIME = 6
    GATE = 7
    ADD = 8
    COPY = 9
    BOUND = 10
    APPLY = 11


@dataclass(eq=False)
class Buffer:
    """Room for values that live from the first operation that names it to the last."""

    size: int


class View(NamedTuple):
    """A buffer from some value on."""

    buffer: Buffer
    start: int


Argument = int | Buffer | View


def after(x: Argument, start: int) -> Argument:
    """What comes after the first values of a scratch buffer."""
    if isinstance(x, View):
        return View(x.buffer, x.start + start)
    return View(x, start) if isinstance(x, Buffer) else x - start


def aligned(size: int) -> int:
    """Return the next whole multiple."""
    return size + -size % ALIGNED


class Program:
    """Operations in order; weights and states are numbers at once, buffers when all are known."""

    def __init__(self) -> None:
        self.operations: list[tuple[Kind, tuple[Argument, ...]]] = []
        self.weights: list[Array] = []
        self.weight_count = 0
        self.state_count = ALIGNED  # the first are the number of frames so far, in 64 bits

    def emit(self, kind: Kind, *arguments: Argument) -> None:
        """Append an operation."""
        self.operations.append((kind, arguments))

    def weight(self, values: NDArray[Any]) -> int:
        """Keep weights and return their number."""
        flat = np.ascontiguousarray(values, dtype=np.float32).ravel()
        number = self.weight_count
        self.weights.append(np.pad(flat, (0, aligned(len(flat)) - len(flat))))
        self.weight_count += len(self.weights[-1])
        return number

    def state(self, size: int) -> int:
        """Make room for what is kept from frame to frame, and return its number; it begins as zeros."""
        number = self.state_count
        self.state_count += aligned(size)
        return ~number

    def content(self, rate: int, window: int, hop: int) -> bytes:
        """Return the model file."""
        places, scratch = placed([arguments for _, arguments in self.operations])
        words: list[int] = []
        for kind, arguments in self.operations:
            words += [kind, len(arguments), *(number(argument, places) for argument in arguments)]
        state = self.state_count + SLACK  # a whole number of lines, so that states lie well one after the other
        header = [rate, window, hop, state, scratch, len(words), self.weight_count]
        parts = [np.array(header, "<i4"), np.array(words, "<i4"), *(part.astype("<f4") for part in self.weights)]
        return MAGIC + b"".join(part.tobytes() for part in parts)


def number(argument: Argument, places: dict[Buffer, int]) -> int:
    """Return what stands for an argument in a program."""
    if isinstance(argument, Buffer):
        return places[argument]
    return places[argument.buffer] + argument.start if isinstance(argument, View) else int(argument)


def placed(operations: Sequence[tuple[Argument, ...]]) -> tuple[dict[Buffer, int], int]:
    """Return where each buffer lies, apart from all that live at the same time, and the room for all."""
    lives: dict[Buffer, list[int]] = {}
    for when, arguments in enumerate(operations):
        for argument in arguments:
            buffer = argument.buffer if isinstance(argument, View) else argument
            if isinstance(buffer, Buffer):
                lives.setdefault(buffer, [when, when])[1] = when
    places: dict[Buffer, int] = {}
    for buffer, (first, last) in lives.items():
        beside = sorted(
            (places[other], places[other] + room(other))
            for other in places
            if lives[other][1] >= first and lives[other][0] <= last
        )
        start = 0
        for begin, end in beside:
            if start + room(buffer) <= begin:
                break
            start = max(start, end)
        places[buffer] = start
    return places, max((start + room(buffer) for buffer, start in places.items()), default=0)


def room(buffer: Buffer) -> int:
    """How many values a buffer takes, with what may be read behind it."""
    return aligned(buffer.size) + SLACK
