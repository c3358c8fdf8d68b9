"""Muon: momentum whose matrices are made orthogonal before they are applied, and Adam for everything else.

A gradient matrix is dominated by few directions; with all its singular values brought near one, a step learns from all
of them. Small networks on few processors gain the most, as there each second of audio must teach as much as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of a fifth-order polynomial that pushes singular values between 0 and 1 towards 1 within a few rounds."""


def orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """[M, N] -> [M, N] with the same singular vectors and singular values near one."""
    a, b, c = COEFFICIENTS
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(rounds):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


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
        for group in self.param_groups:
            update = self.update_matrix if group["matrix"] else self.update_other
            for weight in group["params"]:
                if weight.grad is not None:
                    update(weight, weight.grad, group)
        return loss

    def update_matrix(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Move a matrix (a kernel, flattened) by its orthogonal momentum, scaled to elements of about 0.2."""
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"])
        direction = orthogonal(ahead.reshape(len(ahead), -1))
        rows, columns = direction.shape
        scale = 0.2 * max(rows, columns) ** 0.5 * max(1.0, rows / columns) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(direction.reshape(weight.shape), alpha=-group["lr"] * scale)

    def update_other(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Move a bias, scale or depthwise kernel as Adam does."""
        state = self.state[weight]
        if not state:
            state.update(step=torch.zeros(()), mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        first, second = group["betas"]
        state["step"] += 1
        count = int(state["step"])
        mean = state["mean"].lerp_(gradient, 1 - first)
        square = state["square"].lerp_(gradient.square(), 1 - second)
        size = (square / (1 - second**count)).sqrt_().add_(1e-8)
        rate = group["lr"] * (self.taps if is_tap(weight) else 1.0)
        weight.addcdiv_(mean, size, value=-rate / (1 - first**count))
