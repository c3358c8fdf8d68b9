"""The inference form of the layers: weights combined once instead of at every call, batch norm folded in."""

from __future__ import annotations

from torch import Tensor, nn

from frcrn.models.layers.complex import ComplexConvolution
from frcrn.models.layers.fsmn import Fsmn
from frcrn.models.layers.unet import Block


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the scale and shift of each channel that a batch norm in eval mode amounts to."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def fuse(network: nn.Module) -> None:
    """Bring every layer of a network into its inference form, in place."""
    for layer in list(network.modules()):
        if isinstance(layer, Block) and isinstance(layer.norm, nn.BatchNorm2d):
            assert isinstance(layer.conv, ComplexConvolution)
            layer.conv.fix(*affine(layer.norm))
            layer.norm = nn.Identity()
    for layer in list(network.modules()):
        if isinstance(layer, ComplexConvolution) and not layer.fixed:
            layer.fix()
        if isinstance(layer, Fsmn) and not layer.fixed:
            layer.fix()
