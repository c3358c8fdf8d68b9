"""Draw description/band.png: a made 48-kHz sound, noisy, as the speech band, and as the full band.

python description/band.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

import frcrn
from frcrn.audio import resample
from frcrn.audio.sample import sample

RATE = 48000


def sound(seed: int = 4) -> np.ndarray:
    """The clean speech of the bundled sample with hiss above 7 kHz where it hisses, and white noise: [T]."""
    found = sample("clean")
    low = resample(found.samples[0], found.rate, RATE)
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(low)
    spectrum[np.fft.rfftfreq(len(low), 1 / RATE) < 4500] = 0
    top = np.fft.irfft(spectrum, len(low))
    loud = np.sqrt(np.convolve(np.square(top), np.ones(480) / 480, "same"))
    hiss = np.fft.rfft(random.standard_normal(len(low)))
    hertz = np.fft.rfftfreq(len(low), 1 / RATE)
    hiss *= (hertz > 7000) * np.sqrt(7000 / np.maximum(hertz, 7000))
    above = np.fft.irfft(hiss, len(low)) * np.maximum(0, loud - np.median(loud) * 2) * 2
    return (low + above + 0.003 * random.standard_normal(len(low))).astype(np.float32)


def main() -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    noisy, model = sound(), frcrn.load().optimize()
    waves = {
        "noisy": noisy,
        "--band speech": model.enhance(noisy, RATE, band="speech"),
        "--band full (the default)": model.enhance(noisy, RATE),
    }
    figure, places = pyplot.subplots(1, 3, figsize=(12, 3.6), sharey=True, constrained_layout=True)
    for place, (title, wave) in zip(places, waves.items(), strict=True):
        *_, image = place.specgram(wave, NFFT=1024, Fs=RATE, noverlap=768, vmin=-140, vmax=-50, cmap="magma")
        place.axhline(8000, color="white", linewidth=0.6, linestyle=":")
        place.set(title=title, xlabel="seconds")
    places[0].set(ylabel="Hz")
    figure.colorbar(image, ax=places, label="dB")
    figure.savefig(Path(__file__).with_name("band.png"), dpi=80)


if __name__ == "__main__":
    main()
