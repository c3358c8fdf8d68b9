"""Short-time Fourier transform as plain real matrix products, so that it trains, streams and exports alike."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def analysis_basis(window: int) -> tuple[Tensor, Tensor]:
    """Return the windowed DFT [window, 2 F] and its inverse [2 F, window], both with a square-root Hann window."""
    time = torch.arange(window, dtype=torch.float64)
    bins = torch.arange(window // 2 + 1, dtype=torch.float64)
    taper = torch.sin(torch.pi * time / window)
    angle = 2 * torch.pi * torch.outer(time, bins) / window
    # every bin but the first and the last also stands for its mirror image
    share = torch.full_like(bins, 2.0 / window)
    share[0] = share[-1] = 1.0 / window
    forward = torch.cat([angle.cos(), -angle.sin()], dim=1) * taper[:, None]
    inverse = torch.cat([angle.cos() * share, -angle.sin() * share], dim=1).T * taper
    return forward.float(), inverse.float()


class STFT(nn.Module):
    """Analysis and synthesis with exact overlap-add; the window is a whole number of hops, at least two."""

    forward_basis: Tensor
    inverse_basis: Tensor
    gain: Tensor

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        if hop < 1 or window < 2 * hop or window % 2 or window % hop:
            raise ValueError(
                f"window {window}, hop {hop}: the window must be even and a multiple of the hop, at least 2 hops"
            )
        self.window, self.hop = window, hop
        self.bins = window // 2 + 1
        self.overlap = window - hop
        forward, inverse = analysis_basis(window)
        taper = torch.sin(torch.pi * torch.arange(window, dtype=torch.float64) / window)
        gain = 1 / (taper**2).view(-1, hop).sum(dim=0)
        self.register_buffer("forward_basis", forward, persistent=False)
        self.register_buffer("inverse_basis", inverse, persistent=False)
        self.register_buffer("gain", gain.float(), persistent=False)

    def analyse(self, wave: Tensor) -> Tensor:
        """[B, T] -> [B, 2, F, N]: whole windows only, N = (T - window) // hop + 1."""
        with in_full(wave):
            spec = torch.matmul(framed(wave, self.window, self.hop), self.forward_basis)
        return spec.view(*spec.shape[:2], 2, self.bins).permute(0, 2, 3, 1)

    def synthesise(self, spec: Tensor) -> Tensor:
        """[B, 2, F, N] -> [B, T]: the first and last window - hop samples are only partly covered."""
        chunks, tail = self.overlap_add(spec, None)
        return torch.cat([chunks, tail * self.gain.repeat(self.overlap // self.hop)], dim=1)

    def overlap_add(self, spec: Tensor, tail: Tensor | None) -> tuple[Tensor, Tensor]:
        """[B, 2, F, N], tail [B, window - hop] -> finished samples [B, N hop], new tail."""
        with in_full(spec):
            frames = spec.permute(0, 3, 1, 2).flatten(2) @ self.inverse_basis
        return overlap_added(frames, tail, self.hop, self.gain)


def in_full(x: Tensor) -> AbstractContextManager[None]:
    """Compute what stands in it as precisely as its inputs are, where training runs products in half precision.

    A spectrum found in bf16 has an error of -51 dB of its frame in every bin, which is all that quiet bins then hold.
    """
    kind = x.device.type  # other devices than these two may know nothing of it
    return torch.autocast(kind, enabled=False) if kind in ("cpu", "cuda") else nullcontext()


def framed(wave: Tensor, window: int, hop: int) -> Tensor:
    """[B, T] -> [B, N, window]: whole windows only, N = (T - window) // hop + 1."""
    hops = wave[:, : wave.shape[1] // hop * hop].unflatten(1, (-1, hop))
    parts = window // hop
    count = max(hops.shape[1] - parts + 1, 0)
    return torch.cat([hops[:, part : part + count] for part in range(parts)], dim=2)


def overlap_added(frames: Tensor, tail: Tensor | None, hop: int, gain: Tensor) -> tuple[Tensor, Tensor]:
    """[B, N, window], tail [B, window - hop] -> finished samples [B, N hop] times the gain [hop], new tail."""
    parts, count = frames.unflatten(2, (-1, hop)), frames.shape[1]
    later = parts.shape[2] - 1
    summed = sum(nn.functional.pad(parts[:, :, part], (0, 0, part, later - part)) for part in range(parts.shape[2]))
    assert isinstance(summed, Tensor)
    if tail is not None:
        summed = summed + nn.functional.pad(tail.unflatten(1, (later, hop)), (0, 0, 0, count))
    return (summed[:, :count] * gain).flatten(1), summed[:, count:].flatten(1)


def taper(stft: STFT) -> NDArray[np.float64]:
    """The window: the square root of Hann's."""
    return np.sin(np.pi * np.arange(stft.window) / stft.window)
