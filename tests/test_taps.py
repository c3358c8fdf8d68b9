"""The kernels that training on CUDA uses for memories, run by Triton's interpreter, against torch's convolutions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from frcrn.models import FRCRN, FRCRNConfig
from frcrn.models.layers import fsmn, taps
from tests.networks import noise


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kernels run without a GPU; Triton looks when they are made."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="needs Triton, which comes with torch for CUDA")


def plain(x: Tensor, w: Tensor, s: Tensor | None, ahead: int) -> Tensor:
    """Do the same by a convolution."""
    r, _, g, c = x.shape
    rows = F.pad(x.permute(0, 2, 3, 1).flatten(0, 1), (w.shape[2] - 1, 0))
    y = F.conv1d(rows, w.squeeze(3), groups=c).unflatten(0, (r, g)).permute(0, 3, 1, 2)
    return y if s is None else y + F.pad(s, (0, 0, 0, 0, ahead, 0))[:, : x.shape[1]]


@pytest.mark.parametrize(
    ("shape", "order", "ahead", "short"),
    [
        ((3, 70, 1, 24), 26, 6, True),
        ((2, 20, 2, 16), 6, 0, False),
        ((2, 9, 2, 98), 5, 0, True),
        ((2, 3, 1, 5), 7, 6, True),
    ],
)
def test_values_and_gradients_are_those_of_a_convolution(
    interpreted: None, shape: tuple[int, ...], order: int, ahead: int, short: bool
) -> None:
    x, s, d = (noise(*shape, seed=seed, level=1.0) for seed in range(3))
    w = noise(shape[3], 1, order, 1, seed=3, level=1.0)
    given = [value.requires_grad_() for value in ([x, w, s] if short else [x, w])]
    found = []
    for way in (plain, taps.along):
        y = way(x, w, s if short else None, ahead)
        found.append([y, *torch.autograd.grad(y, given, d)])
    for one, other in zip(*found, strict=True):
        assert_close(other, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ahead", [0, 6])
def test_a_network_learns_the_same_with_them(interpreted: None, monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    torch.manual_seed(0)
    levels = [level._replace(time=3) for level in FRCRNConfig.tiny().levels]
    model = FRCRN(FRCRNConfig.tiny(levels=tuple(levels), stages=1, ahead=ahead)).train()
    for name, weight in model.named_parameters():
        if "project" in name:
            weight.data = noise(*weight.shape, seed=len(name), level=0.1)
    wave, ways = noise(1, 500, level=0.1), []
    for fits in (lambda *_: False, lambda x, past=None: past is None):
        monkeypatch.setattr(fsmn, "fits", fits)
        estimate = model(wave)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        ways.append([estimate.wave, *torch.autograd.grad(estimate.wave.square().mean(), weights)])
    for one, other in zip(*ways, strict=True):
        assert_close(other, one, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("frames", [2, 20])
def test_a_stream_can_go_on_from_them(interpreted: None, monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    layer: Any = fsmn.BinFsmn(4, 3, 5)
    x, more = noise(2, 8, 6, frames, level=1.0), noise(2, 8, 6, 4, seed=2, level=1.0)
    whole, _ = layer(torch.cat([x, more], dim=3))
    monkeypatch.setattr(fsmn, "fits", lambda x, past=None: past is None)
    first, past = layer(x)
    rest, _ = layer(more, past)
    assert_close(torch.cat([first, rest], dim=3), whole, rtol=1e-4, atol=1e-5)


def test_they_are_tried_before_they_are_used(interpreted: None) -> None:
    assert taps.works.__wrapped__(torch.device("cpu"))


def test_without_them_training_goes_on(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("Failed to find C compiler.\nMore.")

    monkeypatch.setattr(taps, "filtered", fails)
    monkeypatch.setattr(taps, "find_spec", lambda name: name)
    assert not taps.works.__wrapped__(torch.device("cpu"))
    assert caplog.messages == [
        "training goes on without the faster kernels, which Triton could not make: Failed to find C compiler."
    ]


def test_nothing_on_a_processor_takes_them() -> None:
    assert not taps.fits(torch.zeros(1, requires_grad=True))
