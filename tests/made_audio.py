"""Small signals for the tests of training data: speech-like bursts of harmonics, and noises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def speech(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Syllables of a gliding harmonic tone with pauses, [T] near -20 dBFS."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * (rng.uniform(2, 4) * time + rng.random())), 0, 1) ** 0.5
    sentence = (time % 3.0) < 2.5
    wave = tone * syllables * sentence * 0.12 + 2e-4 * rng.standard_normal(len(time))
    return wave.astype(np.float32)


def noise(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Low-passed noise [T] near -26 dBFS."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(round(seconds * rate) + 8)
    return (0.1 * np.convolve(white, np.ones(9) / 9, "valid")).astype(np.float32)


def save(path: Path, wave: np.ndarray, rate: int = RATE, **options: str) -> Path:
    """Write a wave, folders and all, as 16-bit PCM unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, **options)
    return path


def corpus(root: Path, speakers: int = 4, each: int = 3) -> Path:
    """Write speech/{anna,bert,...}/N.wav in two sources and noise/N.wav under `root`."""
    for speaker in range(speakers):
        source = ("alpha", "beta")[speaker % 2]
        for number in range(each):
            wave = speech(1.5 + 0.7 * number, seed=10 * speaker + number)
            save(root / "speech" / source / f"speaker{speaker}" / f"{number}.wav", wave)
    for number in range(6):
        save(root / "noise" / f"noise{number}.wav", noise(2.0 + number, seed=900 + number))
    return root
