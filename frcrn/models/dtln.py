"""DTLN: two cores of LSTMs, the first masks a spectrum, the second masks what a learned basis makes of the frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from frcrn.config import build, require
from frcrn.models.base import register
from frcrn.models.frames import FrameEnhancer, RowBackend, X
from frcrn.models.layers.rows import Dense, Log, Lstm, RowNorm
from frcrn.models.layers.transforms import Frames, Inverse, Magnitude, Spectrum


@dataclass(frozen=True)
class DTLNConfig:
    """Everything that fixes a DTLN; the defaults are its authors' network at 16 kHz."""

    sample_rate: int = 16000
    window: int = 512
    hop: int = 128
    units: int = 128
    layers: int = 2
    basis: int = 256
    normalise: bool = False
    """Whether the first core sees logarithms of magnitudes, normalised frame by frame, so that level plays no part."""

    def __post_init__(self) -> None:
        for name in ("sample_rate", "window", "hop", "units", "layers", "basis"):
            require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DTLNConfig:
        """Build from plain values; an unknown key or a value of another type is an error that names it."""
        return build(cls, values, "model")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` and JSON take."""
        return asdict(self)

    @classmethod
    def wide(cls, **changes: Any) -> DTLNConfig:
        """Return the network for 32 kHz, with frames as long in time."""
        return cls(**{"sample_rate": 32000, "window": 1024, "hop": 256, **changes})

    @classmethod
    def tiny(cls, **changes: Any) -> DTLNConfig:
        """Return a network of a few thousand parameters, for tests and smoke runs."""
        return cls(**{"window": 64, "hop": 16, "units": 9, "basis": 20, **changes})


class Core(nn.Module):
    """LSTMs and a layer that makes gains between 0 and 1."""

    def __init__(self, inputs: int, units: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.lstms = nn.ModuleList(Lstm(units if number else inputs, units) for number in range(layers))
        self.gains = Dense(units, outputs, "sigmoid")

    def wire(self, at: RowBackend[X], x: X, name: str) -> X:
        """Features [inputs] -> gains [outputs]."""
        for number, lstm in enumerate(self.lstms, start=1):
            x = at.layer(f"{name}.lstm{number}", lstm, x)
        return at.layer(f"{name}.gains", self.gains, x)


@register("dtln", DTLNConfig)
class DTLN(FrameEnhancer):
    """Frames overlap without a taper; the second core's frames are added as they are."""

    def __init__(self, config: DTLNConfig | None = None) -> None:
        config = config or DTLNConfig()
        super().__init__(Frames(config.window, config.hop, "rectangular"), config.sample_rate)
        self.config: DTLNConfig = config
        self.spectrum, self.inverse = Spectrum(config.window), Inverse(config.window)
        self.magnitude, bins = Magnitude(), self.frames.bins
        self.logs = nn.ModuleList([Log(1e-7), RowNorm(bins)] if config.normalise else [])
        self.first = Core(bins, config.units, config.layers, bins)
        self.encode = Dense(config.window, config.basis, bias=False)
        self.norm = RowNorm(config.basis)
        self.second = Core(config.basis, config.units, config.layers, config.basis)
        self.decode = Dense(config.basis, config.window, bias=False)

    def wire(self, at: RowBackend[X], x: X) -> X:
        """Frame [window] -> frame [window]."""
        spectrum = at.layer("spectrum", self.spectrum, x)
        seen = at.layer("magnitude", self.magnitude, spectrum)
        for number, layer in enumerate(self.logs):
            seen = at.layer(f"logs{number}", layer, seen)
        masked = at.masked(spectrum, self.first.wire(at, seen, "first"))
        basis = at.layer("encode", self.encode, at.layer("inverse", self.inverse, masked))
        gains = self.second.wire(at, at.layer("norm", self.norm, basis), "second")
        return at.layer("decode", self.decode, at.times(basis, gains))
