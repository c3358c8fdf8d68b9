"""A running average of a network's weights, which is what gets evaluated and saved."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Network = TypeVar("Network", bound=nn.Module)


class Average(Generic[Network]):
    """An exponential moving average of all weights and buffers; young averages forget faster."""

    def __init__(self, model: Network, decay: float) -> None:
        self.model: Network = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        pairs = list(zip(tensors(self.model), tensors(model), strict=True))
        self.floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self.others = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the network's weights after its `step`-th step."""
        decay = min(self.decay, step / (step + 10))
        if self.floats:
            averages, weights = zip(*self.floats, strict=True)
            torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, value in self.others:
            average.copy_(value)

    @torch.no_grad()
    def mend(self, model: nn.Module) -> None:
        """Replace buffers of the network that are no longer finite, say batch statistics after an overflow."""
        known = dict(self.model.named_buffers())
        for name, buffer in model.named_buffers():
            if not torch.isfinite(buffer).all():
                buffer.copy_(known[name])


def tensors(model: nn.Module) -> list[Tensor]:
    """Return the weights and buffers that a checkpoint would hold."""
    return list(model.state_dict(keep_vars=True).values())


@torch.no_grad()
def settle(model: nn.Module, waves: Iterable[Tensor]) -> None:
    """Measure the batch norms' means and variances in the network as it is, over batches of noisy waves.

    The average of those that a network met in training is too wide for its averaged weights, which make less noise.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all that it is shown
        norm.train()
    for wave in waves if norms else ():
        model(wave)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
