"""FRCRN: cascaded complex U-Nets that predict a complex ratio mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from frcrn.config import MOST_LEVEL, MOST_PASSES, build, require
from frcrn.models.base import register
from frcrn.models.layers.features import Features
from frcrn.models.layers.stft import STFT
from frcrn.models.layers.unet import Level, UNet, UNetShape
from frcrn.models.layers.wiring import Backend, X, ahead_of, cascade
from frcrn.models.masking import MaskEnhancer

OFFICIAL_LEVELS = (
    Level(128),
    Level(128),
    Level(128, up_kernel=(6, 2)),
    Level(128),
    Level(128),
    Level(128),
    Level(128, kernel=(2, 2), up_kernel=(2, 2)),
)

LEAST = {
    "sample_rate": 1,
    "window": 2,
    "hop": 1,
    "stages": 1,
    "memory": 1,
    "time_memory": 1,
    "ahead": 0,
    "time_layers": 0,
    "time_hidden": 0,
    "reduction": 1,
    "se_frames": 1,
    "head_channels": 1,
    "bands": 0,
    "passes": 1,
}
"""The smallest value of each whole number."""

MOST = {
    "sample_rate": 768_000,
    "window": 2**13,
    "hop": 2**12,
    "stages": 16,
    "memory": 2**12,
    "time_memory": 2**12,
    "ahead": 2**8,
}
MOST |= {"time_layers": 64, "time_hidden": 2**14, "se_frames": 2**16, "head_channels": 2**12, "bands": 2**12}
MOST |= {"passes": MOST_PASSES}
MOST_CHANNELS, MOST_TAPS, MOST_LEVELS = 2**12, 2**8, 32
"""Far beyond any use; a file of a stranger's that claims more would take all memory or time."""


@dataclass(frozen=True)
class FRCRNConfig:
    """Everything that fixes an FRCRN; the defaults are the released network."""

    sample_rate: int = 16000
    window: int = 640
    hop: int = 320
    levels: tuple[Level, ...] = OFFICIAL_LEVELS
    stages: int = 2
    causal: bool = False
    memory: int = 20
    time_memory: int = 20
    ahead: int = 0
    """How many frames of the future each memory along time looks at as well."""
    time_layers: int = 2
    time_hidden: int = 0
    reduction: int = 8
    se_frames: int = 64
    add_skips: bool = False
    head_channels: int = 1
    bands: int = 0
    compress: float = 1.0
    magnitude: bool = False
    refine: bool = False
    mask_bound: float = 1.0
    level_dbfs: float | None = -25.0
    passes: int = 1
    """How many runs of the network a recording is averaged over, where nobody says otherwise; a stream has one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(as_level(level) for level in self.levels))
        for name, least in LEAST.items():
            require(getattr(self, name) >= least, name, f"{least} or more", getattr(self, name))
        for name, most in MOST.items():
            require(getattr(self, name) <= most, name, f"at most {most}", getattr(self, name))
        require(0 < len(self.levels) <= MOST_LEVELS, "levels", f"1 to {MOST_LEVELS} levels", len(self.levels))
        level = self.level_dbfs
        require(level is None or abs(level) <= MOST_LEVEL, "level_dbfs", f"at most {MOST_LEVEL} dB from 0", level)
        require(0 < self.compress <= 1, "compress", "a power above 0 and at most 1", self.compress)
        both_ways = self.causal and self.stages == 1
        require(both_ways or not self.ahead, "ahead", "0 unless the network is causal and has one stage", self.ahead)
        require(self.mask_bound > 0, "mask_bound", "a bound above 0", self.mask_bound)
        require(self.stages > 1 or not self.refine, "refine", "false where there is no second stage", self.refine)
        gated = [above.channels for above, level in zip(self.levels, self.levels[1:], strict=False) if level.se]
        narrowest = min(gated, default=self.reduction)
        require(self.reduction <= narrowest, "reduction", f"at most the {narrowest} channels weighed", self.reduction)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FRCRNConfig:
        """Build from plain values; an unknown key or a value of another type is an error that names it."""
        if isinstance(levels := values.get("levels"), Sequence) and not isinstance(levels, str):
            values = {**values, "levels": tuple(as_level(level) for level in levels)}
        return build(cls, values, "model")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` and JSON take."""
        return {**asdict(self), "levels": [level._asdict() for level in self.levels]}

    @classmethod
    def compact(cls, **changes: Any) -> FRCRNConfig:
        """Return the small causal network that the bundled one grew from."""
        shape = {"levels": compact_levels(), "causal": True, "stages": 1, "time_layers": 3, "time_hidden": 224}
        seen = {"bands": 320, "compress": 0.3, "magnitude": True, "mask_bound": 1.6, "level_dbfs": None}
        return cls(**{**shape, **seen, "add_skips": True, **changes})

    @classmethod
    def tiny(cls, causal: bool = True, **changes: Any) -> FRCRNConfig:
        """Return a network of a few thousand parameters, for tests and smoke runs."""
        levels = (Level(2, stride=4, padding=1, se=False), Level(4, stride=4, padding=1), Level(4, stride=4, padding=1))
        shape = {"window": 128, "hop": 64, "levels": levels, "causal": causal, "bands": 64, "compress": 0.3}
        small = {"memory": 4, "time_memory": 4, "reduction": 2, "se_frames": 8, "level_dbfs": None}
        return cls(**{**shape, **small, **changes})


def as_level(value: Any) -> Level:
    """Return a level from a level, a mapping or a sequence of its values."""
    try:
        level = Level(**value) if isinstance(value, Mapping) else Level(*value)
        kernel, up_kernel = tuple(level.kernel), tuple(level.up_kernel)
        fits = min(level.channels, level.stride, *kernel, *up_kernel) >= 1 and min(level.padding, level.time) >= 0
    except TypeError as error:
        raise ValueError(f"level {value!r}: {error}; a level has {', '.join(Level._fields)}") from error
    if not fits or len(kernel) != 2 or len(up_kernel) != 2 or kernel[1] != up_kernel[1]:
        raise ValueError(
            f"level {value!r}: channels, stride and both kernels (frequency, time) must be positive, "
            "padding and time not negative, and both kernels as long in time"
        )
    require(max(level.channels, level.time) <= MOST_CHANNELS, "channels", f"at most {MOST_CHANNELS}", level)
    require(max(level.stride, level.padding, *kernel, *up_kernel) <= MOST_TAPS, "kernel", f"at most {MOST_TAPS}", level)
    return level._replace(kernel=kernel, up_kernel=up_kernel)


def compact_levels() -> tuple[Level, ...]:
    """Return the levels of the small network: eight bins at once, then halved twice, 320 bins to 10."""
    return (
        Level(16, (8, 1), (8, 1), stride=8, fsmn=False, se=False),
        Level(24, (3, 2), (3, 2), padding=1, fsmn=False, se=False, time=32),
        Level(32, (3, 2), (3, 2), padding=1, se=False, time=48),
    )


@register("frcrn", FRCRNConfig)
class FRCRN(MaskEnhancer):
    """Each U-Net adds its bounded output to the mask; the last sum is the mask that is used."""

    def __init__(self, config: FRCRNConfig | None = None) -> None:
        config = config or FRCRNConfig()
        stft = STFT(config.window, config.hop)
        features = Features(stft.bins, config.bands, config.sample_rate, config.compress, config.magnitude)
        super().__init__(stft, features)
        self.config: FRCRNConfig = config
        self.sample_rate, self.level_dbfs = config.sample_rate, config.level_dbfs
        self.causal = config.causal
        self.unets = nn.ModuleList(UNet(config.levels, self.shape(stage)) for stage in range(config.stages))
        look = sum(level.kernel[1] - 1 for level in config.levels) * config.stages
        self.late = sum(ahead_of(layer) for _, layer in self.wired())
        # a network that pools over the whole clip looks ahead even where no kernel does
        self.lookahead = (self.late if config.causal else max(look, 1)) * config.hop

    def shape(self, stage: int) -> UNetShape:
        """Return what the U-Net of this stage is made of."""
        config = self.config
        first = self.features.channels
        return UNetShape(
            bins=self.features.bands,
            channels_in=first if stage == 0 else 1 + first * config.refine,
            memory=config.memory,
            time_memory=config.time_memory,
            ahead=config.ahead,
            time_layers=config.time_layers,
            time_hidden=config.time_hidden,
            reduction=config.reduction,
            se_frames=config.se_frames if config.causal else 0,
            add_skips=config.add_skips,
            head_channels=config.head_channels,
            causal=config.causal,
        )

    def wire(self, at: Backend[X], x: X) -> Iterator[X]:
        """Wire the U-Nets, one after the other."""
        return cascade(at, list(self.unets), x, self.config.refine)
