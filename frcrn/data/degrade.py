"""What recorders and calls do to a noisy wave; the target stays whole."""

from __future__ import annotations

import numpy as np

from frcrn.data.speech_activity import Wave

FRAME = 512


def clipped(rng: np.random.Generator, wave: Wave) -> Wave:
    """Clip the loudest 0.1 to 5 % of the samples, hard or soft."""
    share = 10 ** rng.uniform(-3, -1.3)
    top = np.float32(np.quantile(np.abs(wave[::4]), 1 - share))
    if top <= 0:
        return wave
    if rng.random() < 0.7:
        return np.clip(wave, -top, top)
    soft: Wave = top * np.tanh(wave / top)
    return soft


def companded(rng: np.random.Generator, wave: Wave) -> Wave:
    """Quantise logarithmically to 7 or 8 bits, as telephones do."""
    peak = max(float(np.abs(wave).max()), 1e-9)
    steps = float(rng.choice([63.0, 127.0]))
    folded = np.log1p(255 * np.abs(wave) / np.float32(peak)) / np.log1p(np.float32(255))
    coarse = np.rint(folded * steps) / steps
    back: Wave = np.sign(wave) * np.float32(peak) * np.expm1(coarse * np.log1p(np.float32(255))) / np.float32(255)
    return back


def coarse_spectrum(rng: np.random.Generator, wave: Wave) -> Wave:
    """Quantise short spectra so that weak bins vanish, as codecs at low rates do."""
    hop = FRAME // 2
    window = np.sin(np.pi * (np.arange(FRAME) + 0.5) / FRAME).astype(np.float32)
    frames = -(-len(wave) // hop) + 1
    padded = np.zeros((frames + 1) * hop, np.float32)
    padded[hop : hop + len(wave)] = wave
    rows = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::hop] * window
    spectra = np.fft.rfft(rows, axis=1)
    step = np.abs(spectra).max(axis=1, keepdims=True) * 10 ** (rng.uniform(-45, -25) / 20) + 1e-9
    coarse = (np.rint(spectra.real / step) + 1j * np.rint(spectra.imag / step)) * step
    back = (np.fft.irfft(coarse, FRAME, axis=1) * window).astype(np.float32)
    out = np.zeros_like(padded)
    out[: frames * hop] += back[:, :hop].reshape(-1)
    out[hop:] += back[:, hop:].reshape(-1)
    return out[hop : hop + len(wave)]


def coded(rng: np.random.Generator, wave: Wave) -> Wave:
    """Damage like a codec: telephone companding or a coarse spectrum."""
    return companded(rng, wave) if rng.random() < 0.4 else coarse_spectrum(rng, wave)


def packets_lost(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """Lose 2 to 15 % of the packets of 10 to 30 ms, alone or in runs; silence, or the packet before, in their place."""
    size = int(rate * rng.choice([0.01, 0.02, 0.03]))
    share, stay = rng.uniform(0.02, 0.15), rng.uniform(0.0, 0.6)
    repeats, lost, out = rng.random() < 0.5, False, wave.copy()
    for start in range(size, len(wave) - size, size):
        lost = rng.random() < (stay if lost else share * (1 - stay))
        if lost:
            out[start : start + size] = np.float32(0.7) * out[start - size : start] if repeats else 0
    return out


def level_step(rng: np.random.Generator, length: int, rate: int, share: float) -> Wave | np.float32:
    """Draw a gain [T] that falls by up to 20 dB somewhere, or is that much lower until then; mostly it is just 1."""
    if rng.random() >= share:
        return np.float32(1)
    place, fade = rng.uniform(0.2, 0.8) * length, rng.uniform(0.005, 0.2) * rate
    after = np.clip((np.arange(length) - place) / fade, 0, 1).astype(np.float32)
    low = rng.uniform(-20, -4)
    gains: Wave = np.float32(10) ** (np.float32(low / 20) * (after if rng.random() < 0.5 else 1 - after))
    return gains
