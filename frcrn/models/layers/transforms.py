"""Frames of a wave, their spectra, and back. A spectrum is a row of real parts and then imaginary ones."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from frcrn.models.layers.rows import Stateless
from frcrn.models.layers.stft import framed, overlap_added

Taper = Literal["sqrt_hann", "rectangular"]


class Frames(nn.Module):
    """Cut a wave into overlapping frames, and add frames up again.

    With the square root of Hann's window before and after, frames that nothing changed add up to the wave. A
    rectangular taper leaves both to the network: its frames are added as they are.
    """

    taper: Tensor
    gain: Tensor

    def __init__(self, window: int, hop: int, taper: Taper = "sqrt_hann") -> None:
        super().__init__()
        if hop < 1 or window < 2 * hop or window % 2 or window % hop:
            raise ValueError(
                f"window {window}, hop {hop}: the window must be even and a multiple of the hop, at least 2 hops"
            )
        self.window, self.hop, self.overlap, self.bins = window, hop, window - hop, window // 2 + 1
        shape, gain = torch.ones(window, dtype=torch.float64), torch.ones(hop, dtype=torch.float64)
        if taper == "sqrt_hann":
            shape = torch.sin(torch.pi * torch.arange(window, dtype=torch.float64) / window)
            gain = 1 / (shape**2).view(-1, hop).sum(dim=0)
        self.register_buffer("taper", shape.float(), persistent=False)
        self.register_buffer("gain", gain.float(), persistent=False)

    def cut(self, wave: Tensor) -> Tensor:
        """[B, T] -> [B, N, window]: whole windows only."""
        return framed(wave, self.window, self.hop) * self.taper

    def join(self, frames: Tensor, tail: Tensor | None) -> tuple[Tensor, Tensor]:
        """[B, N, window], tail [B, window - hop] -> finished samples [B, N hop], new tail."""
        return overlap_added(frames * self.taper, tail, self.hop, self.gain)


class Spectrum(Stateless):
    """The discrete Fourier transform of each row of `window` real samples."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, window] -> [B, N, 2 F]."""
        found = torch.fft.rfft(x)
        return torch.cat([found.real, found.imag], dim=-1)

    def spec(self) -> int:
        """Return the window."""
        return self.window


class Inverse(Spectrum):
    """The inverse: spectra to rows of real samples; what the outermost bins have of imaginary parts plays no part."""

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, 2 F] -> [B, N, window]."""
        real, imaginary = x.chunk(2, dim=-1)
        ends = torch.ones_like(imaginary[0, 0])
        ends[0] = ends[-1] = 0
        samples: Tensor = torch.fft.irfft(torch.complex(real, imaginary * ends), self.window)
        return samples


class Magnitude(Stateless):
    """The magnitude of each bin of a spectrum, or with `squared` its power."""

    def __init__(self, squared: bool = False) -> None:
        super().__init__()
        self.squared = squared

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, 2 F] -> [B, N, F]."""
        real, imaginary = x.chunk(2, dim=-1)
        power = real.square() + imaginary.square()
        # the smallest number with a finite gradient: silence has the magnitude 1e-10 in place of 0
        return power if self.squared else (power + 1e-20).sqrt()

    def spec(self) -> bool:
        """Return whether it is squared."""
        return self.squared
