"""Noise made from nothing: coloured noise, hum, fans, wind, clicks and tones; every one [T] at unit power."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from frcrn.data.spectrum import GRID, colour, filtered, good_size, irfft
from frcrn.data.speech_activity import Wave, power


def unit(wave: Wave) -> Wave:
    """Scale to a mean square of one; silence stays silence."""
    level = power(wave)
    return wave * np.float32(level**-0.5) if level > 0 else wave


def coloured(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """White to brown or blue noise with a random smooth colour."""
    slope = np.linspace(0, rng.uniform(-40, 12), GRID)
    return unit(filtered(rng.standard_normal(length, np.float32), slope + colour(rng, 6), rate))


def _harmonics(rng: np.random.Generator, length: int, rate: int, base: float, count: int, fall_db: float) -> Wave:
    """Sum harmonics of `base` hertz that fall by about `fall_db` each."""
    size = good_size(length + rate // 50)
    spectrum = np.zeros(size // 2 + 1, np.complex64)
    numbers = np.arange(1, count + 1)
    bins = np.rint(numbers * base * size / rate).astype(int)
    inside = bins < len(spectrum)
    gains = 10 ** ((-fall_db * numbers + rng.uniform(-10, 10, count)) / 20) * np.exp(2j * np.pi * rng.random(count))
    spectrum[bins[inside]] = gains[inside]
    return unit(irfft(spectrum, size, length))


def hum(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Mains hum at 50 or 60 Hz with its harmonics over a little coloured noise."""
    base = float(rng.choice([50.0, 60.0, 100.0, 120.0]))
    tone = _harmonics(rng, length, rate, base, int(rng.integers(3, 40)), rng.uniform(0.3, 3))
    return unit(tone + np.float32(rng.uniform(0.01, 0.3)) * coloured(rng, length, rate))


def fan(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """A fan or motor: falling noise, its blades' harmonics, and a slow beat."""
    air = filtered(
        rng.standard_normal(length, np.float32), np.linspace(6, rng.uniform(-45, -15), GRID) + colour(rng, 4), rate
    )
    blades = _harmonics(rng, length, rate, rng.uniform(40, 400), int(rng.integers(2, 20)), rng.uniform(1, 4))
    beat = 1 + rng.uniform(0, 0.4) * np.sin(
        2 * np.pi * (rng.uniform(0.5, 12) * np.arange(length) / rate + rng.random())
    )
    return unit((unit(air) + np.float32(rng.uniform(0.1, 1.0)) * blades) * beat.astype(np.float32))


def gusts(rng: np.random.Generator, length: int, rate: int, depth_db: float, per_second: float = 2.0) -> Wave:
    """Draw a slowly wandering gain [T] within `depth_db`."""
    points = max(2, int(length / rate * per_second) + 2)
    knots = np.cumsum(rng.standard_normal(points))
    knots = (knots - knots.mean()) / max(float(np.abs(knots - knots.mean()).max()), 1e-9) * depth_db / 2
    places = np.linspace(0, points - 1, length, dtype=np.float32)
    gains: Wave = np.interp(places, np.arange(points), 10 ** (knots / 20)).astype(np.float32)
    return gains


def wind(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Low rumble that comes in gusts."""
    fall = np.linspace(10, rng.uniform(-80, -50), GRID) + colour(rng, 5)
    rumble = filtered(rng.standard_normal(length, np.float32), fall, rate)
    return unit(rumble * gusts(rng, length, rate, rng.uniform(10, 30), per_second=rng.uniform(2, 8)))


def clicks(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Clicks, taps and keys: short decaying bursts at random times over a trace of noise."""
    wave = np.float32(10 ** rng.uniform(-3, -1.5)) * rng.standard_normal(length, np.float32)
    burst = max(8, int(rate * rng.uniform(0.002, 0.04)))
    shape = np.exp(-np.arange(burst) / burst * rng.uniform(3, 8)).astype(np.float32)
    for start in rng.integers(0, length, max(1, rng.poisson(rng.uniform(1, 12) * length / rate))):
        end = min(start + burst, length)
        hit = rng.standard_normal(burst, np.float32) * shape * np.float32(10 ** rng.uniform(-1, 0))
        wave[start:end] += hit[: end - start]
    return unit(filtered(wave, colour(rng, 15), rate))


def tones(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Beeps: a tone with a few harmonics, switched on and off, over a trace of noise."""
    tone = _harmonics(rng, length, rate, rng.uniform(200, 0.3 * rate), int(rng.integers(1, 4)), rng.uniform(6, 20))
    period, share = int(rate * rng.uniform(0.1, 1.5)), rng.uniform(0.2, 1.0)
    gate = ((np.arange(length) + rng.integers(period)) % period < share * period).astype(np.float32)
    ramp = np.ones(rate // 200, np.float32) / (rate // 200)
    smooth = np.convolve(gate, ramp, "same").astype(np.float32)
    return unit(tone * smooth + np.float32(10 ** rng.uniform(-2.5, -1)) * coloured(rng, length, rate))


def in_turn(rng: np.random.Generator, first: Wave, second: Wave, rate: int) -> Wave:
    """[T], [T] -> [T] of unit power: the first noise fades into the second within 10 to 300 ms, at any place."""
    place, fade = rng.uniform(0.1, 0.9) * len(first), rng.uniform(0.01, 0.3) * rate
    share = np.clip((np.arange(len(first)) - place) / fade, 0, 1).astype(np.float32)
    return unit((1 - share) * first + share * np.float32(10 ** rng.uniform(-0.4, 0.4)) * second)


MADE: tuple[Callable[[np.random.Generator, int, int], Wave], ...] = (coloured, coloured, hum, fan, wind, clicks, tones)
"""All kinds; coloured noise twice, because it resembles the most real noises."""


def made(rng: np.random.Generator, length: int, rate: int) -> Wave:
    """Draw a kind of made noise and make it, [T] at unit power."""
    return MADE[int(rng.integers(len(MADE)))](rng, length, rate)
