"""Spectra of whole batches, as losses and pictures want them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from frcrn.models.layers.stft import STFT

TINY_POWER = 1e-8


@lru_cache(maxsize=16)
def transform(window: int, hop: int, device: torch.device) -> STFT:
    """Return a shared STFT."""
    return STFT(window, hop).to(device)


def frames(wave: Tensor, window: int, hop: int, count: int) -> Tensor:
    """[B, T] -> [B, 2, F, count]: the windows of a mask, which start at the wave or just before it."""
    overlap = window - hop
    inside = max(0, -(-(wave.shape[1] - window) // hop)) + 1
    front = overlap if count > inside else 0
    length = window + (count - 1) * hop
    padded = nn.functional.pad(wave, (front, max(0, length - front - wave.shape[1])))[:, :length]
    return transform(window, hop, wave.device).analyse(padded)


def spectrum(wave: Tensor, window: int, hop: int) -> Tensor:
    """[B, T] -> [B, 2, F, N]: zeros around it, so that the edges weigh as much as the middle."""
    overlap = window - hop
    rest = -(wave.shape[1] + overlap) % hop
    padded = nn.functional.pad(wave, (overlap, overlap + rest))
    taper = torch.hann_window(window, device=wave.device).sqrt()
    spec = torch.stft(padded, window, hop, window=taper, center=False, return_complex=True)
    return torch.stack([spec.real, spec.imag], dim=1)  # apart in memory, as sums over them run slow interleaved


def power(spec: Tensor) -> Tensor:
    """[B, 2, F, N] -> [B, F, N], never zero."""
    return spec.square().sum(dim=1) + TINY_POWER
