"""Segments full of speech: utterances one after another with short pauses, and babble of many voices."""

from __future__ import annotations

import numpy as np

from frcrn.data.sampling import Shelf
from frcrn.data.speech_activity import Wave, frame_length

LEVEL_DB = -26.0
"""Every utterance is brought to this active level before anything else happens to it."""
MARGIN_SECONDS = 0.12
"""Kept before and after the active part of an utterance, for soft onsets and tails."""
LEAST_ACTIVE = 0.6


def utterance(shelf: Shelf, rng: np.random.Generator, file: int, room: int, inside: bool) -> Wave:
    """Return at most `room` samples of a file's active part, at -26 dBFS; `inside` may start within the speech."""
    cache = shelf.cache
    frame = frame_length(cache.rate)
    active = np.flatnonzero(cache.activity(file))
    if not len(active):
        return np.zeros(0, np.float32)
    margin = int(MARGIN_SECONDS * cache.rate)
    first = max(0, int(active[0]) * frame - margin)
    last = min(int(cache.lengths[file]), (int(active[-1]) + 1) * frame + margin)
    spare = last - first - room
    start = first + (_busy_start(cache.activity(file), rng, first, spare, room, frame) if inside and spare > 0 else 0)
    wave = cache.wave(file, start, min(start + room, last))
    gain = 10 ** ((LEVEL_DB - cache.levels[file]) / 20)
    return faded(wave * np.float32(gain), cache.rate // 100)


def _busy_start(active: np.ndarray, rng: np.random.Generator, first: int, spare: int, room: int, frame: int) -> int:
    """Draw starts until one sees enough speech; after four, take the best of them."""
    best, most = 0, -1.0
    for _ in range(4):
        start = int(rng.integers(spare + 1))
        seen = active[(first + start) // frame : -(-(first + start + room) // frame)]
        share = float(seen.mean()) if len(seen) else 0.0  # what is left of the last frame has none
        if share > most:
            best, most = start, share
        if most >= LEAST_ACTIVE:
            break
    return best


def faded(wave: Wave, length: int) -> Wave:
    """Fade both ends, so that no cut clicks."""
    length = min(length, len(wave) // 2)
    if length:
        ramp = np.arange(1, length + 1, dtype=np.float32) / (length + 1)
        wave[:length] *= ramp
        wave[-length:] *= ramp[::-1]
    return wave


def gap_samples(rng: np.random.Generator, rate: int, pause_share: float) -> int:
    """Draw a pause: mostly under half a second; in `pause_share` of the cases up to 1.5 s."""
    seconds = rng.uniform(0.5, 1.5) if rng.random() < pause_share else min(rng.exponential(0.15), 0.5)
    return int(seconds * rate)


def talk(
    shelf: Shelf, rng: np.random.Generator, length: int, pause_share: float = 0.15, same_voice: float = 0.7
) -> Wave:
    """Fill [T] with utterances, mostly of one voice, with pauses between them."""
    out = np.zeros(length, np.float32)
    file = shelf.pick(rng)
    place = min(gap_samples(rng, shelf.cache.rate, pause_share), length // 3) if rng.random() < 0.3 else 0
    inside = place == 0
    while place < length:
        piece = utterance(shelf, rng, file, length - place, inside)
        out[place : place + len(piece)] = piece * np.float32(10 ** (rng.uniform(-2, 2) / 20))
        place += len(piece) + gap_samples(rng, shelf.cache.rate, pause_share)
        file = shelf.pick_alike(rng, file) if rng.random() < same_voice else shelf.pick(rng)
        inside = False
    return out


def babble(shelf: Shelf, rng: np.random.Generator, length: int, voices: tuple[int, int] = (4, 9)) -> Wave:
    """Sum several talkers [T] at slightly different levels."""
    out = np.zeros(length, np.float32)
    for _ in range(int(rng.integers(voices[0], voices[1] + 1))):
        gain = np.float32(10 ** (rng.uniform(-5, 5) / 20))
        place = 0
        while place < length:
            piece = utterance(shelf, rng, shelf.pick(rng), length - place, inside=True)
            out[place : place + len(piece)] += gain * piece
            place += len(piece) + int(rng.uniform(0, 0.3) * shelf.cache.rate) + 1
    return out
