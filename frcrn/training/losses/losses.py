"""Losses on an estimate, one object each; `frcrn.training.losses.objective` sums them with weights.

Every loss is the mean over all examples of the batch, so that two processes of batch B agree with one of 2 B. None
gives NaN or infinite gradients on silence: where a target is silent, the ratios that it leaves undefined count zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from frcrn.config import require
from frcrn.models.base import Estimate
from frcrn.training.losses.compressed import CompressedSpectrum
from frcrn.training.losses.distances import Norm, Stages, check_transform, distance, over_stages
from frcrn.training.losses.opinion import listener
from frcrn.training.losses.pesq import BEST, quality
from frcrn.training.losses.ratios import (
    SILENCE,
    audible,
    frame_power,
    pausing,
    scale_invariant_snr,
    snr,
    whole_power,
)
from frcrn.training.losses.spectra import TINY_POWER, frames, power, spectrum
from frcrn.training.losses.stoi import Reference
from frcrn.training.losses.voice import VoiceActivity


class Loss(Protocol):
    """Estimate, noisy [B, T], clean [B, T] -> a number that falls as the estimate gets better."""

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""


@dataclass(frozen=True)
class SiSnr:
    """Minus the scale-invariant SNR in dB; examples with a silent target count zero."""

    stages: Stages = "last"
    ceiling_db: float | None = None

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        sounding = audible(clean)
        return over_stages(
            estimate,
            self.stages,
            lambda stage: -(scale_invariant_snr(stage.wave, clean, self.ceiling_db) * sounding).mean(),
        )


@dataclass(frozen=True)
class Snr:
    """Minus the SNR in dB, which hears a wrong level too; examples with a silent target count zero."""

    stages: Stages = "last"
    ceiling_db: float = 30.0
    """Examples better than this stop pulling."""

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        sounding = audible(clean)
        return over_stages(
            estimate, self.stages, lambda stage: -(snr(stage.wave, clean, self.ceiling_db) * sounding).mean()
        )


def ideal_mask(noisy: Tensor, clean: Tensor, bound: float) -> Tensor:
    """[B, 2, F, N] spectra -> the complex mask between them; parts beyond the bound become 1 or -1."""
    real = (clean * noisy).sum(dim=1)
    imaginary = clean[:, 1] * noisy[:, 0] - clean[:, 0] * noisy[:, 1]
    mask = torch.stack([real, imaginary], dim=1) / power(noisy).unsqueeze(1)
    return torch.where(mask.abs() > bound, mask.sign(), mask)


@dataclass(frozen=True)
class MaskError:
    """Squared error of the complex mask, summed over frequency, real and imaginary part as the released recipe does."""

    stages: Stages = "last"
    bound: float = 2.0
    window: int = 640
    hop: int = 320

    def __post_init__(self) -> None:
        require(self.bound > 0, "bound", "more than 0", self.bound)
        check_transform(self.window, self.hop)

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        _, _, bins, count = estimate.stages[-1].mask.shape
        of_noisy, of_clean = (frames(wave, self.window, self.hop, count)[:, :, :bins] for wave in (noisy, clean))
        target = ideal_mask(of_noisy, of_clean, self.bound)
        return 4 * bins * over_stages(estimate, self.stages, lambda stage: (stage.mask - target).square().mean())


@dataclass(frozen=True)
class MultiResolutionStft:
    """Spectral convergence plus L1 on log magnitudes, averaged over several windows (hop a quarter of each)."""

    stages: Stages = "last"
    windows: tuple[int, ...] = (512, 1024, 2048)

    def __post_init__(self) -> None:
        require(len(self.windows) > 0, "windows", "at least one window", self.windows)
        for window in self.windows:
            require(window >= 8 and window % 4 == 0, "windows", "multiples of 4 from 8 up", window)

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        return over_stages(estimate, self.stages, lambda stage: self.mean_error(stage.wave, clean))

    def mean_error(self, wave: Tensor, clean: Tensor) -> Tensor:
        """[B, T], [B, T] -> a scalar."""
        return torch.stack([self.error(wave, clean, window) for window in self.windows]).mean()

    def error(self, wave: Tensor, clean: Tensor, window: int) -> Tensor:
        """[B, T], [B, T] -> a scalar, for one window."""
        found, target = (power(spectrum(part, window, window // 4)) for part in (wave, clean))
        difference = (found.sqrt() - target.sqrt()).square().sum(dim=(1, 2))
        convergence = (difference + TINY_POWER).sqrt() / target.sum(dim=(1, 2)).sqrt()
        return (convergence * audible(clean)).mean() + distance(found.log() / 2, target.log() / 2, "l1")


@dataclass(frozen=True)
class WaveError:
    """L1 or squared error of the samples."""

    stages: Stages = "last"
    norm: Norm = "l1"

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        return over_stages(estimate, self.stages, lambda stage: distance(stage.wave, clean, self.norm))


@dataclass(frozen=True)
class LogPowerError:
    """L1 or squared error of the log power spectrum, in nepers."""

    stages: Stages = "last"
    norm: Norm = "l1"
    window: int = 640
    hop: int = 320

    def __post_init__(self) -> None:
        check_transform(self.window, self.hop)

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        target = self.log_power(clean)
        return over_stages(estimate, self.stages, lambda stage: distance(self.log_power(stage.wave), target, self.norm))

    def log_power(self, wave: Tensor) -> Tensor:
        """[B, T] -> [B, F, N]."""
        return power(spectrum(wave, self.window, self.hop)).log()


@dataclass(frozen=True)
class Intelligibility:
    """One minus the intelligibility (STOI); examples with less than 0.4 s of speech count zero."""

    stages: Stages = "last"
    sample_rate: int = 16000

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        reference = Reference(clean, self.sample_rate)
        best = reference.best()
        return over_stages(estimate, self.stages, lambda stage: (best - reference.score(stage.wave)).mean())


@dataclass(frozen=True)
class PerceivedQuality:
    """The best opinion score minus the one found (PESQ); examples with a silent target count zero."""

    stages: Stages = "last"
    sample_rate: int = 16000

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        sounding = audible(clean)
        return over_stages(
            estimate,
            self.stages,
            lambda stage: ((BEST - quality(stage.wave, clean, self.sample_rate)) * sounding).mean(),
        )


@dataclass(frozen=True)
class PredictedOpinion:
    """By how much an opinion that a network predicts (DNSMOS P.808) stays below that of the clean wave.

    What lies above it is no merit: a network that learns fast leads this one to 5.6 of 5 by what nobody hears.
    Examples with a silent target count zero.
    """

    model: str
    """The network's ONNX file."""
    stages: Stages = "last"
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        require(self.sample_rate == 16000, "sample_rate", "16000, as DNSMOS hears nothing else", self.sample_rate)
        try:
            listener(self.model, torch.device("cpu"))
        except ValueError as error:
            raise ValueError(f"model: {error}") from None

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        judge, sounding = listener(self.model, clean.device), audible(clean)
        wanted = judge.opinion(clean)
        return over_stages(
            estimate,
            self.stages,
            lambda stage: ((wanted - judge.opinion(stage.wave)).clamp(min=0) * sounding).mean(),
        )


@dataclass(frozen=True)
class NoiseLeft:
    """What is left where nothing was said, in dB of the input; examples with a target that sounds count zero.

    With `pauses`, frame by frame, and the pauses in examples with speech count too.
    """

    stages: Stages = "last"
    floor_db: float = -50.0
    """What is quieter than this is quiet enough."""
    pauses: bool = False

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        power = frame_power if self.pauses else whole_power
        before = power(noisy)
        alone = (before > SILENCE) * pausing(power(clean))
        return over_stages(estimate, self.stages, lambda stage: (self.left(power(stage.wave), before) * alone).mean())

    def left(self, after: Tensor, before: Tensor) -> Tensor:
        """[B, N], [B, N] powers -> [B, N] in dB."""
        return 10 * (after / (before + TINY_POWER) + 10 ** (self.floor_db / 10)).log10()


LOSSES: dict[str, type[Any]] = {
    "si_snr": SiSnr,
    "snr": Snr,
    "stoi": Intelligibility,
    "pesq": PerceivedQuality,
    "dnsmos": PredictedOpinion,
    "noise_left": NoiseLeft,
    "mask": MaskError,
    "compressed_spectrum": CompressedSpectrum,
    "multi_resolution_stft": MultiResolutionStft,
    "wave": WaveError,
    "log_power": LogPowerError,
    "voice_activity": VoiceActivity,
}
