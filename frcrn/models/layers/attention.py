"""Complex squeeze-excitation, and its causal stand-in: a masked convolution over time instead of the clip mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.complex import nothing_of, with_past


class MaskedMean(nn.Module):
    """A convolution over time for each channel that starts as a running mean.

    Only the past half of the kernel exists: the future taps are masked to zero for good, so they are not kept.
    """

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, taps), 1 / taps))
        self.taps = taps

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, C, T], past [B, C, taps - 1] -> [B, C, T], new past."""
        longer, past = with_past(x, past, self.taps - 1)
        return F.conv1d(longer, self.weight, groups=x.shape[1]), past


def gate(channels: int, reduction: int) -> nn.Sequential:
    """Return the small network that turns channel means into weights between 0 and 1."""
    inner = channels // reduction
    return nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())


class ComplexSE(nn.Module):
    """Weigh each channel by what its real and imaginary means say; `taps` frames of past, or the whole clip if 0."""

    def __init__(self, channels: int, reduction: int, taps: int = 0) -> None:
        super().__init__()
        self.re = gate(channels, reduction)
        self.im = gate(channels, reduction)
        self.pool = MaskedMean(2 * channels, taps) if taps else None

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2C, F, T], past [B, 2C, taps - 1] -> [B, 2C, F, T], new past."""
        if self.pool is None:
            means, past = x.mean(dim=(2, 3)).unsqueeze(2), nothing_of(x[:, :, 0])
        else:
            means, past = self.pool(x.mean(dim=2), past)
        # [B, T, 2, C]: the real and the imaginary means side by side, so that each gate runs once
        means = means.transpose(1, 2).unflatten(2, (2, -1))
        from_re, from_im = self.re(means), self.im(means)
        weights = torch.cat([from_re[:, :, 0] - from_im[:, :, 1], from_re[:, :, 1] + from_im[:, :, 0]], dim=2)
        return x * weights.transpose(1, 2).unsqueeze(2), past
