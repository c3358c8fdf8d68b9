"""Programs of the interpreter in `frcrn.c`: operations, the weights they read, and where their values lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.export.native.row_operations import OPERATIONS
from frcrn.export.native.structs import Argument, Buffer, Operation, View
from frcrn.models.layers.specs import Array

MAGIC, MAGIC_OF_LATE = b"FRCRN 2\n", b"FRCRN 3\n"
"""How a file begins, and one whose header says in the end by how many frames more a network answers later."""

ALIGNED = 16  # values, of which buffers and weights take whole multiples
SLACK = 64  # values after a buffer that a vector may read, though nothing comes of them


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
        self.operations: list[Operation] = []
        self.weights: list[Array] = []
        self.weight_count = 0
        self.state_count = ALIGNED  # the first are the number of frames so far, in 64 bits

    def emit(self, operation: Operation) -> None:
        """Append an operation."""
        self.operations.append(operation)

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

    def content(self, rate: int, window: int, hop: int, late: int = 0) -> bytes:
        """Return the model file of a network that answers so many frames later."""
        places, scratch = placed([tuple(each.arguments()) for each in self.operations])
        words: list[int] = []
        for operation in self.operations:
            arguments = [number(argument, places) for argument in operation.arguments()]
            words += [OPERATIONS.index(type(operation)), len(arguments), *arguments]
        state = self.state_count + SLACK  # a whole number of lines, so that states lie well one after the other
        table, stored = in_parts(np.concatenate(self.weights))
        header = [rate, window, hop, state, scratch, len(words), self.weight_count, len(table)]
        magic, header = (MAGIC_OF_LATE, [*header, late]) if late else (MAGIC, header)
        numbers = (np.array(part, "<i4") for part in (header, words, table))
        return magic + b"".join(part.tobytes() for part in (*numbers, *stored))


def in_parts(weights: Array) -> tuple[list[tuple[int, int]], list[NDArray[Any]]]:
    """[n] -> how many values each part has and of how many bytes, and the parts; those exact in float16 are in it."""
    with np.errstate(over="ignore"):
        halves = weights.astype("<f2")
    exact = ((halves == weights) & np.isfinite(weights)).reshape(-1, ALIGNED).all(axis=1)
    edges = ALIGNED * (np.flatnonzero(np.diff(exact)) + 1)
    in_half, in_single = np.split(halves, edges), np.split(weights.astype("<f4"), edges)
    alone = exact[np.append(0, edges // ALIGNED)]
    parts = [half if short else single for half, single, short in zip(in_half, in_single, alone, strict=True)]
    return [(len(part), part.itemsize) for part in parts], parts


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
