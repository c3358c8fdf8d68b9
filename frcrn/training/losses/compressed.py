"""A loss on spectra, their magnitudes compressed as hearing does it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from frcrn.config import require
from frcrn.models.base import Estimate
from frcrn.training.losses.distances import (
    Measure,
    Stages,
    check_transform,
    loudness_gain,
    over_stages,
    spectral_distance,
)
from frcrn.training.losses.ratios import audible
from frcrn.training.losses.spectra import power, spectrum


@dataclass(frozen=True)
class CompressedSpectrum:
    """Distance of magnitudes and of complex spectra, both with the magnitude raised to a power of one or less."""

    stages: Stages = "last"
    magnitude: float = 70.0
    complex: float = 30.0
    power: float = 0.3
    normalise: bool = False
    """Bring every example to one loudness first, so that quiet ones weigh as much as loud ones."""
    measure: Measure = "mse"
    """Mean squared or absolute error, minus the ratio of target to error in dB, or one minus the correlation."""
    window: int = 640
    hop: int = 320

    def __post_init__(self) -> None:
        require(0 < self.power <= 1, "power", "more than 0, at most 1", self.power)
        require(self.magnitude >= 0, "magnitude", "0 or more", self.magnitude)
        require(self.complex >= 0, "complex", "0 or more", self.complex)
        check_transform(self.window, self.hop)

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        gain = loudness_gain(noisy) if self.normalise else torch.ones_like(noisy[:, :1])
        target, sounding = self.compress(gain * clean), audible(clean)
        return over_stages(estimate, self.stages, lambda stage: self.error(gain * stage.wave, target, sounding))

    def error(self, wave: Tensor, target: tuple[Tensor, Tensor], sounding: Tensor) -> Tensor:
        """[B, T], compressed magnitude and spectrum of the target, [B] where it sounds -> a scalar."""
        of_magnitude, of_spectrum = (
            spectral_distance(found, wanted, self.measure, sounding)
            for found, wanted in zip(self.compress(wave), target, strict=True)
        )
        return self.magnitude * of_magnitude + self.complex * of_spectrum

    def compress(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T] -> compressed magnitude [B, 1, F, N], compressed spectrum [B, 2, F, N]."""
        spec = spectrum(wave, self.window, self.hop)
        energy = power(spec)
        magnitude = energy ** (self.power / 2)
        return magnitude.unsqueeze(1), spec * (magnitude * energy.rsqrt()).unsqueeze(1)
