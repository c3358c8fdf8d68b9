"""The complex U-Net, built from a tuple of levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.complex import ComplexConv2d, ComplexConvTranspose2d
from frcrn.models.layers.fsmn import BinFsmn, FrequencyFsmn, TimeFsmn
from frcrn.models.layers.specs import ConvolutionSpec, array
from frcrn.models.layers.wiring import Eager, Memories, u_net


class Level(NamedTuple):
    """One step down, and the step up that undoes it; `fsmn`, `se` and `time` speak of the resolution it starts from."""

    channels: int
    kernel: tuple[int, int] = (5, 2)
    up_kernel: tuple[int, int] = (5, 2)
    stride: int = 2
    padding: int = 0
    fsmn: bool = True
    se: bool = True
    time: int = 0
    """Hidden features of a memory over time in each bin, 0 for none."""


class UNetShape(NamedTuple):
    """What a U-Net is made of besides its levels."""

    bins: int
    channels_in: int = 1
    memory: int = 20
    time_memory: int = 20
    ahead: int = 0
    time_layers: int = 2
    time_hidden: int = 0
    reduction: int = 8
    se_frames: int = 0
    add_skips: bool = False
    head_channels: int = 1
    causal: bool = False


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the scale and shift of each channel that a batch norm in eval mode amounts to.

    In double precision, as the last bit of a root in single precision depends on the processor.
    """
    assert norm.running_mean is not None and norm.running_var is not None
    parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    weight, bias, mean, variance = (part.cpu().double() for part in parts)
    scale = weight / (variance + norm.eps).sqrt()
    return scale.to(norm.weight), (bias - mean * scale).to(norm.bias)


class Block(nn.Module):
    """Convolution, batch norm over real and imaginary channels alike, leaky ReLU."""

    def __init__(self, conv: ComplexConv2d | ComplexConvTranspose2d, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.Module = nn.BatchNorm2d(2 * channels)

    def spec(self) -> ConvolutionSpec:
        """Describe this layer: its convolution, and what is left of the norm after it."""
        spec = self.conv.spec()._replace(activated=True)
        if not isinstance(self.norm, nn.BatchNorm2d):
            return spec
        scale, shift = (array(value) for value in affine(self.norm))
        return spec._replace(scale=scale, bias=spec.bias * scale + shift)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2 Ci, F, T] -> [B, 2 Co, F', T'], new past."""
        x, past = self.conv(x, past)
        if not x.requires_grad:
            return F.leaky_relu_(self.norm(x)), past  # in place: it is the convolution's or the norm's own result
        x = self.norm(channels_last(x))
        x.register_hook(channels_last)
        return F.leaky_relu(x), past


def channels_last(x: Tensor) -> Tensor:
    """Return the same in the one layout in which batch norm's way back is not eight times slower."""
    return x.contiguous(memory_format=torch.channels_last)


def bins_of(levels: Sequence[Level], bins: int) -> list[int]:
    """Return the number of bins at the start of each level and after the last; refuse levels that cannot be undone."""
    sizes = [bins]
    for number, level in enumerate(levels):
        below = (sizes[-1] + 2 * level.padding - level.kernel[0]) // level.stride + 1
        if below < 1 or (below - 1) * level.stride + level.up_kernel[0] < level.padding + sizes[-1]:
            raise ValueError(
                f"level {number}: {sizes[-1]} bins become {max(below, 0)} going down (kernel {level.kernel[0]}, stride "
                f"{level.stride}, padding {level.padding}) and do not come back with the up kernel {level.up_kernel[0]}"
            )
        sizes.append(below)
    return sizes


def start_near_identity(head: ComplexConv2d) -> None:
    """Make an untrained mask a real number a little over one half, so that training need not find the phase first."""
    with torch.no_grad():
        for part, half in ((head.re, 0.3), (head.im, -0.3)):
            assert part.bias is not None
            part.weight.mul_(0.2)
            part.bias.fill_(half)


class UNet(nn.Module):
    """Down through the levels, a memory over time at the bottom, and up again beside weighted shortcuts."""

    def __init__(self, levels: Sequence[Level], shape: UNetShape) -> None:
        super().__init__()
        self.levels, self.shape = tuple(levels), shape
        self.sizes = bins_of(levels, shape.bins)
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        self.fsmn_enc, self.fsmn_dec = nn.ModuleDict(), nn.ModuleDict()
        self.se_enc, self.se_dec = nn.ModuleDict(), nn.ModuleDict()
        self.time_enc, self.time_dec = nn.ModuleDict(), nn.ModuleDict()
        for number in range(len(levels)):
            self.add_level(number)
        features = levels[-1].channels * self.sizes[-1]
        hidden, along_time = shape.time_hidden or features, (shape.time_memory, shape.ahead)
        self.bottleneck = nn.ModuleList(TimeFsmn(features, hidden, *along_time) for _ in range(shape.time_layers))
        self.head = ComplexConv2d(shape.head_channels, 1, (1, 1), causal=shape.causal)
        start_near_identity(self.head)

    def add_level(self, number: int) -> None:
        """Build encoder and decoder number `number`, and what belongs to the resolution between it and the last."""
        shape, level, bottom = self.shape, self.levels[number], number == len(self.levels) - 1
        above = self.levels[number - 1].channels if number else shape.channels_in
        out = above if number else shape.head_channels
        below = level.channels if bottom or shape.add_skips else 2 * level.channels
        down = ComplexConv2d(above, level.channels, level.kernel, level.stride, level.padding, shape.causal)
        up = ComplexConvTranspose2d(
            below, out, level.up_kernel, level.stride, level.padding, self.sizes[number], shape.causal
        )
        self.encoders.append(Block(down, level.channels))
        self.decoders.append(Block(up, out))
        name = str(number)
        if number and level.fsmn:
            self.fsmn_enc[name] = FrequencyFsmn(above, above, shape.memory)
            self.fsmn_dec[name] = FrequencyFsmn(above, above, shape.memory)
        if number and level.time:
            self.time_enc[name] = BinFsmn(above, level.time, shape.time_memory, shape.ahead)
            joined = above if shape.add_skips else 2 * above
            self.time_dec[name] = BinFsmn(joined, level.time, shape.time_memory, shape.ahead)
        if number and level.se:
            self.se_enc[name] = ComplexSE(above, shape.reduction, shape.se_frames)
        if number > 1 and level.se:
            self.se_dec[name] = ComplexSE(above, shape.reduction, shape.se_frames)

    def forward(self, x: Tensor, past: Memories | None = None) -> tuple[Tensor, Memories]:
        """[B, 2 Ci, F, T] -> [B, 2, F, T], new past by layer name."""
        at = Eager(past)
        return u_net(at, self, x), at.new
