"""A running average of a network's weights, which is what gets evaluated and saved."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Tensors = list[Tensor] | tuple[Tensor, ...]
Network = TypeVar("Network", bound=nn.Module)


class Average(Generic[Network]):
    """An exponential moving average of all weights and buffers; young averages forget faster."""

    def __init__(self, model: Network, decay: float) -> None:
        self.model: Network = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        pairs = list(zip(tensors(self.model), tensors(model), strict=True))
        self.floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self.others = [pair for pair in pairs if not pair[0].is_floating_point()]

    def share(self, step: int) -> float:
        """Return how far the average moves towards the network's weights after its `step`-th step, 0 to 1."""
        return 1 - min(self.decay, step / (step + 10))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the network's weights after its `step`-th step."""
        self.follow(self.share(step))
        for average, value in self.others:
            average.copy_(value)

    @torch.no_grad()
    def update_where(self, fine: Tensor, share: Tensor) -> None:
        """Do the same by values on the device, where `fine` is true."""
        self.follow(share * fine)
        for average, value in self.others:
            average.copy_(torch.where(fine, value, average))

    def follow(self, share: float | Tensor) -> None:
        """Move a part of the way."""
        if self.floats:
            averages, weights = zip(*self.floats, strict=True)
            blend(averages, weights, share)

    @torch.no_grad()
    def mend(self) -> None:
        """Replace buffers of the network that are no longer finite, say batch statistics after an overflow."""
        for average, value in self.floats:
            if not isinstance(value, nn.Parameter):
                value.copy_(torch.where(torch.isfinite(value).all(), value, average))


def blend(tensors: Tensors, others: Tensors, share: float | Tensor) -> None:
    """Move tensors a part of the way towards others; a share on the device is not waited for."""
    if isinstance(share, float):
        torch._foreach_lerp_(tensors, others, share)
        return
    way = torch._foreach_sub(others, tensors)
    torch._foreach_mul_(way, share)
    torch._foreach_add_(tensors, way)


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
