"""The inference form of a complex convolution: weights combined once, scaled and shifted as its batch norm would.

A wide one is computed as three real products in place of the block form's four, for a few more sums:
(Wr + i Wi)(x + iy) = (s - c) + i(s + b) with s = Wr (x + y), b = (Wi - Wr) x and c = (Wr + Wi) y. Only the way up takes
this form, two thirds of the arithmetic: on the way down, which all else depends on, it doubles the error of rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.stretches import in_stretches

LEAST_CHANNELS = 64
"""Complex channels, in and out, from which the sums cost less than the product they save."""


class FixedConv(nn.Module):
    """A block weight [phases 2 Co, 2 Ci, kf, kt] and a bias that do not change any more."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, scale: Tensor, phases: int = 1, products: bool = False) -> None:
        super().__init__()
        self.phases = phases
        self.by_products = products and min(len(bias) // phases, weight.shape[1]) >= 2 * LEAST_CHANNELS
        self.register_buffer("bias", bias.detach().clone())
        if self.by_products:
            weight = three_weights(weight, phases)
            self.register_buffer("scale", scale.detach().clone())
        else:
            weight = weight * scale[:, None, None, None]
        self.register_buffer("weight", weight.detach().contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
        """[B, 2 Ci, F, T] -> [B, phases 2 Co, F', T']."""
        if not self.by_products:
            return F.conv2d(x, self.weight, self.bias, (stride, 1), padding)

        return in_stretches(lambda part: self.products(part, stride, padding[0]), x, self.weight.shape[3], padding[1])

    def products(self, x: Tensor, stride: int, padding: int) -> Tensor:
        """[B, 2 Ci, F, T] -> [B, phases 2 Co, F', T - kt + 1], by the three products."""

        def conv(part: Tensor, weight: Tensor) -> Tensor:
            return F.conv2d(part, weight, None, (stride, 1), (padding, 0))

        (re, im), (of_both, of_re, of_im) = x.chunk(2, dim=1), self.weight.chunk(3)
        both = conv(re + im, of_both)
        imag = conv(re, of_re).add_(both)
        real = both.sub_(conv(im, of_im))
        pairs = zip(real.chunk(self.phases, dim=1), imag.chunk(self.phases, dim=1), strict=True)
        y = torch.cat([part for pair in pairs for part in pair], dim=1)
        return y.mul_(self.scale[:, None, None]).add_(self.bias[:, None, None])

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the one block weight and bias that do the same."""
        if not self.by_products:
            return self.weight, self.bias
        real, less, _ = (part.unflatten(0, (self.phases, -1)) for part in self.weight.chunk(3))
        imag = real + less
        rows = [torch.cat(pair, dim=2) for pair in ((real, -imag), (imag, real))]
        return torch.cat(rows, dim=1).flatten(0, 1) * self.scale[:, None, None, None], self.bias


def three_weights(block: Tensor, phases: int) -> Tensor:
    """[phases 2 Co, 2 Ci, kf, kt], phase by phase -> the weights of the three products, [3 phases Co, Ci, kf, kt]."""
    of_real = block[:, : block.shape[1] // 2].unflatten(0, (phases, 2, -1))
    real, imag = (part.flatten(0, 1) for part in of_real.unbind(dim=1))
    return torch.cat([real, imag - real, real + imag])
