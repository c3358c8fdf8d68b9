"""Make the bundled sample, frcrn/samples/{clean,noisy}.flac: espeak-ng speech, and noise made here.

Run it from the repository's root; it needs the program espeak-ng and gives the same files every time.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from frcrn import audio
from frcrn.audio import AudioFormat, Samples

RATE = 16000
SNR_DB = 5.0
FOLDER = Path("frcrn/samples")
FORMAT = AudioFormat("FLAC", "PCM_16")
LINES = (
    ("en-us+f3", "The train to the coast leaves in ten minutes from platform four."),
    ("en-gb+m3", "Please speak up, the fan is far too loud in here."),
)


def speak(voice: str, text: str) -> Samples:
    """[T] what espeak-ng says, at our rate."""
    said = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", "170", "--stdout", text], capture_output=True, check=True
    ).stdout
    spoken = audio.read(said)
    return audio.resample(spoken.samples[0], spoken.rate, RATE)


def dialogue() -> Samples:
    """[T] the lines one after the other, with pauses, peaking at half of full scale."""
    pause = np.zeros(RATE // 4, np.float32)
    wave = np.concatenate([part for line in LINES for part in (pause, speak(*line))] + [pause])
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def room_noise(length: int) -> Samples:
    """[T] a fan with its hum, and a keyboard."""
    random = np.random.default_rng(7)
    time = np.arange(length) / RATE
    spectrum = np.fft.rfft(random.standard_normal(length))
    hertz = np.fft.rfftfreq(length, 1 / RATE)
    air = np.fft.irfft(spectrum / np.sqrt(1 + (hertz / 300) ** 2), length)
    hum = sum(np.sin(2 * np.pi * 118 * k * time + random.uniform(0, 6)) / k for k in (1, 2, 3, 5))
    keys = np.zeros(length)
    for start in np.flatnonzero(random.random(length) < 6 / RATE):
        click = random.standard_normal(min(500, length - start)) * np.exp(-np.arange(min(500, length - start)) / 70)
        keys[start : start + 500] += random.uniform(0.5, 1) * click
    parts = ((air, 1.0), (hum, 0.5), (keys, 0.5))
    return sum(weight * part / part.std() for part, weight in parts).astype(np.float32)


def main() -> None:
    clean = dialogue()
    noise = room_noise(len(clean))
    noise *= np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-SNR_DB / 20)
    FOLDER.mkdir(exist_ok=True)
    for name, wave in (("clean", clean), ("noisy", clean + noise)):
        audio.write(FOLDER / f"{name}.flac", wave, RATE, FORMAT)
        print(f"{FOLDER / name}.flac: {len(wave) / RATE:.1f} s, peak {np.abs(wave).max():.2f}")


if __name__ == "__main__":
    main()
