"""Networks for tests: with lively weights, with a known mask, and the stock one as the reference."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from frcrn import FRCRN, FRCRNConfig
from frcrn.models.layers.fsmn import BinFsmn
from frcrn.models.layers.unet import Level
from frcrn.models.released import ARGUMENTS

Network = TypeVar("Network", bound=nn.Module)


RELEASED_LEVEL = 10 ** (-25 / 20)  # the loudness that the released network is fed at


def noise(*shape: int, seed: int = 1, level: float = RELEASED_LEVEL) -> Tensor:
    """Return white noise that depends on nothing but the arguments."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * level


def lively_memory(layer: BinFsmn, random: torch.Generator | None = None) -> BinFsmn:
    """Give a memory that changes nothing yet weights that do."""
    with torch.no_grad():
        for part in (layer.re, layer.im):
            part.project.weight.uniform_(-0.3, 0.3, generator=random)
    return layer


def lively(network: Network, *shape: int, seed: int = 0) -> Network:
    """Give batch norms the statistics of noise of this shape, and all layers weights that are not one and zero."""
    random = torch.Generator().manual_seed(seed)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in network.modules():
        if isinstance(layer, BinFsmn):
            lively_memory(layer, random)
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=random)
            norm.bias.uniform_(-0.2, 0.2, generator=random)
            norm.momentum = None  # the plain average over all passes, so that a few are enough
        network.train()
        for number in range(3):
            network(noise(*shape, seed=seed + number))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def tiny(seed: int = 0, **changes: object) -> FRCRN:
    """Return the tiny network with lively weights, offline or causal."""
    torch.manual_seed(seed)
    model = FRCRN(FRCRNConfig.tiny(**changes))
    return lively(model, 2, 20 * model.hop, seed=seed)


def two_levels(window: int, hop: int, **changes: object) -> FRCRNConfig:
    """Return a tiny two-stage network over every bin of a spectrum of this window."""
    bins, levels = window // 2 + 1, []
    for channels in (2, 3):
        below = (bins - 3) // 2 + 1
        levels.append(Level(channels, kernel=(3, 2), up_kernel=(3 + (bins - 3) % 2, 2)))
        bins = below
    small = {"memory": 3, "time_memory": 3, "reduction": 1, "se_frames": 4, "level_dbfs": None}
    shape = {"window": window, "hop": hop, "levels": tuple(levels)}
    return FRCRNConfig(**{**shape, **small, **changes})  # type: ignore[arg-type]


def with_mask_of_one(model: FRCRN) -> FRCRN:
    """Set the heads so that the mask of every stage is one, whatever comes in."""
    with torch.no_grad():
        for number, unet in enumerate(model.unets):
            for parameter in unet.head.parameters():
                parameter.zero_()
            if number == 0:
                # (re - im) is the bias of the real part, (re + im) that of the imaginary one
                unet.head.re.bias.fill_(10.0)
                unet.head.im.bias.fill_(-10.0)
    return model.eval()


@cache
def stock() -> nn.Module:
    """Return the installed modelscope's own network with lively weights; skip where it cannot be imported."""
    pytest.importorskip("six")
    module = pytest.importorskip("modelscope.models.audio.ans.frcrn")
    torch.manual_seed(0)
    return lively(module.FRCRN(**ARGUMENTS), 2, 4800)
