"""The bundled sample: a few seconds of speech, noisy and clean."""

from __future__ import annotations

from importlib import resources

from frcrn import audio
from frcrn.audio import Audio


def sample(name: str = "noisy") -> Audio:
    """Read the bundled sample, `noisy` or `clean`."""
    return audio.read(resources.files("frcrn").joinpath("samples", f"{name}.flac").read_bytes())
