"""Networks whose right answer is known: what surrounds a network is tested with these."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frcrn.models.base import Enhancer, Estimate, Stage, State


class Fake(Enhancer):
    """The shape of a network; `clean` is what it makes of a wave, [B, T] -> [B, T]."""

    def __init__(self, *, lookahead: int = 64, level_dbfs: float | None = None) -> None:
        super().__init__()
        self.sample_rate, self.window, self.hop, self.lookahead = 16000, 64, 32, lookahead
        self.level_dbfs = level_dbfs
        self.scale = nn.Parameter(torch.ones(()))
        self.seen: list[Tensor] = []

    def clean(self, wave: Tensor) -> Tensor:
        return wave * self.scale

    def forward(self, wave: Tensor) -> Estimate:
        self.seen.append(wave.detach().clone())
        clean = self.clean(wave)
        nothing = wave.new_zeros(len(wave), 2, 1, 1)
        return Estimate(clean, (Stage(nothing, nothing, clean),))


class Gain(Fake):
    """Offline: every sample times a factor."""

    def __init__(self, factor: float = 1.0, *, lookahead: int = 64, level_dbfs: float | None = None) -> None:
        super().__init__(lookahead=lookahead, level_dbfs=level_dbfs)
        nn.init.constant_(self.scale, factor)


class CausalGain(Gain):
    """Causal: every sample times a factor, late by window - hop as every stepped network is."""

    def __init__(self, factor: float = 1.0, *, level_dbfs: float | None = None) -> None:
        super().__init__(factor, lookahead=0, level_dbfs=level_dbfs)

    def initial_state(self, batch: int) -> State:
        return {"late": torch.zeros(batch, self.lag)}

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        self.seen.append(frame.detach().clone())
        wave = torch.cat([state["late"], frame], dim=1)
        return self.clean(wave[:, : frame.shape[1]]), {"late": wave[:, frame.shape[1] :]}


class LateGain(CausalGain):
    """Causal but for samples of future that it waits for: every sample times a factor, so much later."""

    streams = True

    def __init__(self, factor: float = 1.0, *, lookahead: int, window: int = 640, hop: int = 320) -> None:
        super().__init__(factor)
        self.window, self.hop, self.lookahead = window, hop, lookahead


class Smooth(Fake):
    """Offline and local: a mean over `reach` samples to each side, so pieces with a guard that long lose nothing."""

    def __init__(self, reach: int = 400) -> None:
        super().__init__(lookahead=reach)

    def clean(self, wave: Tensor) -> Tensor:
        kernel = wave.new_ones(1, 1, 2 * self.lookahead + 1) / (2 * self.lookahead + 1)
        return F.conv1d(wave[:, None], kernel, padding=self.lookahead)[:, 0] * self.scale


class Normalise(Fake):
    """Offline and global: what it does to a sample depends on all it sees, as squeeze-excitation does."""

    def clean(self, wave: Tensor) -> Tensor:
        return wave * 0.1 / wave.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12) * self.scale
