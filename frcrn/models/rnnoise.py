"""A network like RNNoise, at 48 kHz: from band energies to band gains and voice activity, by small recurrent units.

It sees logarithms of the energies of bands, three frames at a time, and returns a gain a band, spread
over the bins by triangles, and the probability of speech, which it learns beside the gains. A comb filter at the
pitch can take noise out from between the harmonics of a voice, which bands are too wide for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from frcrn.config import build, require
from frcrn.models.base import register
from frcrn.models.frames import FrameEnhancer, RowBackend, X
from frcrn.models.layers.features import band_matrix
from frcrn.models.layers.pitch import Comb, Delay
from frcrn.models.layers.rows import Dense, FixedMatrix, Gru, Log
from frcrn.models.layers.transforms import Frames, Inverse, Magnitude, Spectrum
from frcrn.models.nnse import LOG


@dataclass(frozen=True)
class RNNoiseConfig:
    """Everything that fixes the network; 22 bands and 20-ms windows, or 32 bands in newer ones."""

    sample_rate: int = 48000
    window: int = 960
    hop: int = 480
    bands: int = 22
    dense: int = 24
    voice_units: int = 24
    noise_units: int = 48
    gain_units: int = 96
    pitch: bool = False
    """Whether a comb filter at the pitch of the voice comes before the gains; it has no weights."""

    def __post_init__(self) -> None:
        for name in ("sample_rate", "window", "hop", "bands", "dense", "voice_units", "noise_units", "gain_units"):
            require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RNNoiseConfig:
        """Build from plain values; an unknown key or a value of another type is an error that names it."""
        return build(cls, values, "model")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` and JSON take."""
        return asdict(self)

    @classmethod
    def tiny(cls, **changes: Any) -> RNNoiseConfig:
        """Return a network of a few thousand parameters, for tests and smoke runs."""
        small = {"window": 64, "hop": 32, "bands": 12, "dense": 7}
        return cls(**{**small, "voice_units": 6, "noise_units": 9, "gain_units": 11, **changes})


@register("rnnoise", RNNoiseConfig)
class RNNoise(FrameEnhancer):
    """Voice activity, then what is noise, then gains; each unit sees the features and the units before it."""

    says_speech = True

    def __init__(self, config: RNNoiseConfig | None = None) -> None:
        config = config or RNNoiseConfig()
        super().__init__(Frames(config.window, config.hop), config.sample_rate)
        self.config: RNNoiseConfig = config
        spread = band_matrix(self.frames.bins, config.bands, config.sample_rate)
        self.spectrum, self.inverse, self.power = Spectrum(config.window), Inverse(config.window), Magnitude(True)
        self.bands, self.log = FixedMatrix((spread / spread.sum(dim=0)).T), Log(*LOG)
        self.dense = Dense(config.bands, config.dense, "tanh", frames=3)
        self.voice = Gru(config.dense, config.voice_units)
        self.speech = Dense(config.voice_units, 1, "sigmoid")
        self.noise = Gru(config.dense + config.voice_units + config.bands, config.noise_units)
        self.gain = Gru(config.voice_units + config.noise_units + config.bands, config.gain_units)
        if config.pitch:
            self.delay, self.comb = Delay(self.frames, config.sample_rate), Comb(spread)
        self.gains, self.spread = Dense(config.gain_units, config.bands, "sigmoid"), FixedMatrix(spread)

    def wire(self, at: RowBackend[X], x: X) -> X:
        """Frame [window] -> frame [window]."""
        spectrum = at.layer("spectrum", self.spectrum, x)
        bands = at.layer("bands", self.bands, at.layer("power", self.power, spectrum))
        seen = at.layer("log", self.log, bands)
        dense = at.layer("dense", self.dense, seen)
        voice = at.layer("voice", self.voice, dense)
        at.speech(at.layer("speech", self.speech, voice))
        noise = at.layer("noise", self.noise, at.beside(at.beside(dense, voice), seen))
        gain = at.layer("gain", self.gain, at.beside(at.beside(voice, noise), seen))
        gains = at.layer("gains", self.gains, gain)
        if self.config.pitch:
            earlier = at.layer("earlier", self.spectrum, at.layer("delay", self.delay, x))
            spectrum = at.layer("comb", self.comb, at.beside(at.beside(spectrum, earlier), gains))
        gains = at.layer("spread", self.spread, gains)
        return at.layer("inverse", self.inverse, at.masked(spectrum, gains))
