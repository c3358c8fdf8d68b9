"""Wired once: a network says in which order its known layers come, and it trains, streams, and runs in ONNX and C."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from frcrn import config
from frcrn.export.native import library
from frcrn.export.native.network import write_program
from frcrn.export.native.operations import Copy
from frcrn.export.native.program import Program
from frcrn.export.runtime import with_runtime
from frcrn.models import MODELS, Enhancer, MaskEnhancer
from frcrn.models.base import register
from frcrn.models.checkpoint import load, save
from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.complex import ComplexConv2d, ComplexConvTranspose2d
from frcrn.models.layers.features import Features
from frcrn.models.layers.fsmn import BinFsmn, FrequencyFsmn, TimeFsmn
from frcrn.models.layers.stft import STFT
from frcrn.models.layers.unet import Block
from frcrn.models.layers.wiring import Backend, Eager, Listing, X
from tests.networks import lively, noise
from tests.shapes import EVERY_SHAPE, network
from tests.training_runs import recipe, records, trainer

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
BOTH = pytest.mark.parametrize("causal", [True, False])


@dataclass(frozen=True)
class SmallConfig:
    channels: int = 9
    causal: bool = True

    @classmethod
    def from_dict(cls, values: Any) -> SmallConfig:
        return config.build(cls, values, "model")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Small(MaskEnhancer):
    """Down, four kinds of memory and attention, and up beside two earlier images: no U-Net."""

    sample_rate, mask_bound = 16000, 1.3

    def __init__(self, settings: SmallConfig) -> None:
        super().__init__(STFT(64, 32), Features(33, 32, 16000, 0.3, magnitude=True))
        self.config, self.causal, n = settings, settings.causal, settings.channels
        self.lookahead = 0 if self.causal else 2 * self.hop
        self.first = Block(ComplexConv2d(2, n, (4, 2), 4, causal=self.causal), n)
        self.mixed = Block(ComplexConv2d(2 * n, n, (3, 2), 1, 1, self.causal), n)
        self.bins, self.bands = BinFsmn(n, 5, 3), FrequencyFsmn(n, 4, 3)
        self.gate = ComplexSE(n, 2, 4 if self.causal else 0)
        self.time = TimeFsmn(8 * n, 6, 3)
        self.last = Block(ComplexConvTranspose2d(2 * n, 3, (4, 3), 4, 0, 32, self.causal), 3)
        self.head = ComplexConv2d(3, 1, (1, 1), causal=self.causal)

    def wire(self, at: Backend[X], x: X) -> Iterator[X]:
        x = first = at.layer("first", self.first, x)
        x = at.layer("bins", self.bins, x)
        x = at.add(x, at.layer("gate", self.gate, at.layer("bands", self.bands, x)))
        x = at.beside(x, first)
        x = at.layer("mixed", self.mixed, x)
        x = at.beside(at.layer("time", self.time, x), x)
        yield at.layer("head", self.head, at.layer("last", self.last, x))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register("small", SmallConfig)(Small)
    yield
    del MODELS["small"]


@cache
def small(causal: bool) -> Small:
    torch.manual_seed(0)
    return lively(Small(SmallConfig(causal=causal)), 2, 640)


def clean(model: Enhancer, wave: Tensor) -> Tensor:
    with torch.no_grad():
        return model(wave).wave


def test_a_new_network_trains_by_its_name_and_comes_back_from_a_checkpoint(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", {**recipe(max_steps=30, save_every=30), "model": {"name": "small"}})
    run.train()
    losses = [record["loss"] for record in records(tmp_path / "run")]
    assert sum(losses[-5:]) < sum(losses[:5])
    save(run.model.eval(), tmp_path / "small.safetensors")
    assert_close(clean(load(tmp_path / "small.safetensors"), noise(1, 700)), clean(run.model, noise(1, 700)))


@BOTH
def test_optimized_equals_plain(causal: bool) -> None:
    wave = noise(2, 1003)
    assert_close(clean(small(causal).optimize(), wave), clean(small(causal), wave), atol=1e-5, rtol=0)


def test_a_new_network_streams() -> None:
    wave = noise(1003)
    stream = small(True).stream()
    streamed = torch.cat([*(stream.push(piece) for piece in wave.split(37)), stream.flush()])
    assert_close(streamed[None], clean(small(True), wave[None]), atol=1e-5, rtol=0)


@BOTH
def test_a_new_network_runs_in_onnx(causal: bool) -> None:
    pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    wave = noise(2, 1003)
    for live in (False, True):
        assert_close(
            clean(with_runtime(small(causal), "onnx", 1, live=live), wave),
            clean(small(causal), wave),
            atol=1e-5,
            rtol=0,
        )


@needs_compiler
@BOTH
def test_a_new_network_runs_in_c(causal: bool) -> None:
    wave = noise(2, 1003)
    assert_close(clean(with_runtime(small(causal), "native", 2), wave), clean(small(causal), wave), atol=1e-5, rtol=0)


@needs_compiler
def test_a_new_network_is_exported_in_both_forms(tmp_path: Path) -> None:
    pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from frcrn.export.native.folder import export_program
    from frcrn.export.onnx.folder import export

    for about in (export_program(small(True), tmp_path / "c"), export(small(True), tmp_path / "onnx")):
        assert json.loads(about.read_text())["config"] == {"channels": 9, "causal": True}


class Unheard(nn.Module):
    """A layer that no writer has a rule for."""

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, x[..., :0]


def test_a_layer_without_a_rule_is_refused_by_its_name() -> None:
    model = small(True)
    bare = Small(model.config).eval()
    bare.time = Unheard()  # type: ignore[assignment]
    with pytest.raises(ValueError, match="layer time: a Unheard cannot be exported; what can be are Block, "):
        write_program(bare)
    assert clean(bare, noise(1, 300)).isfinite().all()


@EVERY_SHAPE
def test_every_layer_that_is_wired_describes_itself_alike_in_both_forms(shape: str) -> None:
    model = network(shape)
    fast = dict(model.optimize().wired())
    for name, layer in model.wired():
        plain, fixed = layer.spec(), fast[name].spec()  # type: ignore[operator]
        assert type(plain) is type(fixed)
        if isinstance(layer, Block | ComplexConv2d):
            scale = torch.from_numpy(plain.scale).repeat(len(plain.weight) // len(plain.scale))[:, None, None, None]
            assert_close(torch.from_numpy(fixed.weight), torch.from_numpy(plain.weight) * scale, atol=1e-6, rtol=1e-5)
            assert_close(fixed.bias, plain.bias, atol=1e-6, rtol=1e-5)
            assert fixed[3:] == plain[3:]


def test_the_last_stage_refines_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that no stage looks at is not made, with any backend."""
    model, beside = network("second stage refines, magnitude seen"), []

    class Counting(Listing):
        def beside(self, x: None, y: None) -> None:
            beside.append(None)

    skips = sum(len(unet.levels) - 1 for unet in model.unets)
    list(model.wire(Counting(), None))
    assert len(beside) == skips + len(model.unets) - 1
    written: list[Any] = []
    monkeypatch.setattr(Program, "emit", lambda self, operation: written.append(operation))
    monkeypatch.setattr(Program, "content", lambda self, *sizes: b"")
    write_program(model)
    first = next(n for n, each in enumerate(written) if type(each).__name__ == "Bound")
    last = max(n for n, each in enumerate(written) if type(each).__name__ == "Bound")
    channels = model.features.channels
    copied = [each for each in written if isinstance(each, Copy) and each.row_out == 2 * (channels + 1)]
    assert len(copied) == 4 and all(first < written.index(each) < last for each in copied)


def test_a_wiring_keeps_what_each_layer_remembers_by_its_name() -> None:
    model = small(True)
    at = Eager()
    list(model.wire(at, model.features(torch.zeros(1, 2, 33, 1))))
    assert list(at.new) == [name for name, layer in model.wired() if not isinstance(layer, FrequencyFsmn)]
