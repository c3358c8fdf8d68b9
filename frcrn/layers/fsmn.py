"""Feed-forward sequential memory: a small network at each place, and a weighted memory of the places before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.layers.complex import with_past


class Memory(nn.Module):
    """Weights of one real memory block: features -> hidden -> features, then `order` taps a feature."""

    def __init__(self, features: int, hidden: int, order: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, hidden)
        self.project = nn.Linear(hidden, features, bias=False)
        self.memory = nn.Conv2d(features, features, (order, 1), groups=features, bias=False)


class ComplexFsmn(nn.Module):
    """Two memory blocks that form a complex one: (f + ig)(x + iy) = f(x) - g(y) + i(f(y) + g(x))."""

    def __init__(self, features: int, hidden: int, order: int) -> None:
        super().__init__()
        self.re = Memory(features, hidden, order)
        self.im = Memory(features, hidden, order)
        self.features, self.order = features, order
        self.fixed = nn.ParameterList()

    def fix(self) -> None:
        """Keep the combined weights in place of the parameters, for inference."""
        self.fixed = nn.ParameterList(nn.Parameter(w.detach().clone(), requires_grad=False) for w in self.weights())
        del self.re, self.im

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return linear [2 H, C] and its bias, both projections [C, H], and the memory [4 C, 1, order, 1]."""
        if self.fixed:
            linear, bias, project_re, project_im, memory = self.fixed
            return linear, bias, project_re, project_im, memory
        linear = torch.cat([self.re.linear.weight, self.im.linear.weight])
        bias = torch.cat([self.re.linear.bias, self.im.linear.bias])
        memory = torch.cat([self.re.memory.weight, self.im.memory.weight]).repeat(2, 1, 1, 1)
        return linear, bias, self.re.project.weight, self.im.project.weight, memory

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., 2 C] -> p [..., 4 C] ordered (f(x), g(x), f(y), g(y)), memory weight [4 C, 1, order, 1]."""
        linear, bias, project_re, project_im, memory = self.weights()
        hidden = F.relu(F.linear(x.unflatten(-1, (2, self.features)), linear, bias))
        re, im = hidden.chunk(2, dim=-1)
        return torch.cat([F.linear(re, project_re), F.linear(im, project_im)], dim=-1).flatten(-2), memory

    def combine(self, x: Tensor, p: Tensor) -> Tensor:
        """x [B, 2 C, ...], p [B, 4 C, ...] -> [B, 2 C, ...], the blocks' own shortcuts included."""
        re, im = x.chunk(2, dim=1)
        f_re, g_re, f_im, g_im = p.chunk(4, dim=1)
        return torch.cat([re - im + f_re - g_im, re + im + f_im + g_re], dim=1)


class FrequencyFsmn(ComplexFsmn):
    """Memory along frequency, from low to high: the same in every frame."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2C, F, T] -> [B, 2C, F, T]."""
        p, memory = self.projections(x.permute(0, 2, 3, 1))
        p = p.permute(0, 3, 1, 2)
        p = p + F.conv2d(F.pad(p, (0, 0, self.order - 1, 0)), memory, groups=p.shape[1])
        return self.combine(x, p)


class TimeFsmn(ComplexFsmn):
    """Memory along time over all channels and bins of a frame; causal by nature."""

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2C, F, T], past [B, 4 C F, order - 1] -> [B, 2C, F, T], new past."""
        height = x.shape[2]
        flat = x.flatten(1, 2)
        p, memory = self.projections(flat.transpose(1, 2))
        p = p.transpose(1, 2)
        longer, past = with_past(p, past, self.order - 1)
        p = p + F.conv1d(longer, memory.squeeze(3), groups=p.shape[1])
        return self.combine(flat, p).unflatten(1, (-1, height)), past
