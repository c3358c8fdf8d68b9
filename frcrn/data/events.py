"""Noises made of single events: keyboards, hands on a microphone, blows, music; every one [T] at unit power."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from frcrn.data.noises import coloured, unit
from frcrn.data.spectrum import colour, filtered
from frcrn.data.speech_activity import Wave

Kind = Callable[[np.random.Generator, int, int], Wave]

SCALE = (0, 2, 4, 5, 7, 9, 11)
"""Semitones of a major scale; music that is made stays within one."""


def times(rng: np.random.Generator, length: int, rate: int, per_second: float) -> Iterator[int]:
    """Draw the samples at which events begin: at random, `per_second` on average, one at least."""
    yield from rng.integers(0, length, max(1, rng.poisson(per_second * length / rate)))


def put(wave: Wave, start: int, sound: Wave) -> None:
    """Add a sound to a wave from a place on, as far as it fits, in place."""
    part = sound[: max(0, len(wave) - start)]
    wave[start : start + len(part)] += part


def struck(rng: np.random.Generator, rate: int, seconds: float, ring: float) -> Wave:
    """Make one blow [n]: noise with a sharp beginning that dies away, with a share `ring` of resonances."""
    length = max(8, int(seconds * rate))
    time = np.arange(length, dtype=np.float32) / rate
    fall = np.exp(-time * (6.9 / seconds)).astype(np.float32)  # down by 60 dB at the end
    sound = (1 - ring) * rng.standard_normal(length, np.float32)
    for pitch in np.exp(rng.uniform(np.log(80), np.log(0.45 * rate), 4)):
        sound += np.float32(ring) * np.sin(2 * np.pi * np.float32(pitch) * time + rng.uniform(0, 6.28)).astype(
            np.float32
        )
    return sound * fall


def keyboard(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Typing: each key a click going down and a softer one coming up, in runs with pauses."""
    wave = np.float32(10 ** rng.uniform(-3.5, -2)) * rng.standard_normal(length, np.float32)
    clicks = [struck(rng, rate, rng.uniform(0.008, 0.04), rng.uniform(0.1, 0.6)) for _ in range(5)]
    place = 0.0
    while place < length:
        key, loud = clicks[int(rng.integers(5))], np.float32(10 ** rng.uniform(-0.7, 0))
        put(wave, int(place), loud * key)
        put(wave, int(place + rate * rng.uniform(0.05, 0.12)), np.float32(0.4) * loud * key[::-1].copy())
        place += rate * (rng.uniform(0.07, 0.25) if rng.random() < 0.9 else rng.uniform(0.4, 1.5))
    return unit(filtered(wave, np.linspace(-10, 6, 64) + colour(rng, 8), rate))


def handling(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Hands and cloth on a microphone: low thuds and rubbing that swells and stops."""
    wave = np.zeros(length, np.float32)
    for start in times(rng, length, rate, rng.uniform(0.5, 4)):
        put(wave, start, np.float32(10 ** rng.uniform(-1, 0.3)) * struck(rng, rate, rng.uniform(0.05, 0.3), 0.3))
    for start in times(rng, length, rate, rng.uniform(0.5, 2)):
        size = int(rate * rng.uniform(0.1, 0.8))
        rub = rng.standard_normal(size, np.float32) * np.hanning(size).astype(np.float32)
        put(
            wave,
            start,
            rub * (1 + rng.uniform(0, 1) * np.sin(np.arange(size) * rng.uniform(0.005, 0.05))).astype(np.float32),
        )
    return unit(filtered(wave, np.linspace(12, rng.uniform(-50, -20), 64) + colour(rng, 6), rate))


def bursts(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Doors, dishes, tools: blows of any colour, some in quick series, over a trace of noise."""
    wave = np.float32(10 ** rng.uniform(-3, -1.5)) * coloured(rng, length, rate)
    for start in times(rng, length, rate, rng.uniform(0.4, 3)):
        blow = struck(rng, rate, 10 ** rng.uniform(-1.5, 0), rng.uniform(0, 0.9))
        blow = filtered(blow, colour(rng, 18), rate) * np.float32(10 ** rng.uniform(-0.7, 0.3))
        gap = int(rate * rng.uniform(0.03, 0.3))
        for number in range(int(rng.integers(1, 8)) if rng.random() < 0.3 else 1):
            put(wave, start + number * gap, blow * np.float32(0.8**number))
    return unit(wave)


def music(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Chords and a melody on made instruments, with drums in half of the cases."""
    beat = rate * 60 / rng.uniform(60, 160)
    root = 55 * 2 ** (rng.integers(0, 24) / 12)
    wave = np.zeros(length, np.float32)
    for number in range(int(length / beat) + 1):
        start = int(number * beat)
        if number % 4 == 0:
            step = int(rng.integers(7))
            for third in (0, 2, 4):
                put(wave, start, np.float32(0.5) * note(rng, rate, pitch(root, step + third), 4 * beat / rate))
        if rng.random() < 0.8:
            put(wave, start, note(rng, rate, 2 * pitch(root, int(rng.integers(14))), beat / rate * rng.uniform(0.5, 2)))
    if rng.random() < 0.5:
        wave = unit(wave) + np.float32(rng.uniform(0.2, 1)) * drums(rng, length, rate, beat)
    return unit(filtered(wave, colour(rng, 5), rate))


def pitch(root: float, step: int) -> float:
    """Return the frequency of a step of the scale, any number of octaves up."""
    return float(root * 2 ** (step // 7 + SCALE[step % 7] / 12))


def note(rng: np.random.Generator, rate: int, hertz: float, seconds: float) -> Wave:
    """Make one note [n] of up to ten harmonics, plucked or held."""
    time = np.arange(max(16, int(seconds * rate)), dtype=np.float32) / rate
    numbers = [number for number in range(1, 11) if number * hertz < 0.48 * rate]
    fall = rng.uniform(0.3, 1.5)
    sound = sum(np.sin(2 * np.pi * np.float32(number * hertz) * time) / number**fall for number in numbers)
    shape = np.exp(-time * rng.uniform(1, 8)) if rng.random() < 0.6 else np.minimum(1, 20 * time)
    ending = np.minimum(1, np.arange(len(time), 0, -1) / (0.02 * rate))
    return np.asarray(sound * shape * ending * np.float32(10 ** rng.uniform(-0.4, 0)), np.float32)


def drums(rng: np.random.Generator, length: int, rate: int, beat: float) -> Wave:
    """A low and a high drum in turn, and a rattle between them."""
    wave = np.zeros(length, np.float32)
    low = filtered(struck(rng, rate, 0.25, 0.8), np.linspace(15, -40, 64), rate)
    high, rattle = struck(rng, rate, 0.15, 0.2), struck(rng, rate, 0.05, 0.0)
    for number in range(int(2 * length / beat) + 1):
        start = int(number * beat / 2)
        put(wave, start, rattle * np.float32(0.3))
        if number % 2 == 0:
            put(wave, start, low if number % 4 == 0 else high)
    return unit(wave)


KINDS: tuple[Kind, ...] = (keyboard, handling, bursts, bursts, music, music)
