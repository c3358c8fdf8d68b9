"""NNSE: a short list of layers from mel or power-spectrum features to a real gain for each bin, for microcontrollers.

A list can be read from a text of blocks with an empty line between them, each of lines with a key and a value:

    input_neurons 72

    layer_type lstm
    layer_neurons 72
    activation tanh
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from frcrn.config import build, require
from frcrn.models.base import register
from frcrn.models.frames import FrameEnhancer, RowBackend, X
from frcrn.models.layers.rows import Activation, Dense, FixedMatrix, Log, Lstm
from frcrn.models.layers.transforms import Frames, Inverse, Magnitude, Spectrum

LOG = (1e-8, 0.2, 0.9)
"""Floor, scale and shift of the features' logarithms: speech and noise of all levels lie between -4 and 4."""
DENSE: tuple[Activation, ...] = ("relu6", "tanh", "sigmoid", "linear")
KEYS = ("layer_type", "layer_neurons", "num_filters", "kernel_size", "strides", "activation", "dropprob")


@dataclass(frozen=True)
class LayerConfig:
    """One layer of a list; a `conv1d` looks at `kernel` frames, this one and those before it."""

    kind: Literal["fc", "lstm", "conv1d"]
    size: int
    activation: Literal["relu6", "tanh", "sigmoid", "linear"] = "tanh"
    kernel: int = 1

    def __post_init__(self) -> None:
        require(self.size >= 1, "size", "1 or more", self.size)
        require(self.kernel >= 1, "kernel", "1 or more", self.kernel)
        require(self.kernel == 1 or self.kind == "conv1d", "kernel", f"1 for {self.kind}", self.kernel)
        require(self.kind != "lstm" or self.activation == "tanh", "activation", "tanh for lstm", self.activation)


def small_layers() -> tuple[LayerConfig, ...]:
    """Return the list of about 100 thousand weights."""
    inner = (LayerConfig("fc", 72, "relu6"), LayerConfig("fc", 72, "relu6"))
    return LayerConfig("conv1d", 72, "tanh", 6), LayerConfig("lstm", 72), *inner, LayerConfig("fc", 241, "sigmoid")


@dataclass(frozen=True)
class NNSEConfig:
    """Everything that fixes an NNSE; the defaults are the small one."""

    sample_rate: int = 16000
    window: int = 480
    hop: int = 160
    features: Literal["mel", "pspec"] = "mel"
    bands: int = 72
    """Bands of mel features."""
    layers: tuple[LayerConfig, ...] = small_layers()

    def __post_init__(self) -> None:
        for name in ("sample_rate", "window", "hop", "bands"):
            require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        require(len(self.layers) > 0, "layers", "at least one layer", self.layers)
        bins, last = self.window // 2 + 1, self.layers[-1]
        require(last.size == bins, "layers", f"{bins} gains from the last layer, one a bin", last.size)
        require(last.activation == "sigmoid", "layers", "sigmoid after the last layer", last.activation)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NNSEConfig:
        """Build from plain values; an unknown key or a value of another type is an error that names it."""
        return build(cls, values, "model")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` and JSON take."""
        return {**asdict(self), "layers": [asdict(layer) for layer in self.layers]}

    @classmethod
    def large(cls, **changes: Any) -> NNSEConfig:
        """Return the network of about 1.1 million weights, on power spectra."""
        inner = (LayerConfig("fc", 256, "relu6"), LayerConfig("fc", 256, "relu6"))
        layers = (LayerConfig("conv1d", 256, "tanh", 6), LayerConfig("lstm", 256), *inner)
        return cls(**{"features": "pspec", "layers": (*layers, LayerConfig("fc", 241, "sigmoid")), **changes})

    @classmethod
    def tiny(cls, **changes: Any) -> NNSEConfig:
        """Return a network of a few thousand parameters, for tests and smoke runs."""
        layers = (LayerConfig("conv1d", 11, "tanh", 3), LayerConfig("lstm", 9), LayerConfig("fc", 10, "relu6"))
        ends = (LayerConfig("fc", 7, "linear"), LayerConfig("fc", 33, "sigmoid"))
        return cls(**{"window": 64, "hop": 32, "bands": 12, "layers": (*layers, *ends), **changes})


def from_architecture(text: str, **changes: Any) -> NNSEConfig:
    """Return the configuration with the layers that a text lists.

    Args:
        text: blocks of `key value` lines, the first with `input_neurons`.
        **changes: other values of the configuration.

    Example:
        >>> config = from_architecture(Path("nn_arch.txt").read_text(), features="mel")
    """
    blocks = [dict(pair(line) for line in block.splitlines()) for block in text.strip().split("\n\n") if block.strip()]
    if not blocks or "input_neurons" not in blocks[0]:
        raise ValueError("an architecture: expected input_neurons in its first block")
    layers = tuple(as_layer(block) for block in blocks[1:])
    inputs = int(blocks[0]["input_neurons"])
    return NNSEConfig(
        **{**({"bands": inputs} if changes.get("features") != "pspec" else {}), "layers": layers, **changes}
    )


def pair(line: str) -> tuple[str, str]:
    """Cut a line into key and value."""
    key, _, value = line.strip().partition(" ")
    return key, value.strip()


def as_layer(block: Mapping[str, str]) -> LayerConfig:
    """Return the layer of a block."""
    if unknown := sorted(block.keys() - set(KEYS)):
        raise ValueError(f"an architecture: unknown key {unknown[0]!r}; accepted: {', '.join(KEYS)}")
    if int(block.get("strides", 1)) != 1:
        raise ValueError(f"an architecture: expected strides 1, a gain for every frame, found {block['strides']}")
    size = block.get("layer_neurons", block.get("num_filters", ""))
    kernel = int(block.get("kernel_size", 1))
    values = {"kind": block.get("layer_type"), "size": int(size or 0), "activation": block.get("activation", "linear")}
    return build(LayerConfig, {**values, "kernel": kernel}, "layer")


def mel_matrix(bins: int, bands: int, rate: int) -> Tensor:
    """Return triangles [bands, bins] evenly spaced on the mel scale; each sums to one, and none is empty."""
    top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700, dtype=torch.float64))
    mels = torch.linspace(0, 1, bands + 2, dtype=torch.float64) * top
    edges = 700 * (10 ** (mels / 2595) - 1) / (rate / 2) * (bins - 1)
    places = torch.arange(bins, dtype=torch.float64)
    lower, centre, upper = (edges[at : at + bands, None] for at in range(3))
    # a low band is narrower than a bin: it takes what is within one bin of its centre
    rise = (places - torch.minimum(lower, centre - 1)) / torch.clamp(centre - lower, min=1)
    fall = (torch.maximum(upper, centre + 1) - places) / torch.clamp(upper - centre, min=1)
    triangles = torch.minimum(rise, fall).clamp(min=0)
    return triangles / triangles.sum(dim=1, keepdim=True)


@register("nnse", NNSEConfig)
class NNSE(FrameEnhancer):
    """Real gains from the logarithms of mel bands or of the power spectrum."""

    def __init__(self, config: NNSEConfig | None = None) -> None:
        config = config or NNSEConfig()
        super().__init__(Frames(config.window, config.hop), config.sample_rate)
        self.config: NNSEConfig = config
        bins, size = self.frames.bins, self.frames.bins
        self.spectrum, self.inverse, self.power = Spectrum(config.window), Inverse(config.window), Magnitude(True)
        self.bands = nn.ModuleList()
        if config.features == "mel":
            self.bands.append(FixedMatrix(mel_matrix(bins, config.bands, config.sample_rate)))
            size = config.bands
        self.log = Log(*LOG)
        self.layers = nn.ModuleList()
        for layer in config.layers:
            self.layers.append(of_config(layer, size))
            size = layer.size

    def wire(self, at: RowBackend[X], x: X) -> X:
        """Frame [window] -> frame [window]."""
        spectrum = at.layer("spectrum", self.spectrum, x)
        seen = at.layer("power", self.power, spectrum)
        for number, bands in enumerate(self.bands):
            seen = at.layer(f"bands{number}", bands, seen)
        gains = at.layer("log", self.log, seen)
        for number, layer in enumerate(self.layers):
            gains = at.layer(f"layer{number}", layer, gains)
        return at.layer("inverse", self.inverse, at.masked(spectrum, gains))


def of_config(layer: LayerConfig, inputs: int) -> nn.Module:
    """Return a layer."""
    if layer.kind == "lstm":
        return Lstm(inputs, layer.size)
    return Dense(inputs, layer.size, layer.activation, frames=layer.kernel)
