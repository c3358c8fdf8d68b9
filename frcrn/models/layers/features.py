"""What a U-Net sees of a spectrum: compressed, its magnitude beside it, the high bins gathered in bands."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.specs import FeaturesSpec, array
from frcrn.models.layers.stft import in_full


def band_matrix(bins: int, bands: int, sample_rate: int) -> Tensor:
    """Return overlapping triangles [bins, bands], evenly spaced on the ERB scale over the upper part of a spectrum.

    `bins` counts the whole spectrum; as many low bins stay single as make every band at least one bin wide.
    """
    top = sample_rate / 2
    centres = torch.linspace(0, 1, bins, dtype=torch.float64) * top
    for single in range(bands + 1 if bands < bins else 0):
        first = torch.log1p(0.00437 * centres[single])
        last = torch.log1p(0.00437 * centres[-1])
        count = bands - single
        if count < 2:
            break
        edges = torch.expm1(torch.linspace(float(first), float(last), count, dtype=torch.float64)) / 0.00437
        if edges[1] - edges[0] >= centres[1]:
            return triangles(centres, edges, single, bands)
    raise ValueError(f"{bands} bands do not cover {bins} bins; choose at least 2 and at most {bins}")


def triangles(centres: Tensor, edges: Tensor, single: int, bands: int) -> Tensor:
    """Place `single` unit bins and then triangles with their tips at `edges`: rows sum to one."""
    matrix = torch.zeros(len(centres), bands, dtype=torch.float64)
    matrix[:single, :single] = torch.eye(single, dtype=torch.float64)
    place = torch.searchsorted(edges, centres[single:].clamp(max=float(edges[-1])), right=True) - 1
    place = place.clamp(0, len(edges) - 2)
    share = ((centres[single:] - edges[place]) / (edges[place + 1] - edges[place])).clamp(0, 1)
    rows = torch.arange(single, len(centres))
    matrix[rows, single + place] += 1 - share
    matrix[rows, single + place + 1] += share
    return matrix.float()


class Features(nn.Module):
    """Spectrum to network input, and network output to mask."""

    gather: Tensor
    spread: Tensor

    def __init__(self, bins: int, bands: int, sample_rate: int, compress: float, magnitude: bool) -> None:
        super().__init__()
        self.bins, self.bands = bins, bands or bins
        self.compress, self.magnitude = compress, magnitude
        self.drop_top = self.bands == bins - 1
        self.channels = 2 if magnitude else 1
        if self.bands not in (bins, bins - 1):
            spread = band_matrix(bins, self.bands, sample_rate)
            self.register_buffer("spread", spread, persistent=False)
            self.register_buffer("gather", spread / spread.sum(dim=0), persistent=False)

    def spec(self) -> FeaturesSpec:
        """Describe this layer."""
        gathered = self.bands not in (self.bins, self.bins - 1)
        gather, spread = (array(self.gather), array(self.spread)) if gathered else (None, None)
        return FeaturesSpec(self.bins, self.bands, self.channels, self.compress, self.magnitude, gather, spread)

    def forward(self, spec: Tensor) -> Tensor:
        """[B, 2, F, T] -> [B, 2 channels, bands, T]."""
        if self.compress == 1.0 and not self.magnitude:
            return self.to_bands(spec)
        power = spec.square().sum(dim=1, keepdim=True) + 1e-12
        x = spec * power ** ((self.compress - 1) / 2)
        if self.magnitude:
            # the second complex channel: compressed magnitude, and its logarithm for what is very quiet
            size = power ** (self.compress / 2)
            x = torch.cat([x[:, :1], size, x[:, 1:], 0.1 * power.log()], dim=1)
        return self.to_bands(x)

    def to_bands(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, C, bands, T]."""
        if self.bands == self.bins:
            return x
        if self.drop_top:
            return x[:, :, : self.bands]
        with in_full(x):
            return torch.einsum("bcft,fk->bckt", x, self.gather)

    def to_bins(self, x: Tensor) -> Tensor:
        """[B, C, bands, T] -> [B, C, F, T]."""
        if self.bands == self.bins:
            return x
        if self.drop_top:
            return F.pad(x, (0, 0, 0, 1))
        with in_full(x):
            return torch.einsum("bckt,fk->bcft", x, self.spread)
