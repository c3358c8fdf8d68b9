"""Clean the bundled noisy sample and draw it before and after."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frcrn import audio
from frcrn.audio import Audio, MissingPackage, Samples
from frcrn.models.base import Enhancer


class Demo(NamedTuple):
    """Where the files of the demonstration are."""

    noisy: Path
    enhanced: Path
    picture: Path


def sample(name: str = "noisy") -> Audio:
    """Read the bundled sample, `noisy` or `clean`."""
    return audio.read(resources.files("frcrn").joinpath("samples", f"{name}.flac").read_bytes())


def demonstrate(model: Enhancer, folder: str | os.PathLike[str]) -> Demo:
    """Write the noisy sample, what the model makes of it, and a picture of both."""
    demo = Demo(*(Path(folder) / name for name in ("noisy.wav", "enhanced.wav", "before_after.png")))
    demo.enhanced.parent.mkdir(parents=True, exist_ok=True)
    noisy = sample()
    enhanced: Samples = model.enhance(noisy.samples, noisy.rate)
    for path, samples in ((demo.noisy, noisy.samples), (demo.enhanced, enhanced)):
        audio.write(path, samples, noisy.rate)
    draw(demo.picture, {"before": noisy.samples[0], "after": enhanced[0]}, noisy.rate)
    return demo


def draw(path: Path, waves: dict[str, Samples], rate: int) -> None:
    """Draw the spectrograms of waves [T] below each other, with one scale."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackage('the picture needs matplotlib: pip install "frcrn[eval]"') from error
    figure = Figure(figsize=(10, 3 * len(waves)), layout="constrained")
    axes = figure.subplots(len(waves), sharex=True)
    loudest = max(_level(wave).max() for wave in waves.values())
    for axis, (title, wave) in zip(axes, waves.items(), strict=True):
        image = _draw_one(axis, wave, rate, loudest)
        axis.set(title=title, ylabel="kHz")
    axes[-1].set_xlabel("s")
    figure.colorbar(image, ax=axes, label="dB")
    with audio.replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=110)


def _draw_one(axis: Any, wave: Samples, rate: int, loudest: float) -> Any:
    extent = (0, len(wave) / rate, 0, rate / 2000)
    limits = {"vmin": loudest - 80, "vmax": loudest}
    return axis.imshow(_level(wave), origin="lower", aspect="auto", extent=extent, cmap="magma", **limits)


def _level(wave: Samples) -> Samples:
    """[T] -> [257, N] in dB."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, 256), 512)[::128]
    spectrum = np.fft.rfft(frames * np.hanning(512)).T
    return (20 * np.log10(np.maximum(np.abs(spectrum), 1e-6))).astype(np.float32)
