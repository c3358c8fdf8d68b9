"""Short-time objective intelligibility (STOI) as something that can be learned: differentiable, at any rate.

The published measure resamples to 10 kHz first and cuts silence out of the waves; here the windows are as long at the
rate that is there, and silence is cut out of the frames. `evaluation/metrics/scores.py` has the measure itself.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from frcrn.training.losses.spectra import TINY_POWER

WINDOW_SECONDS = 0.0256
BANDS = 15
LOWEST_HZ = 150.0
SEGMENT = 30
SILENT_DB = -40.0
LARGEST = 1 + 10 ** (15 / 20)
"""An estimate's envelope counts up to this many times the clean one's, an error of 15 dB."""


def intelligibility(estimate: Tensor, clean: Tensor, sample_rate: int) -> Tensor:
    """[B, T], [B, T] -> [B], 1 at best; 0 where less than 0.4 s of the clean wave is speech."""
    return Reference(clean, sample_rate).score(estimate)


class Reference:
    """What clean waves [B, T] are compared by, found once for all their estimates."""

    def __init__(self, clean: Tensor, sample_rate: int) -> None:
        self.sample_rate, spoken = sample_rate, active(clean, sample_rate)
        # frames of speech first, in their order, and all else behind them; stretches that reach there do not count
        self.order = (~spoken).to(torch.uint8).argsort(dim=1, stable=True)[:, None].expand(-1, BANDS, -1)
        self.last = spoken.sum(dim=1, keepdim=True) - SEGMENT
        self.target = envelopes(clean, sample_rate).gather(2, self.order)

    def score(self, estimate: Tensor) -> Tensor:
        """[B, T] -> [B]."""
        return self.compared(envelopes(estimate, self.sample_rate).gather(2, self.order))

    def best(self) -> Tensor:
        """Return what the clean waves themselves reach, [B]."""
        return self.compared(self.target)

    def compared(self, found: Tensor) -> Tensor:
        """Envelopes [B, 15, N], those of speech first -> [B]."""
        scores = correlations(found, self.target)
        counts = (torch.arange(scores.shape[1], device=found.device) <= self.last).to(scores.dtype)
        return (scores * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)


def frame_length(sample_rate: int) -> int:
    """Return the samples of a window, an even number."""
    return 2 * round(WINDOW_SECONDS * sample_rate / 2)


def active(clean: Tensor, sample_rate: int) -> Tensor:
    """[B, T] -> [B, N]: which frames are speech, by their energy under the loudest frame's."""
    window = frame_length(sample_rate)
    taper = torch.hann_window(window, device=clean.device)
    energy = (clean.unfold(1, window, window // 2) * taper).square().sum(dim=2)
    return energy > 10 ** (SILENT_DB / 10) * energy.amax(dim=1, keepdim=True)


def envelopes(wave: Tensor, sample_rate: int) -> Tensor:
    """[B, T] -> [B, 15, N]: the magnitude in each third of an octave."""
    window = frame_length(sample_rate)
    taper = torch.hann_window(window, device=wave.device)
    around = torch.nn.functional.pad(wave, (window // 2, window // 2))  # the transform is twice as long as the window
    spec = torch.stft(around, 2 * window, window // 2, window, taper, center=False, return_complex=True)
    energy = thirds(sample_rate, 2 * window, wave.device) @ (spec.real.square() + spec.imag.square())
    return (energy + TINY_POWER).sqrt()


@lru_cache(maxsize=16)
def thirds(sample_rate: int, size: int, device: torch.device) -> Tensor:
    """Return which bins [15, F] belong to which third of an octave, edges at the nearest bins."""
    hertz = torch.arange(size // 2 + 1, dtype=torch.float64) * sample_rate / size
    centres = LOWEST_HZ * 2 ** (torch.arange(BANDS, dtype=torch.float64) / 3)
    low, high = (
        (hertz - edge[:, None]).abs().argmin(dim=1) for edge in (centres * 2 ** (-1 / 6), centres * 2 ** (1 / 6))
    )
    bins = torch.arange(len(hertz))
    return ((bins >= low[:, None]) & (bins < high[:, None])).float().to(device)


def correlations(found: Tensor, target: Tensor) -> Tensor:
    """[B, 15, N], [B, 15, N] envelopes -> their correlation over each stretch of 30 frames [B, N - 29]."""
    missing = max(0, SEGMENT - found.shape[2])
    mine, theirs = (torch.nn.functional.pad(part, (0, missing)).unfold(2, SEGMENT, 1) for part in (found, target))
    scale = theirs.norm(dim=3, keepdim=True) / (mine.norm(dim=3, keepdim=True) + TINY_POWER)
    bounded = torch.minimum(mine * scale, theirs * LARGEST)
    return (centred(bounded) * centred(theirs)).sum(dim=3).mean(dim=1)


def centred(segments: Tensor) -> Tensor:
    """[..., 30] -> without its mean, with norm 1; a constant one is all zeros."""
    apart = segments - segments.mean(dim=-1, keepdim=True)
    return apart / (apart.square().sum(dim=-1, keepdim=True) + TINY_POWER).sqrt()
