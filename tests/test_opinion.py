"""DNSMOS P.808 as a loss, beside the measure itself in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from frcrn.audio.sample import sample
from frcrn.evaluation.metrics import dnsmos
from frcrn.models.base import Estimate, Stage
from frcrn.training.losses.objective import build_losses
from frcrn.training.losses.opinion import listener

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
CPU = torch.device("cpu")


def network(path: Path, **changed: np.ndarray) -> Path:
    """Write a network of the measure's form with random weights."""
    random, values, nodes, last = np.random.default_rng(0), {}, [], "x"

    def weight(name: str, *shape: int) -> str:
        scale = np.sqrt(2 / np.prod(shape[1:] if len(shape) > 2 else shape[:1]))
        values[name] = changed.get(name, random.standard_normal(shape).astype("f4") * np.float32(scale))
        return name

    def node(kind: str, *weights: str, **how: object) -> None:
        nonlocal last
        nodes.append(onnx.helper.make_node(kind, [last, *weights], [last := f"{kind}{len(nodes)}"], **how))

    values["three"] = np.array([3])
    node("Unsqueeze", "three")
    node("Transpose", perm=[0, 3, 1, 2])
    for number, (width, before) in enumerate(((8, 1), (6, 8), (4, 6))):
        pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        node("Conv", weight(f"w{number}", width, before, 3, 3), weight(f"b{number}", width), **pads)
        node("Relu")
        if number < 2:
            node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    node("Transpose", perm=[0, 2, 3, 1])
    node("ReduceMax", axes=[1, 2], keepdims=0)
    node("MatMul", weight("m0", 4, 5))
    node("Add", weight("a0", 5))
    node("Relu")
    node("MatMul", weight("m1", 5, 1))
    node("Add", weight("a1", 1))
    tensor, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    ends = [tensor("x", kinds.FLOAT, ["N", 900, 120])], [tensor(last, kinds.FLOAT, ["N", 1])]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = onnx.helper.make_graph(nodes, "judge", *ends, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def loud_and_quiet() -> list[np.ndarray]:
    wave = np.tile(sample("noisy").samples[0], 3)[: dnsmos.SEGMENT].astype("f4")
    return [wave, 0.01 * wave[::-1].copy(), np.zeros_like(wave)]


def test_it_is_the_measure_itself(tmp_path: Path) -> None:
    judge = listener(str(network(tmp_path / "dnsmos_p808.onnx")), CPU)
    for wave in loud_and_quiet():
        found = judge.opinion(torch.from_numpy(wave[: -dnsmos.MEL_HOP])[None])
        assert float(found) == pytest.approx(dnsmos.overall_p808(wave, tmp_path), abs=1e-4)


def test_its_slope_raises_the_opinion_and_silence_has_none(tmp_path: Path) -> None:
    losses = build_losses({"dnsmos": {"model": str(network(tmp_path / "a.onnx"))}}, window=512, hop=256)
    clean = torch.from_numpy(np.stack(loud_and_quiet())[:, :16000])
    wave = clean.clone().requires_grad_()
    nothing = torch.zeros(3, 2, 1, 1)

    def loss(wave: torch.Tensor) -> torch.Tensor:
        return losses(Estimate(wave, (Stage(nothing, nothing, wave),)), clean, clean).total

    before = loss(wave)
    before.backward()
    assert wave.grad is not None and wave.grad.isfinite().all() and not wave.grad[2].any()
    step = 1e-3 * wave.grad / wave.grad.norm()
    assert loss(wave.detach() - step) < before < loss(wave.detach() + step)


def test_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    network(tmp_path / "other.onnx", m1=np.zeros((5, 3), "f4"), a1=np.zeros(3, "f4"))
    for name in ("text.onnx", "other.onnx"):
        with pytest.raises(ValueError, match=rf"loss.dnsmos.*{name}: not the DNSMOS P.808 network"):
            build_losses({"dnsmos": {"model": str(tmp_path / name)}}, window=512, hop=256)
    with pytest.raises(ValueError, match="loss.dnsmos.sample_rate: expected 16000"):
        build_losses({"dnsmos": {"model": "x"}}, window=512, hop=256, sample_rate=8000)
