"""Muon against the same done weight by weight, one value after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from frcrn.training.muon import COEFFICIENTS, Muon, directions, is_tap
from tests.networks import noise

SHAPES = [(6, 10), (12, 5), (8, 3, 3, 2), (6, 10), (70, 66), (6, 1, 5, 1), (7,), (3, 3), (6,)]
RATE, DECAY, TAPS, FIRST, SECOND = 0.01, 0.1, 3.0, 0.9, 0.99


def some(seed: int, scale: float = 1.0) -> list[Tensor]:
    """Return noise in the shapes of weights."""
    return [scale * noise(*shape, seed=100 * seed + place, level=1.0) for place, shape in enumerate(SHAPES)]


def made() -> tuple[list[nn.Parameter], Muon]:
    """Return fresh weights and their optimizer."""
    weights = [nn.Parameter(value.clone()) for value in some(0)]
    return weights, Muon(weights, RATE, (FIRST, SECOND), DECAY, TAPS)


def give(weights: list[nn.Parameter], gradients: list[Tensor]) -> None:
    """Set gradients."""
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()


def plainly_orthogonal(x: Tensor) -> Tensor:
    """Do in double precision what makes one matrix orthogonal."""
    a, b, c = COEFFICIENTS
    x = x.double() / (x.double().norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x


def plainly(weights: list[Tensor], steps: list[list[Tensor]]) -> list[Tensor]:
    """Take steps as the papers have them."""
    moved = []
    for place, weight in enumerate(weights):
        w, momentum, square = weight.double(), 0.0, 0.0
        for count, gradients in enumerate(steps, start=1):
            g = gradients[place].double()
            if w.ndim > 1 and not is_tap(w) and min(len(w), w[0].numel()) >= 4:
                momentum = 0.95 * momentum + 0.05 * g
                found = plainly_orthogonal((0.05 * g + 0.95 * momentum).reshape(len(w), -1))
                rows, columns = found.shape
                scale = 0.2 * max(rows, columns) ** 0.5 * max(1.0, rows / columns) ** 0.5
                w = w * (1 - RATE * DECAY) - RATE * scale * found.reshape(w.shape)
            else:
                momentum = FIRST * momentum + (1 - FIRST) * g
                square = SECOND * square + (1 - SECOND) * g * g
                size = (square / (1 - SECOND**count)) ** 0.5 + 1e-8
                w = w - RATE * (TAPS if is_tap(w) else 1.0) * momentum / (1 - FIRST**count) / size
        moved.append(w.float())
    return moved


@pytest.mark.parametrize("on_the_device", [False, True])
def test_steps_are_those_of_one_weight_after_the_other(on_the_device: bool) -> None:
    steps = [some(seed) for seed in range(1, 5)]
    weights, optimizer = made()
    expected = plainly([weight.detach().clone() for weight in weights], steps)
    if on_the_device:
        optimizer.prepare()
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(RATE)
    for gradients in steps:
        give(weights, gradients)
        optimizer.update(torch.tensor(True)) if on_the_device else optimizer.step()
    assert_close([weight.data for weight in weights], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("taken", [0, 2])
def test_a_step_that_is_not_fine_changes_nothing(taken: int) -> None:
    weights, optimizer = made()
    kept = optimizer.prepare()
    for seed in range(taken):
        give(weights, some(seed + 1))
        optimizer.update(torch.tensor(True))
    before = [value.detach().clone() for value in (*weights, *kept)]
    give(weights, some(9, scale=float("nan")))
    optimizer.update(torch.tensor(False))
    assert_close([value.detach() for value in (*weights, *kept)], before, rtol=0, atol=0)


def test_matrices_together_are_made_orthogonal_as_alone() -> None:
    matrices = [value.reshape(len(value), -1) for value in some(1)[:5]]
    found = directions(matrices)
    for matrix, one in zip(matrices, found, strict=True):
        assert_close(one, directions([matrix])[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("on_the_device", [False, True])
def test_it_goes_on_from_what_earlier_versions_kept(on_the_device: bool) -> None:
    """These had a number of updates for each weight by itself."""
    steps = [some(seed) for seed in range(1, 5)]
    weights, optimizer = made()
    expected = plainly([weight.detach().clone() for weight in weights], steps)
    for gradients in steps[:2]:
        give(weights, gradients)
        optimizer.step()
    kept: dict[str, Any] = optimizer.state_dict()
    assert {frozenset(state) for state in kept["state"].values()} == {
        frozenset({"momentum"}),
        frozenset({"step", "mean", "square"}),
    }
    for state in kept["state"].values():
        state.update({"step": state["step"].clone()} if "step" in state else {})
    later = [nn.Parameter(weight.data.clone()) for weight in weights]
    other = Muon(later, RATE, (FIRST, SECOND), DECAY, TAPS)
    other.load_state_dict(kept)
    if on_the_device:
        other.prepare()
    for gradients in steps[2:]:
        give(later, gradients)
        other.update(torch.tensor(True) if on_the_device else None)
    assert_close([weight.data for weight in later], expected, rtol=1e-6, atol=1e-6)
