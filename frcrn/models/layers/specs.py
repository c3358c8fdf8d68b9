"""What a layer is, as plain arrays by name: the one description that every export reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]


def array(tensor: Tensor) -> Array:
    """Return a tensor's values as numpy float32."""
    return tensor.detach().cpu().float().contiguous().numpy()


class ConvolutionSpec(NamedTuple):
    """A complex convolution down in frequency or, where it has a size, up: activation(scale * (weight * x) + bias)."""

    weight: Array
    """[phases 2 outputs, 2 inputs, taps, frames]: the real block form, the lowest tap and the oldest frame first."""
    scale: Array
    """[2 outputs], as is the bias: real outputs, imaginary outputs."""
    bias: Array
    stride: int
    padding: int
    size: int
    """Bins that a way up returns; 0 for a way down."""
    phases: tuple[int, ...]
    """How many phases of the stride have all taps and how many, if any, lack the first; (1,) for a way down."""
    activated: bool = False
    """Whether a leaky rectifier comes after it."""

    @property
    def outputs(self) -> int:
        """Complex channels that come out."""
        return len(self.bias) // 2

    @property
    def taps(self) -> int:
        """Bins that a kernel covers, in the weight's form."""
        return int(self.weight.shape[2])

    @property
    def frames(self) -> int:
        """Frames that a kernel covers."""
        return int(self.weight.shape[3])

    def positions(self) -> tuple[int, int, int]:
        """Return which positions of a way up are computed, from the first on so many, and where its bins begin in them.

        They are only those that are not cropped away, as far as whole ones go.
        """
        first = min(self.padding // self.stride, self.taps - 1)
        count = -(-(self.padding + self.size) // self.stride) - first
        return first, count, self.padding - first * self.stride


class ProjectionSpec(NamedTuple):
    """A real part of a memory before its taps: project . relu(linear x + bias)."""

    linear: Array
    """[hidden, features]."""
    bias: Array
    """[hidden]."""
    project: Array
    """[features, hidden]."""


class MemorySpec(NamedTuple):
    """A memory of two real parts: x + iy -> (f + ig)(x + iy), each by its taps; the block's shortcut is in the taps."""

    f: ProjectionSpec
    g: ProjectionSpec
    taps_f: Array
    """[features, order], the oldest first; a memory in each bin has the same for f and g, and its shortcut apart."""
    taps_g: Array
    ahead: int = 0
    """How many of the frames that it looks at come after the present one: it answers as many later."""

    @property
    def order(self) -> int:
        """Places or frames that it looks at, the present one among them."""
        return int(self.taps_f.shape[1])

    @property
    def features(self) -> int:
        """Features in and out of each real part."""
        return len(self.taps_f)

    @property
    def hidden(self) -> int:
        """Hidden features of each real part."""
        return len(self.f.bias)


class GateSpec(NamedTuple):
    """One gate of a squeeze-excitation: sigmoid(excite relu(squeeze means + bias) + shift)."""

    squeeze: Array
    """[hidden, channels]."""
    bias: Array
    excite: Array
    """[channels, hidden]."""
    shift: Array


class AttentionSpec(NamedTuple):
    """A complex squeeze-excitation; its means are over the taps of each channel, or over the whole wave."""

    re: GateSpec
    im: GateSpec
    taps: Array | None
    """[2 channels, frames], the oldest first."""


class FeaturesSpec(NamedTuple):
    """What a network sees of a spectrum, and how its mask comes back to the bins."""

    bins: int
    bands: int
    channels: int
    compress: float
    magnitude: bool
    gather: Array | None
    """[bins, bands]: spectrum to bands; none where bands are the bins, or all bins but the last."""
    spread: Array | None
    """[bins, bands]: bands to bins."""
