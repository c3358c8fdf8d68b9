"""Complex convolutions as one real convolution with the block weight [[Wr, -Wi], [Wi, Wr]]."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


def block_weight(real: Tensor, imag: Tensor) -> Tensor:
    """Two weights [Co, Ci, ...] -> [2 Co, 2 Ci, ...] that multiplies stacked real and imaginary channels."""
    return torch.cat([torch.cat([real, -imag], dim=1), torch.cat([imag, real], dim=1)], dim=0)


class FixedWeight(nn.Module):
    """A layer whose combined weight and bias can be computed once and kept, for inference."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", None)
        self.register_buffer("bias", None)

    def combined(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias computed from the parameters."""
        raise TypeError(f"{type(self).__name__} does not define combined")

    def weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """Return what was kept, or else compute it."""
        if self.weight is not None and self.bias is not None:
            return self.weight, self.bias
        return self.combined()

    def fix(self, scale: Tensor | None = None, shift: Tensor | None = None) -> None:
        """Keep weight and bias, scaled and shifted for each output channel, in place of the parameters."""
        weight, bias = self.combined()
        if scale is not None and shift is not None:
            repeats = len(bias) // len(scale)
            scale, shift = scale.repeat(repeats), shift.repeat(repeats)
            weight, bias = weight * scale[:, None, None, None], bias * scale + shift
        for name in list(self._modules):
            delattr(self, name)
        self.weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.bias = bias.detach().clone()


def block_bias(real: Tensor, imag: Tensor) -> Tensor:
    """Two biases [Co] -> [2 Co]: each was added once to a real and once to an imaginary product."""
    return torch.cat([real - imag, real + imag])


class ComplexConv2d(FixedWeight):
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
        self.past = kernel[1] - 1

    def combined(self) -> tuple[Tensor, Tensor]:
        """Return the real weight [2 Co, 2 Ci, kf, kt] and bias [2 Co] that do the same."""
        assert self.re.bias is not None and self.im.bias is not None
        return block_weight(self.re.weight, self.im.weight), block_bias(self.re.bias, self.im.bias)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2 Ci, F, T], past [B, 2 Ci, F, kt - 1] -> [B, 2 Co, F', T'], new past; T' = T + kt - 1 unless causal."""
        weight, bias = self.weight_and_bias()
        if self.causal:
            x, past = with_past(x, past, self.past)
            return F.conv2d(x, weight, bias, (self.stride, 1), (self.padding, 0)), past
        return F.conv2d(x, weight, bias, (self.stride, 1), (self.padding, self.past)), nothing_of(x)


class ComplexConvTranspose2d(FixedWeight):
    """Complex transposed convolution that moves up in frequency.

    Computed as a convolution with `stride` times the output channels whose results are interleaved along frequency
    (sub-pixel form): a transposed convolution is a stride's worth of plain ones, each with every stride-th tap.
    """

    wide: Tensor | None
    narrow: Tensor | None

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
        self.register_buffer("wide", None)
        self.register_buffer("narrow", None)

    def combined(self) -> tuple[Tensor, Tensor]:
        """Return the sub-pixel weight [stride 2 Co, 2 Ci, taps, kt] and bias [stride 2 Co]."""
        assert self.re.bias is not None and self.im.bias is not None
        weight = block_weight(self.re.weight.transpose(0, 1), self.im.weight.transpose(0, 1))
        weight = F.pad(weight, (0, 0, 0, self.taps * self.stride - weight.shape[2]))
        # [2Co, 2Ci, taps, stride, kt] -> [stride, 2Co, 2Ci, taps, kt]; correlation instead of convolution, so flipped
        weight = weight.unflatten(2, (self.taps, self.stride)).permute(3, 0, 1, 2, 4).flip(3, 4)
        return weight.flatten(0, 1), block_bias(self.re.bias, self.im.bias).repeat(self.stride)

    def pieces(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias by number of taps: the first phases of a stride may have one more than the rest."""
        weight, bias = self.weight_and_bias()
        wide = (self.kernel - 1) % self.stride + 1
        if wide == self.stride or self.taps == 1:
            return [(weight, bias)]
        split = len(bias) // self.stride * wide
        if self.wide is not None and self.narrow is not None:
            return [(self.wide, bias[:split]), (self.narrow, bias[split:])]
        return [(weight[:split], bias[:split]), (weight[split:, :, 1:], bias[split:])]

    def fix(self, scale: Tensor | None = None, shift: Tensor | None = None) -> None:
        """Keep the pieces too, each in the layout that runs fastest."""
        super().fix(scale, shift)
        pieces = [weight.contiguous(memory_format=torch.channels_last) for weight, _ in self.pieces()]
        if len(pieces) == 2:
            self.wide, self.narrow = pieces

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
        parts = [F.conv2d(x, weight, bias, padding=(weight.shape[2] - 1, 0)) for weight, bias in self.pieces()]
        return self.interleave(parts), past
