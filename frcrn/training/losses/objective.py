"""What training makes small: losses summed with weights, as a recipe's list says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
            estimate = Estimate(
                estimate.wave.float(), tuple(Stage(*(part.float() for part in stage)) for stage in estimate.stages)
            )
            values = {name: loss(estimate, noisy, clean) for name, (loss, _) in self.parts.items()}
        total = torch.stack([weight * values[name] for name, (_, weight) in self.parts.items()]).sum()
        return LossValue(total, {name: value.detach() for name, value in values.items()})


def build_losses(config: Sequence[Mapping[str, Any]], *, window: int, hop: int, sample_rate: int = 16000) -> Losses:
    """Return the losses of a list such as [{"name": "si_snr", "weight": 0.1}], with the network's STFT and rate."""
    if isinstance(config, (str, Mapping)) or not config:
        raise ValueError(f"loss: expected a list of tables such as {{'name': 'si_snr'}}, found {config!r}")
    parts: dict[str, tuple[Loss, float]] = {}
    for index, entry in enumerate(config):
        where = f"loss[{index}]"
        if not isinstance(entry, Mapping) or entry.get("name") not in LOSSES:
            raise ValueError(f"{where}: expected a table whose name is one of {', '.join(LOSSES)}, found {entry!r}")
        name = entry["name"] if entry["name"] not in parts else f"{entry['name']}_{index}"
        parts[name] = build_loss(entry, where, {"window": window, "hop": hop, "sample_rate": sample_rate})
    return Losses(parts)


def build_loss(entry: Mapping[str, Any], where: str, defaults: Mapping[str, int]) -> tuple[Loss, float]:
    """Return one loss and its weight."""
    cls = LOSSES[entry["name"]]
    known = {field.name for field in fields(cls)}
    options = {key: value for key, value in defaults.items() if key in known}
    options.update({key: value for key, value in entry.items() if key not in ("name", "weight")})
    weight = entry.get("weight", 1.0)
    if not isinstance(weight, (int, float)) or isinstance(weight, bool) or not 0 < weight < float("inf"):
        raise ValueError(f"{where}.weight: expected a number above 0, found {weight!r}")
    return build(cls, options, where), float(weight)
