"""Model files that were changed: bits, words, lengths, and places that were exchanged."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

WORDS = (0, 1, -1, 2, 3, 15, 16, 17, 63, 64, 255, 4096, 65535, 65536, 2**20, 2**30, 2**31 - 1, -(2**31), -17, -16)
"""What a word is changed to, besides numbers near to what it was."""


def mutated(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield so many changed copies; most changes fall on the header and the operations."""
    chance = random.Random(seed)
    (words,) = struct.unpack_from("<i", content, 28)
    for _ in range(count):
        copy = bytearray(content)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            chance.choice((flip, word, word, word, exchange, cut))(copy, 40 + 4 * words, chance)
        yield bytes(copy)


def flip(copy: bytearray, head: int, chance: random.Random) -> None:
    """Flip a bit, mostly before the weights."""
    end = head if chance.random() < 0.8 else len(copy)
    if min(end, len(copy)):
        copy[chance.randrange(min(end, len(copy)))] ^= 1 << chance.randrange(8)


def word(copy: bytearray, head: int, chance: random.Random) -> None:
    """Change a whole number of the header or of an operation."""
    if (count := min(head, len(copy)) // 4 - 2) < 1:
        return
    at = 8 + 4 * chance.randrange(count)
    (old,) = struct.unpack_from("<i", copy, at)
    new = chance.choice((chance.choice(WORDS), old + chance.randint(-2, 2), old * 2, old // 2, -old))
    struct.pack_into("<i", copy, at, (new + 2**31) % 2**32 - 2**31)


def exchange(copy: bytearray, head: int, chance: random.Random) -> None:
    """Put one word in the place of another."""
    if (count := min(head, len(copy)) // 4 - 2) < 1:
        return
    one, other = (8 + 4 * chance.randrange(count) for _ in range(2))
    copy[one : one + 4] = copy[other : other + 4]


def cut(copy: bytearray, head: int, chance: random.Random) -> None:
    """Leave bytes away, or append some."""
    if chance.random() < 0.5:
        del copy[chance.randrange(len(copy) + 1) :]
    else:
        copy += bytes(chance.randrange(256) for _ in range(chance.randrange(1, 65)))
