"""What training makes small: losses summed with weights, as a recipe's table says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from frcrn.config import build
from frcrn.models.base import Estimate, Stage
from frcrn.training.losses.losses import LOSSES, Loss


class LossValue(NamedTuple):
    """The weighted sum, with its gradient, and each part before its weight."""

    total: Tensor
    parts: dict[str, Tensor]


class Losses:
    """Several losses, each with a name and a weight."""

    def __init__(self, parts: Mapping[str, tuple[Loss, float]]) -> None:
        self.parts = dict(parts)

    def __call__(self, estimate: Estimate, noisy: Tensor, clean: Tensor) -> LossValue:
        """Return the weighted sum and its parts, computed in single precision whatever the network ran in."""
        with torch.autocast(noisy.device.type, enabled=False):
            stages = tuple(Stage(*(part.float() for part in stage)) for stage in estimate.stages)
            speech = None if estimate.speech is None else estimate.speech.float()
            estimate = Estimate(estimate.wave.float(), stages, speech)
            values = {name: loss(estimate, noisy, clean) for name, (loss, _) in self.parts.items()}
        total = torch.stack([weight * values[name] for name, (_, weight) in self.parts.items()]).sum()
        return LossValue(total, {name: value.detach() for name, value in values.items()})


def build_losses(config: Mapping[str, Any], *, window: int, hop: int, sample_rate: int = 16000) -> Losses:
    """Return the losses of a table such as {"si_snr": {"weight": 0.1}}, with the network's STFT and rate.

    Where two losses are of one kind, their names are free and each says its `kind`.
    """
    if not isinstance(config, Mapping) or not config:
        raise ValueError(f'loss: expected a table by name, such as {{"si_snr": {{"weight": 0.1}}}}, found {config!r}')
    defaults = {"window": window, "hop": hop, "sample_rate": sample_rate}
    return Losses({name: build_loss(name, options, defaults) for name, options in config.items()})


def build_loss(name: str, entry: Any, defaults: Mapping[str, int]) -> tuple[Loss, float]:
    """Return one loss and its weight."""
    where = f"loss.{name}"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: expected a table of settings, found {entry!r}")
    kind = entry.get("kind", name)
    if kind not in LOSSES:
        raise ValueError(f"{where}: expected one of {', '.join(LOSSES)}, as its name or its kind, found {kind!r}")
    known = {field.name for field in fields(LOSSES[kind])}
    options = {key: value for key, value in defaults.items() if key in known}
    options.update({key: value for key, value in entry.items() if key not in ("kind", "weight")})
    weight = entry.get("weight", 1.0)
    if not isinstance(weight, (int, float)) or isinstance(weight, bool) or not 0 < weight < float("inf"):
        raise ValueError(f"{where}.weight: expected a number above 0, found {weight!r}")
    return build(LOSSES[kind], options, where), float(weight)
