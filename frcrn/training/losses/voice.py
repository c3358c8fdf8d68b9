"""How well a network tells speech from what is not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from frcrn.config import require
from frcrn.models.base import Estimate

SILENCE_POWER = 1e-6
"""Power of a frame (-60 dBFS) under which nothing counts as speech."""


def speech_in(clean: Tensor, window: int, hop: int, count: int, margin_db: float) -> Tensor:
    """[B, T] -> [B, count]: 1 in frames less than a margin below the mean power of the loud ones, 0 elsewhere."""
    padded = F.pad(clean, (window - hop, window))
    powers = padded.unfold(1, window, hop)[:, :count].square().mean(dim=2)
    threshold = torch.full_like(powers[:, :1], SILENCE_POWER)
    for _ in range(4):
        loud = (powers > threshold).float()
        mean = (powers * loud).sum(dim=1, keepdim=True) / loud.sum(dim=1, keepdim=True).clamp(min=1)
        threshold = torch.clamp(mean * 10 ** (-margin_db / 10), min=SILENCE_POWER)
    return (powers > threshold).float()


@dataclass(frozen=True)
class VoiceActivity:
    """Cross-entropy of the network's voice activity and the frames in which the clean wave has speech."""

    margin_db: float = 20.0
    window: int = 640
    hop: int = 320

    def __post_init__(self) -> None:
        require(self.margin_db > 0, "margin_db", "more than 0", self.margin_db)

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        if estimate.speech is None:
            raise ValueError("loss.voice_activity: this network does not say where speech is; rnnoise does")
        truth = speech_in(clean, self.window, self.hop, estimate.speech.shape[1], self.margin_db)
        return F.binary_cross_entropy(estimate.speech.clamp(1e-6, 1 - 1e-6), truth)
