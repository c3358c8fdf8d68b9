"""Muon: momentum whose matrices are made orthogonal before they are applied, and Adam for everything else.

A gradient matrix is dominated by few directions; with all its singular values brought near one, a step learns from all
of them. Small networks on few processors gain the most, as there each second of audio must teach as much as it can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.training.ema import blend

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of a fifth-order polynomial that pushes singular values between 0 and 1 towards 1 within a few rounds."""


def orthogonal(matrices: Tensor, rounds: int = 5) -> Tensor:
    """[..., M, N], M at most N -> the same with the same singular vectors and singular values near one."""
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    x = x.bfloat16() if x.is_cuda else x
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.to(matrices.dtype)


def is_tap(weight: Tensor) -> bool:
    """Say whether a weight is of a depthwise kernel, such as the taps of a memory."""
    return weight.ndim > 2 and weight.shape[1] == 1


def is_matrix(weight: Tensor) -> bool:
    """Say whether a weight maps several inputs to several outputs; depthwise kernels, biases and scales do not."""
    return weight.ndim > 1 and min(weight.shape[0], weight[0].numel()) >= 4 and weight.shape[1] > 1


class Muon(torch.optim.Optimizer):
    """Two groups: `matrix` weights by orthogonal momentum, the others by Adam, at one learning rate.

    That of memories' taps is `taps` times as large, for new ones that begin at zero.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        taps: float = 1.0,
    ) -> None:
        self.taps = taps
        known = list(weights)
        groups = [
            {"params": [w for w in known if is_matrix(w)], "matrix": True, "weight_decay": weight_decay},
            {"params": [w for w in known if not is_matrix(w)], "matrix": False, "weight_decay": 0.0},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "betas": betas, "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Apply one update."""
        loss = closure() if closure is not None else None
        self.update()
        return loss

    @torch.no_grad()
    def update(self, fine: Tensor | None = None) -> None:
        """Apply one update; with `fine`, a value on the device, only where that is true, and without waiting for it.

        The learning rate may then be on the device too, and `prepare` must have been called.
        """
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            rate = group["lr"] if fine is None else group["lr"] * fine
            if group["matrix"]:
                for some in batches_of(weights):
                    self.update_matrices(some, group, rate, fine)
            else:
                for some in self.by_count(weights, fine):
                    self.update_others(some, group, rate, fine)

    def prepare(self) -> list[Tensor]:
        """Make what is kept of each weight, its number of updates on the device, and return all of it."""
        for group in self.param_groups:
            weights = group["params"]
            for counted in self.by_count(weights, None) if not group["matrix"] else ():
                count = self.state[counted[0]]["step"].to(counted[0].device, copy=True)
                for weight in counted:
                    self.state[weight]["step"] = count
            for name in ("momentum",) if group["matrix"] else ("mean", "square"):
                self.moments(weights, name)
        kept = {id(value): value for state in self.state.values() for value in state.values()}
        return list(kept.values())

    def moments(self, weights: Sequence[Tensor], name: str) -> list[Tensor]:
        """Return something kept of each weight, zeros at first."""
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(weight)
        return [self.state[weight][name] for weight in weights]

    def by_count(self, weights: Sequence[Tensor], fine: Tensor | None) -> list[list[Tensor]]:
        """Return weights in groups with one number of updates; where nothing may be waited for, those that share it."""
        groups: dict[float, list[Tensor]] = defaultdict(list)
        for weight in weights:
            step = self.state[weight].setdefault("step", torch.zeros(()))
            groups[float(step) if fine is None else id(step)].append(weight)
        return list(groups.values())

    def update_matrices(
        self, weights: list[Tensor], group: Mapping[str, Any], rate: float | Tensor, fine: Tensor | None
    ) -> None:
        """Move matrices (kernels, flattened) by their orthogonal momenta, scaled to elements of about 0.2."""
        gradients, momenta = gradients_of(weights, fine), self.moments(weights, "momentum")
        blend(momenta, gradients, gated(1 - group["momentum"], fine))
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
        moves = directions([value.reshape(len(value), -1) for value in ahead])
        for weight, move in zip(weights, moves, strict=True):
            rows, columns = move.shape
            scale = 0.2 * max(rows, columns) ** 0.5 * max(1.0, rows / columns) ** 0.5
            if isinstance(rate, Tensor):
                weight.sub_(move.reshape(weight.shape) * scale * rate)
            else:
                weight.add_(move.reshape(weight.shape), alpha=-rate * scale)

    def update_others(
        self, weights: list[Tensor], group: Mapping[str, Any], rate: float | Tensor, fine: Tensor | None
    ) -> None:
        """Move biases, scales and depthwise kernels with one number of updates as Adam does."""
        first, second = group["betas"]
        gradients, means, squares = gradients_of(weights, fine), *(self.moments(weights, n) for n in ("mean", "square"))
        blend(means, gradients, gated(1 - first, fine))
        blend(squares, torch._foreach_mul(gradients, gradients), gated(1 - second, fine))
        count = self.count(weights, fine)
        sizes = torch._foreach_div(squares, 1 - second**count)
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, 1e-8)
        rate = rate / (1 - first**count)
        factors = [self.taps if is_tap(weight) else 1.0 for weight in weights]
        if isinstance(rate, Tensor):
            moves = torch._foreach_div(means, sizes)
            torch._foreach_mul_(moves, factors)
            torch._foreach_mul_(moves, rate)
            torch._foreach_sub_(weights, moves)
        else:
            torch._foreach_addcdiv_(weights, means, sizes, [-rate * factor for factor in factors])

    def count(self, weights: list[Tensor], fine: Tensor | None) -> int | Tensor:
        """Count an update of weights that all had as many, and return how many these are by now."""
        step: Tensor = self.state[weights[0]]["step"]
        if fine is not None:
            # the first update that is left out has moments of zero: any count above zero leaves zero
            return step.add_(fine).clamp(min=1)
        step = step.cpu() + 1
        for weight in weights:
            self.state[weight]["step"] = step
        return int(step)


def gradients_of(weights: Iterable[Tensor], fine: Tensor | None) -> list[Tensor]:
    """Return the gradients of weights that have some, as zeros where they are not fine."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    return gradients if fine is None else [torch.where(fine, gradient, 0.0) for gradient in gradients]


def gated(share: float, fine: Tensor | None) -> float | Tensor:
    """Return a share, or on the device that share or none."""
    return share if fine is None else share * fine


def batches_of(matrices: list[Tensor]) -> list[list[Tensor]]:
    """Return the matrices that go together: on a GPU all, on a processor, where that takes longer, none."""
    return [matrices] if matrices and matrices[0].is_cuda else [[matrix] for matrix in matrices]


def directions(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Make matrices [M, N] orthogonal, those of one size in one product."""
    if len(matrices) == 1:
        return [cut(orthogonal(padded(matrices[0])), matrices[0])]
    sizes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, matrix in enumerate(matrices):
        sizes[size_of(matrix)].append(place)
    found: dict[int, Tensor] = {}
    for size, places in sizes.items():
        stack = orthogonal(torch.stack([padded(matrices[place], size) for place in places]))
        found |= dict(zip(places, stack.unbind(), strict=True))
    return [cut(found[place], matrix) for place, matrix in enumerate(matrices)]


def size_of(matrix: Tensor) -> tuple[int, int]:
    """Return the size in which a matrix is made orthogonal, short side first; many small ones share one."""
    short, long = sorted(matrix.shape)
    return (64, -(-long // 128) * 128) if short <= 64 else (short, long)


def padded(matrix: Tensor, size: tuple[int, int] = (0, 0)) -> Tensor:
    """Lay a matrix on its long side and put zeros around it up to a size, which change nothing."""
    flat = matrix.T if len(matrix) > matrix.shape[1] else matrix
    short, long = max(0, size[0] - len(flat)), max(0, size[1] - flat.shape[1])
    return F.pad(flat, (0, long, 0, short)) if short or long else flat


def cut(flat: Tensor, matrix: Tensor) -> Tensor:
    """Undo `padded`: return the values in the shape of a matrix."""
    short, long = sorted(matrix.shape)
    flat = flat[:short, :long]
    return flat.T if len(matrix) > matrix.shape[1] else flat
