"""What repeats with the pitch of a voice: each frame one period earlier, and a comb filter that leans on it.

Of a band X = S + V, speech and noise, the band one period earlier is P = S' + V'. Where S is periodic S' is S, and V'
is another noise, so that X + a P has less noise for its speech. How alike both are in a band, r = <X, P> / (|X| |P|),
and the gain g of that band say how much of it is wanted (J.-M. Valin, "A hybrid DSP/deep learning approach to real-time
full-band speech enhancement", 2018, section III-E):

    a = min(1, sqrt(r^2 (1 - g^2) / ((1 - r^2) g^2)))

P is brought to the level of X before, and the sum to that of X after.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.rows import Memory, Stateless
from frcrn.models.layers.specs import Array, array
from frcrn.models.layers.transforms import Frames

LOWEST_HZ, HIGHEST_HZ = 62.5, 800.0
COARSE = 4
"""Samples that are one in the search that the finer one begins from."""
TINY = 1e-12


class DelaySpec(NamedTuple):
    """The taper of a frame [window], and the shortest and longest period in samples."""

    taper: Array
    shortest: int
    longest: int


class Delay(nn.Module):
    """Each frame one pitch period earlier: the period at which the samples before are most like those of the frame."""

    taper: Tensor

    def __init__(self, frames: Frames, sample_rate: int) -> None:
        super().__init__()
        self.window, self.hop = frames.window, frames.hop
        self.shortest, self.longest = round(sample_rate / HIGHEST_HZ), round(sample_rate / LOWEST_HZ)
        self.register_buffer("taper", frames.taper, persistent=False)

    def forward(self, x: Tensor, past: Memory = None) -> tuple[Tensor, Tensor]:
        """[B, N, window], past [B, longest + window - hop] -> [B, N, window], new past."""
        kept = self.longest + self.window - self.hop
        # the newest hop as it was before the taper, which is not zero there
        fresh = (x[:, :, -self.hop :] / self.taper[-self.hop :]).flatten(1)
        wave = torch.cat([x.new_zeros(len(x), kept) if past is None else past, fresh], dim=1)
        recent = wave.unfold(1, kept + self.hop, self.hop)
        with torch.no_grad():
            periods = self.refined(recent, self.roughly(recent))
        return self.before(recent, periods[..., None])[:, :, 0] * self.taper, wave[:, -kept:]

    def roughly(self, recent: Tensor) -> Tensor:
        """[B, N, longest + window] -> periods [B, N], found at a quarter of the rate."""
        y = recent[..., recent.shape[-1] % COARSE :].unflatten(-1, (-1, COARSE)).mean(dim=-1)
        size, length = self.window // COARSE, y.shape[-1]
        alike = torch.fft.irfft(torch.fft.rfft(y) * torch.fft.rfft(y[..., -size:], length).conj(), length)
        energy = size * F.avg_pool1d(y.square().flatten(0, 1)[:, None], size, 1).view(*y.shape[:2], -1)
        # place p is the period of length - size - p
        last = length - size - -(-self.shortest // COARSE)
        found = (alike[..., : last + 1] / (energy[..., : last + 1] + TINY).sqrt()).argmax(dim=-1)
        rough: Tensor = COARSE * (length - size - found)
        return rough

    def refined(self, recent: Tensor, rough: Tensor) -> Tensor:
        """[B, N, longest + window], periods [B, N] -> the best ones near them."""
        near = torch.arange(1 - COARSE, COARSE, device=rough.device)
        periods = (rough[..., None] + near).clamp(self.shortest, self.longest)
        waves = self.before(recent, periods)
        alike = (waves * recent[..., None, -self.window :]).sum(dim=-1)
        best = (alike / (waves.square().sum(dim=-1) + TINY).sqrt()).argmax(dim=-1, keepdim=True)
        period: Tensor = periods.gather(-1, best)[..., 0]
        return period

    def before(self, recent: Tensor, periods: Tensor) -> Tensor:
        """[B, N, longest + window], periods [B, N, K] -> the window so many samples earlier, [B, N, K, window]."""
        places = self.longest - periods[..., None] + torch.arange(self.window, device=periods.device)
        found: Tensor = recent.gather(-1, places.flatten(2)).unflatten(-1, places.shape[2:])
        return found

    def spec(self) -> DelaySpec:
        """Describe this layer."""
        return DelaySpec(array(self.taper), self.shortest, self.longest)


class Comb(Stateless):
    """Add to each band of a spectrum what the one a period earlier tells of it."""

    bands: Tensor

    def __init__(self, bands: Tensor) -> None:
        super().__init__()
        self.register_buffer("bands", bands.float().contiguous(), persistent=False)

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, spectrum 2 F, earlier one 2 F, gains of bands] -> [B, N, 2 F]."""
        bins, bands = self.bands.shape
        spectrum, earlier, gains = x.split([2 * bins, 2 * bins, bands], dim=-1)
        own, other = self.energy(spectrum, spectrum), self.energy(earlier, earlier)
        alike = (self.energy(spectrum, earlier) / (own * other + TINY).sqrt()).clamp(0, 1).square()
        square = gains.square()
        strength = (alike * (1 - square) / ((1 - alike) * square + TINY) + TINY).sqrt().clamp(max=1)
        mixed = spectrum + self.by_bin(strength * (own / (other + TINY)).sqrt()) * earlier
        clean: Tensor = mixed * self.by_bin((own / (self.energy(mixed, mixed) + TINY)).sqrt())
        return clean

    def energy(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, N, 2 F] twice -> the real part of their product in each band, [B, N, bands]."""
        real, imaginary = (x * y).chunk(2, dim=-1)
        found: Tensor = (real + imaginary) @ self.bands
        return found

    def by_bin(self, x: Tensor) -> Tensor:
        """[B, N, bands] -> [B, N, 2 F]."""
        spread = x @ self.bands.T
        return torch.cat([spread, spread], dim=-1)

    def spec(self) -> Array:
        """Return the share of each band in each bin, [F, bands]."""
        return array(self.bands)
