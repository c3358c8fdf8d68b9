"""DNSMOS, opinions predicted without the clean clip; its ONNX models are Microsoft's and are not shipped here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import MissingPackage
from frcrn.export.onnx.sessions import inference_session

Array = NDArray[np.floating]

RATE = 16000
SEGMENT = 144160
"""Samples, 9.01 s: what the models were trained on; shorter clips are repeated."""
OPINIONS = ("sig", "bak", "ovrl")
# From the models' output to the scale of the listening test, highest power first (the published fits).
FITS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
P835_NAMES = ("*sig_bak_ovr*.onnx",)
P808_NAMES = ("*p808*.onnx", "*model_v8*.onnx")
METRICS = {P835_NAMES: tuple(f"dnsmos_{name}" for name in OPINIONS), P808_NAMES: ("dnsmos_p808",)}
MEL_BANDS, MEL_WINDOW, MEL_HOP = 120, 321, 160


def available(folder: Path) -> tuple[str, ...]:
    """Return the metrics that the models in a folder give; what is no such model is refused."""
    found = [names for names in METRICS if _find(folder, names)]
    if not found:
        raise ValueError(f"{folder}: expected the DNSMOS models sig_bak_ovr.onnx or model_v8.onnx, found neither")
    for names in found:
        _graph(folder, names)
    return tuple(metric for names in found for metric in METRICS[names])


def fingerprint(folder: Path) -> str:
    """Return a hash of the models in a folder."""
    files = [file for file in (_find(folder, P835_NAMES), _find(folder, P808_NAMES)) if file]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def opinions(wave: Array, folder: Path) -> dict[str, float]:
    """[T] at 16 kHz -> P.835 opinions of speech, background and the whole, mean over segments."""
    run = _graph(folder, P835_NAMES)
    raw = np.stack([run(segment[None])[0] for segment in segments(wave)])
    return {name: float(np.polyval(FITS[name], raw[:, place]).mean()) for place, name in enumerate(OPINIONS)}


def overall_p808(wave: Array, folder: Path) -> float:
    """[T] at 16 kHz -> P.808 opinion, mean over segments."""
    run = _graph(folder, P808_NAMES)
    return float(np.mean([run(log_mel(segment[:-MEL_HOP])[None])[0, 0] for segment in segments(wave)]))


def segments(wave: Array) -> list[Array]:
    """[T] -> pieces of 9.01 s that start a second apart."""
    wave = np.tile(wave, -(-SEGMENT // len(wave))) if len(wave) < SEGMENT else wave
    return [wave[start : start + SEGMENT].astype(np.float32) for start in range(0, len(wave) - SEGMENT + 1, RATE)]


def log_mel(wave: Array) -> Array:
    """[T] -> [N, 120]: mel spectrum in dB under its peak, 80 dB deep, scaled around -40 dB."""
    padded = np.pad(wave.astype(np.float64), MEL_WINDOW // 2)
    window = np.hanning(MEL_WINDOW + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, MEL_WINDOW)[::MEL_HOP] * window
    power = np.square(np.abs(np.fft.rfft(frames))) @ mel_filters().T
    level = 10 * np.log10(np.maximum(power, 1e-10))
    level = np.maximum(level - 10 * np.log10(max(power.max(), 1e-10)), -80.0)
    return np.asarray((level + 40) / 40, dtype=np.float32)


@lru_cache
def mel_filters() -> NDArray[np.float64]:
    """[120, F]: triangles of equal area, evenly spaced on Slaney's mel scale from 0 to 8 kHz."""
    centres = _slaney_hertz(np.linspace(0, _slaney_mel(RATE / 2), MEL_BANDS + 2))
    bins = np.fft.rfftfreq(MEL_WINDOW, 1 / RATE)
    widths = np.diff(centres)[:, None]
    rising = (bins - centres[:-2, None]) / widths[:-1]
    falling = (centres[2:, None] - bins) / widths[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (centres[2:] - centres[:-2]))[:, None])


# Slaney's scale: linear up to 1 kHz (15 mel), then 27 mel for each factor of 6.4.
def _slaney_mel(hertz: float) -> float:
    return hertz / (200 / 3) if hertz < 1000 else 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))


def _slaney_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _find(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()), None)


@lru_cache
def _graph(folder: Path, patterns: tuple[str, ...]) -> Callable[[Array], Any]:
    file = _find(folder, patterns)
    if file is None:
        raise ValueError(f"{folder}: expected a DNSMOS model named {' or '.join(patterns)}, found none")
    silence = np.zeros((1, SEGMENT), np.float32)
    try:
        session = inference_session(str(file), 1, "DNSMOS")
        name = session.get_inputs()[0].name
        found = session.run(None, {name: silence if patterns == P835_NAMES else log_mel(silence[0, :-MEL_HOP])[None]})
        fits = found[0].shape == (1, len(METRICS[patterns]))
    except MissingPackage:
        raise
    except Exception:  # ONNX Runtime has errors of its own, which share no class
        fits = False
    if not fits:
        raise ValueError(f"{file}: not the DNSMOS model that its name promises, or damaged")
    return lambda values: session.run(None, {name: values})[0]
