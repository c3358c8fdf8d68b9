"""The inference form of the layers: weights combined once instead of at every call, batch norm folded in."""

from __future__ import annotations

from torch import nn

from frcrn.models.layers.complex import ComplexConvolution
from frcrn.models.layers.fsmn import Fsmn
from frcrn.models.layers.unet import Block, affine


def fuse(network: nn.Module) -> None:
    """Bring every layer of a network into its inference form, in place."""
    for layer in list(network.modules()):
        if isinstance(layer, Block) and isinstance(layer.norm, nn.BatchNorm2d):
            layer.conv.fix(*affine(layer.norm))
            layer.norm = nn.Identity()
    for layer in list(network.modules()):
        if isinstance(layer, ComplexConvolution) and not layer.fixed:
            layer.fix()
        if isinstance(layer, Fsmn) and not layer.fixed:
            layer.fix()
