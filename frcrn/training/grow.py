"""A larger network from the weights of a smaller one of its form, which does at first exactly what that one did.

Each of its tensors holds the smaller one's in its first corner. What is new reads what was there, with weights of an
untrained network, and nothing that was there reads what is new: those weights begin at zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.complex import ComplexConvTranspose2d
from frcrn.models.layers.fsmn import BinFsmn


@torch.no_grad()
def grow(model: nn.Module, start: Mapping[str, Tensor]) -> None:
    """Put the weights of a smaller network into an untrained larger one, in place; name what cannot hold them."""
    upward = [f"{name}." for name, layer in model.named_modules() if isinstance(layer, ComplexConvTranspose2d)]
    own = model.state_dict()
    nothing = [f"{name}." for name, layer in model.named_modules() if isinstance(layer, BinFsmn)]
    if added := [name for name in own if name not in start and not name.startswith(tuple(nothing))]:
        raise ValueError(
            f"{added[0]}: the smaller network has no such layer, so that the larger one would not do the same"
        )
    refuse_mixing(model)
    for name, small in start.items():
        if name not in own:
            raise ValueError(f"{name}: the larger network has no such layer")
        large = own[name]
        if small.ndim != large.ndim or any(few > many for few, many in zip(small.shape, large.shape, strict=True)):
            raise ValueError(f"{name}: {tuple(small.shape)} does not fit into {tuple(large.shape)}")
        if name.endswith(".memory.weight"):
            large[:, :, small.shape[2] :] = 0  # taps of frames ahead, which come after all that were there
        put(small, large, halves=".norm." in name, inputs_first=name.startswith(tuple(upward)))


def refuse_mixing(model: nn.Module) -> None:
    """Refuse networks in which the place of a channel depends on how many there are."""
    if not getattr(model.config, "add_skips", True):
        raise ValueError("model.add_skips: expected true for a network that is to grow, found false")
    if any(isinstance(layer, ComplexSE) for layer in model.modules()):
        raise ValueError("model.levels: expected none with se for a network that is to grow, found one")


def put(small: Tensor, large: Tensor, *, halves: bool, inputs_first: bool) -> None:
    """Fill the corner of one tensor, and cut what was there off from what is new.

    `halves`: a norm's values, [2 C], stand once for real and once for imaginary channels. `inputs_first`: a kernel
    upward is [in, out, ...] where others are [out, in, ...].
    """
    if halves and small.ndim:
        for few, many in zip(small.chunk(2), large.chunk(2), strict=True):
            many[: len(few)] = few
        return
    if small.ndim > 1:
        outputs, inputs = (1, 0) if inputs_first else (0, 1)
        kept, new = small.shape[outputs], large.shape[inputs] - small.shape[inputs]
        large.narrow(outputs, 0, kept).narrow(inputs, small.shape[inputs], new).zero_()
    large[tuple(slice(0, size) for size in small.shape)] = small
