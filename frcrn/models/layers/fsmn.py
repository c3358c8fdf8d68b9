"""Feed-forward sequential memory: a small network at each place, and a weighted memory of the places before it.

A real block with C features and a memory of N places takes x[t] (t along time, or along the bins of a frame) to

    p[t] = project(relu(linear x[t] + bias))
    f(x)[t] = x[t] + p[t] + sum_{i = 0}^{N - 1} a_i * p[t - i]        a_i [C], * feature by feature

The sum is a depthwise convolution whose last tap is the present; adding one to that tap takes in the p[t] before it.
A memory that looks `ahead` has as many more taps, for the places after t, and answers as many places later.

A complex block has two of these, f and g, and is linear in i: (f + ig)(x + iy) = f(x) - g(y) + i (f(y) + g(x)). Both
act on x and on y, so that one product with the rows of x and y gives all four, and the shortcuts x[t] of f and g come
to (x - y) + i (x + y).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.complex import last, with_past
from frcrn.models.layers.specs import MemorySpec, ProjectionSpec, array
from frcrn.models.layers.stretches import in_stretches
from frcrn.models.layers.taps import along, fits


def with_present(taps: Tensor, ahead: int = 0) -> Tensor:
    """[C, 1, order, 1] -> the same with a block's own shortcut, one more in the present's tap, the last but `ahead`."""
    present = torch.zeros_like(taps[:1])
    present[:, :, -1 - ahead].fill_(1)
    return taps + present


class Projection(nn.Module):
    """Weights of one real part: features -> hidden -> features."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, hidden)
        self.project = nn.Linear(hidden, features, bias=False)


class Memory(Projection):
    """The same and `order` taps a feature: one real memory block."""

    def __init__(self, features: int, hidden: int, order: int) -> None:
        super().__init__(features, hidden)
        self.memory = nn.Conv2d(features, features, (order, 1), groups=features, bias=False)


class Fsmn(nn.Module):
    """A memory of two real parts, whose weights can be combined once and kept, for inference."""

    re: Memory
    im: Projection

    def __init__(self, re: Memory, im: Projection, ahead: int = 0) -> None:
        super().__init__()
        self.re, self.im, self.ahead = re, im, ahead
        self.features, self.order = re.linear.in_features, re.memory.kernel_size[0]
        self.fixed = nn.ParameterList()

    def fix(self) -> None:
        """Keep the combined weights in place of the parameters, for inference."""
        self.fixed = nn.ParameterList(nn.Parameter(w.detach().clone(), requires_grad=False) for w in self.combined())
        del self.re, self.im

    def weights(self) -> tuple[Tensor, ...]:
        """Return what was kept, or else combine it."""
        return tuple(self.fixed) if self.fixed else self.combined()

    def combined(self) -> tuple[Tensor, ...]:
        """Return linear [2 H, C] and its bias, of f and g, and what else a kind of memory needs."""
        linear = torch.cat([self.re.linear.weight, self.im.linear.weight])
        return linear, torch.cat([self.re.linear.bias, self.im.linear.bias])

    def projects(self) -> tuple[Tensor, Tensor]:
        """Return the projections of f and g, [C, H] each."""
        raise TypeError(f"{type(self).__name__} does not define projects")

    def taps(self) -> tuple[Tensor, Tensor]:
        """Return the taps of f and g, [C, 1, order, 1] each, with the blocks' own shortcuts."""
        raise TypeError(f"{type(self).__name__} does not define taps")

    def spec(self) -> MemorySpec:
        """Describe this layer."""
        linear, bias, *_ = self.weights()
        parts = zip(linear.chunk(2), bias.chunk(2), self.projects(), strict=True)
        f, g = (ProjectionSpec(*(array(value) for value in part)) for part in parts)
        of_f, of_g = (array(taps)[:, 0, :, 0] for taps in self.taps())
        return MemorySpec(f, g, of_f, of_g, self.ahead)


class ComplexFsmn(Fsmn):
    """Two memory blocks that form a complex one: (f + ig)(x + iy) = f(x) - g(y) + i(f(y) + g(x))."""

    im: Memory

    def __init__(self, features: int, hidden: int, order: int, ahead: int = 0) -> None:
        re, im = (Memory(features, hidden, order + ahead) for _ in range(2))
        super().__init__(re, im, ahead)

    def combined(self) -> tuple[Tensor, ...]:
        """Return linear [2 H, C] and its bias, both projections [C, H], and the memory [4 C, 1, order, 1]."""
        memory = torch.cat([self.re.memory.weight, self.im.memory.weight]).repeat(2, 1, 1, 1)
        return *super().combined(), self.re.project.weight, self.im.project.weight, memory

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., 2 C] -> f and g, each of the real and of the imaginary part, [..., 2 C]."""
        linear, bias, project_re, project_im, _ = self.weights()
        # rows of one matrix, so that one large product does it; a transposed view would become many small ones
        rows = x.reshape(-1, self.features)
        re, im = F.linear(rows, linear, bias).relu_().chunk(2, dim=1)
        return F.linear(re, project_re).view(x.shape), F.linear(im, project_im).view(x.shape)

    def projects(self) -> tuple[Tensor, Tensor]:
        """Return the projections of f and g, [C, H] each."""
        _, _, of_f, of_g, _ = self.weights()
        return of_f, of_g

    def taps(self) -> tuple[Tensor, Tensor]:
        """Return the taps of f and g, [C, 1, order, 1] each, with the blocks' own shortcuts."""
        of_f, of_g, _, _ = self.memory().chunk(4)
        return of_f, of_g

    def memory(self) -> Tensor:
        """Return the memory weight [4 C, 1, order, 1] of (f(x), g(x), f(y), g(y)), the present in its last tap."""
        return with_present(self.weights()[4], self.ahead)

    @staticmethod
    def combine(x: Tensor, f: tuple[Tensor, Tensor], g: tuple[Tensor, Tensor], dim: int) -> Tensor:
        """Add f + ig, each of the real and the imaginary part, and the blocks' shortcuts; channels on `dim`."""
        re, im = x.chunk(2, dim=dim)
        return torch.cat([(re - im).add_(f[0]).sub_(g[1]), (re + im).add_(f[1]).add_(g[0])], dim=dim)


class FrequencyFsmn(ComplexFsmn):
    """Memory along frequency, from low to high: the same in every frame."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2C, F, T] -> [B, 2C, F, T]."""
        return self.remembered(x) if x.requires_grad else in_stretches(self.remembered, x)

    def remembered(self, x: Tensor) -> Tensor:
        """[B, 2C, F, T] -> [B, 2C, F, T], all frames at once."""
        f, g = self.projections(x.permute(0, 2, 3, 1))
        of_f, of_g = self.memory()[: 2 * self.features].chunk(2)
        return self.combine(x, self.remember(f, of_f), self.remember(g, of_g), dim=1)

    def remember(self, part: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """[B, F, T, 2 C] with memory [C, 1, order, 1] -> real and imaginary part, [B, C, F, T] each."""
        if fits(part):
            re, im = along(part, memory.repeat(2, 1, 1, 1)).permute(0, 3, 1, 2).chunk(2, dim=1)
            return re, im
        longer = F.pad(part.permute(0, 3, 1, 2), (0, 0, self.order - 1, 0))
        re, im = F.conv2d(longer, memory.repeat(2, 1, 1, 1), groups=2 * self.features).chunk(2, dim=1)
        return re, im


class TimeFsmn(ComplexFsmn):
    """Memory along time over all channels and bins of a frame."""

    def forward(self, x: Tensor, past: Tensor | None = None, late: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2C, F, T], past [B, 4 C F, order - 1], x `ahead` frames late, if any -> [B, 2C, F, T], new past."""
        # features last throughout: then the memory is a depthwise convolution of the layout that runs fastest
        flat = x.flatten(1, 2).transpose(1, 2)
        (f_re, f_im), (g_re, g_im) = (part.chunk(2, dim=2) for part in self.projections(flat))
        p = torch.cat([f_re, g_re, f_im, g_im], dim=2)
        if fits(x, past):
            p, past = along(p.unsqueeze(2), self.memory()).squeeze(2), last(p.transpose(1, 2), self.order - 1)
        else:
            longer, past = with_past(p.transpose(1, 2), past, self.order - 1)
            p = F.conv2d(longer.unsqueeze(3), self.memory(), groups=p.shape[2]).squeeze(3).transpose(1, 2)
        f_re, g_re, f_im, g_im = p.chunk(4, dim=2)
        flat = flat if late is None else late.flatten(1, 2).transpose(1, 2)
        out = self.combine(flat, (f_re, f_im), (g_re, g_im), dim=2)
        return out.transpose(1, 2).unflatten(1, (-1, x.shape[2])), past


class BinFsmn(Fsmn):
    """Memory along time in each bin by itself: the same in all bins, and with the same taps for f and g.

    An untrained one changes nothing, so that it can be put into a trained network.
    """

    def __init__(self, features: int, hidden: int, order: int, ahead: int = 0) -> None:
        super().__init__(Memory(features, hidden, order + ahead), Projection(features, hidden), ahead)
        for part in (self.re, self.im):
            nn.init.zeros_(part.project.weight)

    def combined(self) -> tuple[Tensor, ...]:
        """Return linear [2 H, C] and its bias, the projection [2 C, 4 H], and the taps [2 C, 1, order, 1]."""
        f, g = self.re.project.weight, self.im.project.weight
        none = torch.zeros_like(f)
        # hidden of f(x), g(x), f(y), g(y) -> real part, imaginary part
        project = torch.cat([torch.cat([f, none, none, -g], dim=1), torch.cat([none, g, f, none], dim=1)])
        return *super().combined(), project, with_present(self.re.memory.weight, self.ahead).repeat(2, 1, 1, 1)

    def projects(self) -> tuple[Tensor, Tensor]:
        """Return the projections of f and g, [C, H] each, from the one of both."""
        project = self.weights()[2]
        hidden = project.shape[1] // 4
        return project[: self.features, :hidden], project[self.features :, hidden : 2 * hidden]

    def taps(self) -> tuple[Tensor, Tensor]:
        """Return the taps of f and g, [C, 1, order, 1], which are the same."""
        of_f, of_g = self.weights()[3].chunk(2)
        return of_f, of_g

    def forward(self, x: Tensor, past: Tensor | None = None, late: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 2C, F, T], past [B, 2C, F, order - 1], x `ahead` frames late, if any -> [B, 2C, F, T], new past."""
        linear, bias, project, taps = self.weights()
        rows = x.permute(0, 2, 3, 1)
        hidden = F.linear(rows.reshape(-1, self.features), linear, bias).relu_()
        p = F.linear(hidden.view(-1, project.shape[1]), project).view(rows.shape)
        if fits(x, past):
            shortcut, ahead = (rows, self.ahead) if late is None else (late.permute(0, 2, 3, 1), 0)
            y = along(p.flatten(0, 1).unsqueeze(2), taps, shortcut.flatten(0, 1).unsqueeze(2), ahead)
            y = y.squeeze(2).unflatten(0, rows.shape[:2])
            return y.permute(0, 3, 1, 2), last(p.permute(0, 3, 1, 2), self.order - 1)
        longer, past = with_past(p.permute(0, 3, 1, 2), past, self.order - 1)
        # bins beside the batch and time as the height: thirteen times as fast as a kernel along the width
        tall = longer.permute(0, 2, 3, 1).flatten(0, 1).permute(0, 2, 1).unsqueeze(3)
        p = F.conv2d(tall, taps, groups=len(taps)).squeeze(3).permute(0, 2, 1)
        return (x if late is None else late) + p.unflatten(0, (-1, x.shape[2])).permute(0, 3, 1, 2), past
