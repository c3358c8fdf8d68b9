"""Complex convolutions as one real convolution with the block weight [[Wr, -Wi], [Wi, Wr]]."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.fixed import FixedConv
from frcrn.models.layers.specs import ConvolutionSpec, array


def nothing_of(x: Tensor) -> Tensor:
    """[..., T] -> [..., 0], not a view: that would keep all of x in memory until the network is done."""
    return x.new_empty((*x.shape[:-1], 0))


def with_past(x: Tensor, past: Tensor | None, frames: int) -> tuple[Tensor, Tensor]:
    """Put `frames` earlier frames (zeros before the start) before x [..., T]; return it and the last `frames` of it."""
    if frames == 0:
        return x, nothing_of(x)
    if past is None:
        past = x.new_zeros((*x.shape[:-1], frames))
    x = torch.cat([past, x], dim=-1)
    return x, x[..., -frames:].clone()  # a view would keep all of x


def last(x: Tensor, frames: int) -> Tensor:
    """Return the last `frames` of x [..., T], with zeros before its start, as a copy."""
    return with_past(x[..., -frames:], None, frames)[1]


def delayed(x: Tensor, past: Tensor | None, frames: int) -> tuple[Tensor, Tensor]:
    """Return x [..., T] as it was `frames` earlier (zeros before the start), and the last `frames` of it."""
    longer, past = with_past(x, past, frames)
    return longer[..., : x.shape[-1]], past


def block_weight(real: Tensor, imag: Tensor) -> Tensor:
    """Two weights [Co, Ci, ...] -> [2 Co, 2 Ci, ...] that multiplies stacked real and imaginary channels."""
    return torch.cat([torch.cat([real, -imag], dim=1), torch.cat([imag, real], dim=1)], dim=0)


def complex_cat(x: Tensor, y: Tensor) -> Tensor:
    """[B, 2C, F, T], [B, 2D, F, T] -> [B, 2(C + D), F, T]."""
    (x_re, x_im), (y_re, y_im) = x.chunk(2, dim=1), y.chunk(2, dim=1)
    return torch.cat([x_re, y_re, x_im, y_im], dim=1)


class Parts(nn.ModuleList):
    """The convolutions that stand for one, each with as many taps for its outputs as they need."""

    def __iter__(self) -> Iterator[FixedConv]:
        return (part for part in super().__iter__() if isinstance(part, FixedConv))


class ComplexConvolution(nn.Module):
    """A complex convolution of either direction; its weights can be combined once and kept, for inference."""

    fixed: Parts
    stride: int
    padding: int
    channels: int
    """Real channels that come out."""
    size = 0
    """Bins that a way up returns."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed = Parts()

    def phases(self) -> list[int]:
        """Return how many phases of a stride have all taps, and how many, if any, have one fewer."""
        return [1]

    def spec(self) -> ConvolutionSpec:
        """Describe this layer; what was scaled and shifted when its weights were fixed is in them."""
        weight, bias = (array(value) for value in self.weight_and_bias())
        bias = bias[: self.channels]
        how = (self.stride, self.padding, self.size, tuple(self.phases()))
        return ConvolutionSpec(weight, np.ones_like(bias), bias, *how)

    def combined(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias computed from the parameters."""
        raise TypeError(f"{type(self).__name__} does not define combined")

    def weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """Return what was kept, or else compute it."""
        return self.whole([part.folded() for part in self.fixed]) if self.fixed else self.combined()

    def whole(self, parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the parts that were kept together."""
        return parts[0]

    def fix(self, scale: Tensor | None = None, shift: Tensor | None = None) -> None:
        """Keep weight and bias, scaled and shifted for each output channel, in place of the parameters."""
        weight, bias = self.combined()
        repeats = 1 if scale is None else len(bias) // len(scale)
        scale = torch.ones_like(bias) if scale is None else scale.repeat(repeats)
        bias = bias * scale if shift is None else bias * scale + shift.repeat(repeats)
        self.keep(weight, bias, scale)
        del self.re, self.im

    def keep(self, weight: Tensor, bias: Tensor, scale: Tensor) -> None:
        """Keep these."""
        self.fixed.append(FixedConv(weight, bias, scale))


def block_bias(real: Tensor, imag: Tensor) -> Tensor:
    """Two biases [Co] -> [2 Co]: each was added once to a real and once to an imaginary product."""
    return torch.cat([real - imag, real + imag])


class ComplexConv2d(ComplexConvolution):
    """Complex convolution that moves down in frequency; looks back in time, and ahead too unless causal."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.re = nn.Conv2d(channels_in, channels_out, kernel)
        self.im = nn.Conv2d(channels_in, channels_out, kernel)
        self.stride, self.padding, self.causal = stride, padding, causal
        self.past, self.channels = kernel[1] - 1, 2 * channels_out

    def combined(self) -> tuple[Tensor, Tensor]:
        """Return the real weight [2 Co, 2 Ci, kf, kt] and bias [2 Co] that do the same."""
        assert self.re.bias is not None and self.im.bias is not None
        return block_weight(self.re.weight, self.im.weight), block_bias(self.re.bias, self.im.bias)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2 Ci, F, T], past [B, 2 Ci, F, kt - 1] -> [B, 2 Co, F', T'], new past; T' = T + kt - 1 unless causal."""
        if self.causal:
            x, past = with_past(x, past, self.past)
        else:
            past = nothing_of(x)
        padding = (self.padding, 0 if self.causal else self.past)
        if self.fixed:
            return self.fixed[0](x, self.stride, padding), past
        return F.conv2d(x, *self.combined(), (self.stride, 1), padding), past


class ComplexConvTranspose2d(ComplexConvolution):
    """Complex transposed convolution that moves up in frequency.

    Computed as a convolution with `stride` times the output channels whose results are interleaved along frequency
    (sub-pixel form): a transposed convolution is a stride's worth of plain ones, each with every stride-th tap.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int],
        stride: int,
        padding: int,
        size: int,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.re = nn.ConvTranspose2d(channels_in, channels_out, kernel)
        self.im = nn.ConvTranspose2d(channels_in, channels_out, kernel)
        self.stride, self.padding, self.size, self.causal = stride, padding, size, causal
        self.past = kernel[1] - 1
        self.kernel, self.channels = kernel[0], 2 * channels_out
        self.taps = -(-kernel[0] // stride)

    def combined(self) -> tuple[Tensor, Tensor]:
        """Return the sub-pixel weight [stride 2 Co, 2 Ci, taps, kt] and bias [stride 2 Co]."""
        assert self.re.bias is not None and self.im.bias is not None
        weight = block_weight(self.re.weight.transpose(0, 1), self.im.weight.transpose(0, 1))
        weight = F.pad(weight, (0, 0, 0, self.taps * self.stride - weight.shape[2]))
        # [2Co, 2Ci, taps, stride, kt] -> [stride, 2Co, 2Ci, taps, kt]; correlation instead of convolution, so flipped
        weight = weight.unflatten(2, (self.taps, self.stride)).permute(3, 0, 1, 2, 4).flip(3, 4)
        return weight.flatten(0, 1), block_bias(self.re.bias, self.im.bias).repeat(self.stride)

    def phases(self) -> list[int]:
        """Return how many phases of a stride have all taps, and how many, if any, have one fewer."""
        wide = (self.kernel - 1) % self.stride + 1
        return [self.stride] if wide == self.stride or self.taps == 1 else [wide, self.stride - wide]

    def pieces(self, weight: Tensor, *others: Tensor) -> list[tuple[Tensor, ...]]:
        """Cut a weight, and what else goes by output channel, in groups of phases with as many taps."""
        sizes = [self.channels * phases for phases in self.phases()]
        weights = [part[:, :, number:] for number, part in enumerate(weight.split(sizes))]
        return list(zip(weights, *(other.split(sizes) for other in others), strict=True))

    def keep(self, weight: Tensor, bias: Tensor, scale: Tensor) -> None:
        """Keep these in pieces."""
        for phases, (taps, shift, factor) in zip(self.phases(), self.pieces(weight, bias, scale), strict=True):
            self.fixed.append(FixedConv(taps, shift, factor, phases, products=True))

    def whole(self, parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the parts that were kept together."""
        weights = [F.pad(weight, (0, 0, self.taps - weight.shape[2], 0)) for weight, _ in parts]
        return torch.cat(weights), torch.cat([bias for _, bias in parts])

    def interleave(self, parts: list[Tensor]) -> Tensor:
        """Phases of the stride, [B, phases C, rows, T] each -> [B, C, size, T], channels last in memory."""
        rows = -(-(self.padding + self.size) // self.stride)
        phases = []
        for part in parts:
            part = part[:, :, :rows]
            part = F.pad(part, (0, 0, 0, rows - part.shape[2])) if part.shape[2] < rows else part
            phases.append(part.permute(0, 2, 3, 1).unflatten(3, (-1, self.channels)).transpose(2, 3))
        y = (torch.cat(phases, dim=2) if len(phases) > 1 else phases[0]).flatten(1, 2)
        return y[:, self.padding : self.padding + self.size].permute(0, 3, 1, 2)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2 Ci, F, T], past [B, 2 Ci, F, kt - 1] -> [B, 2 Co, size, T'], past; T' = T - kt + 1 unless causal."""
        if self.causal:
            x, past = with_past(x, past, self.past)
        else:
            past = nothing_of(x)
        if self.fixed:
            parts = [conv(x, 1, (self.taps - 1 - number, 0)) for number, conv in enumerate(self.fixed)]
        else:
            pieces = self.pieces(*self.combined())
            parts = [F.conv2d(x, weight, bias, padding=(weight.shape[2] - 1, 0)) for weight, bias in pieces]
        return self.interleave(parts), past
