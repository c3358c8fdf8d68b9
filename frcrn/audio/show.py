"""Players and spectrograms of a sound before and after, for Jupyter."""

from __future__ import annotations

import io
import os
from html import escape
from typing import Any

import numpy as np

from frcrn import audio
from frcrn.audio import AudioError, Samples
from frcrn.audio.spectrogram import data_uri, flac, loudest_bin, png, spectrogram

RATE = 16000
SECONDS = 12.0
LOWEST_RATE = 8000
"""What browsers play."""

Sound = Any
"""A wave [T] or [C, T], numpy or torch, or the path of a file."""


class Shown:
    """Sounds side by side with one scale; Jupyter draws it where it is the last value of a cell."""

    def __init__(self, waves: dict[str, Samples], rate: int, *, lossless: bool) -> None:
        self.waves, self.rate, self.lossless = waves, rate, lossless

    def __repr__(self) -> str:
        facts = ", ".join(f"{title} {len(wave) / self.rate:.1f} s" for title, wave in self.waves.items())
        return f"<{facts} at {self.rate} Hz: players and spectrograms in Jupyter>"

    def _repr_html_(self) -> str:
        """Return the panels, which carry all that they need."""
        loudest = max(loudest_bin(wave) for wave in self.waves.values())
        gain = np.float32(1 / max(1.0, *(float(np.abs(wave).max()) for wave in self.waves.values())))
        panels = (self._panel(title, wave, gain, loudest) for title, wave in self.waves.items())
        return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(panels)}</div>'

    def _panel(self, title: str, wave: Samples, gain: np.float32, loudest: float) -> str:
        picture = data_uri("image/png", png(spectrogram(wave, loudest)))
        kind, sound = ("flac", flac(wave * gain, self.rate)) if self.lossless else ("mpeg", mp3(wave * gain, self.rate))
        return (
            f'<figure style="margin:0;width:24em"><figcaption>{escape(title)}</figcaption>'
            f'<img src="{picture}" alt="spectrogram, {escape(title)}" style="width:100%;height:10em">'
            f'<audio controls preload="none" style="width:100%" src="{data_uri(f"audio/{kind}", sound)}"></audio>'
            "</figure>"
        )


def show(
    noisy: Sound,
    enhanced: Sound,
    rate: int | None = None,
    *,
    clean: Sound | None = None,
    seconds: float | None = SECONDS,
    lossless: bool = True,
) -> Shown:
    """Return players and spectrograms of a sound before and after, for Jupyter.

    Args:
        noisy: a wave [T] or [C, T], numpy or torch, or the path of a file; several channels become one.
        enhanced: the same after.
        rate: samples a second of waves; None is 16000.
        clean: the clean sound, where it is known.
        seconds: how much is kept of the beginning; None is all.
        lossless: keep every sample; False stores mp3, which makes a notebook a fifth as large.

    Example:
        >>> frcrn.show("noisy.flac", "clean.flac")
    """
    given = {"noisy": noisy, "enhanced": enhanced, "clean": clean}
    opened = {title: _opened(sound, rate) for title, sound in given.items() if sound is not None}
    # all panels have one time and one frequency axis, and a rate that browsers play
    common = max(LOWEST_RATE, *(own for _, own in opened.values()))
    waves = {title: audio.resample(wave, own, common) for title, (wave, own) in opened.items()}
    kept = None if seconds is None else max(1, round(seconds * common))
    return Shown({title: wave[:kept] for title, wave in waves.items()}, common, lossless=lossless)


def mp3(wave: Samples, rate: int) -> bytes:
    """[T] -> an mp3 file."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, wave.clip(-1, 1), rate, format="MP3", subtype="MPEG_LAYER_III")
    return stream.getvalue()


def _opened(sound: Sound, rate: int | None) -> tuple[Samples, int]:
    """Return a sound as one channel [T], and its rate."""
    if isinstance(sound, (str, os.PathLike)):
        found = audio.read(sound)
        return found.samples.mean(axis=0), found.rate
    floats = audio.as_floats(sound)
    if floats.ndim not in (1, 2) or not floats.size:
        raise AudioError(f"wave of shape {tuple(floats.shape)}: expected [time] or [channels, time], not empty")
    own = audio.checked_rate(RATE if rate is None else rate)
    return audio.finite(np.atleast_2d(floats), "wave", own).mean(axis=0), own
