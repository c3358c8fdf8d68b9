"""Exports: every graph does what the network does, and the exported folder runs where neither torch nor we are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from frcrn.export.onnx.graph import Graph  # noqa: E402
from frcrn.export.onnx.sessions import open_session, streamed  # noqa: E402
from frcrn.export.onnx.traced import step_graph, whole_graph  # noqa: E402
from frcrn.export.runtime import with_runtime  # noqa: E402
from frcrn.models import Enhancer  # noqa: E402
from tests.fakes import CausalGain, Gain  # noqa: E402
from tests.networks import noise  # noqa: E402
from tests.shapes import EVERY_OFFLINE_SHAPE, EVERY_SHAPE, network, released  # noqa: E402

Array = NDArray[np.float32]


def whole(model: Enhancer, wave: Array) -> Array:
    with torch.no_grad():
        return model(torch.from_numpy(wave)).wave.numpy()


def stepped(model: Enhancer, wave: Array) -> Array:
    step = step_graph(model)
    return streamed(open_session(step.model), step.states, wave, model.lag, model.hop)


@EVERY_SHAPE
def test_the_graph_of_one_hop_streams_as_the_network_hears_the_whole(shape: str) -> None:
    model, wave = network(shape), noise(1, 3001).numpy()
    assert_allclose(stepped(model, wave[0]), whole(model, wave)[0], atol=1e-5)


@EVERY_SHAPE
def test_the_graph_of_a_wave_equals_the_network_at_any_length_and_batch(shape: str) -> None:
    compare_whole(network(shape))


@EVERY_OFFLINE_SHAPE
def test_the_graph_of_a_wave_equals_a_network_that_is_not_causal(shape: str) -> None:
    compare_whole(network(shape, causal=False))


def compare_whole(model: Enhancer) -> None:
    session = open_session(whole_graph(model))
    for batch, length in ((1, 1), (2, 127), (3, 128), (1, 129), (2, 2000)):
        wave = noise(batch, length).numpy()
        assert_allclose(session.run({"audio": wave})["enhanced"], whole(model, wave), atol=1e-5)


def test_a_network_of_the_released_kind_is_fed_at_its_level() -> None:
    model, wave = released(), noise(1, 7001, level=0.003).numpy()
    wave[:, :2000] = 0
    session = open_session(whole_graph(model, levelled=True))
    assert_allclose(session.run({"audio": wave})["enhanced"], model.enhance(wave), atol=1e-6)
    assert_allclose(session.run({"audio": 100 * wave})["enhanced"], 100 * model.enhance(wave), atol=1e-4)
    assert not session.run({"audio": np.zeros((1, 2000), np.float32)})["enhanced"].any()


def test_other_networks_are_followed_through_a_call() -> None:
    wave = noise(1, 3201).numpy()
    assert_allclose(stepped(CausalGain(0.5), wave[0]), 0.5 * wave[0], atol=1e-6)
    session = open_session(whole_graph(Gain(0.5)))
    assert_allclose(session.run({"audio": wave[:, :77]})["enhanced"], 0.5 * wave[:, :77], atol=1e-6)
    with pytest.raises(ValueError, match="only networks that mask a spectrum are exported"):
        whole_graph(Gain(level_dbfs=-25.0), levelled=True)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("live", [True, False])
def test_a_network_in_another_runtime_streams_and_enhances_as_before(runtime: str, live: bool) -> None:
    pytest.importorskip(runtime)
    model, wave = network(), noise(2, 3000).numpy()
    other = with_runtime(model, runtime, 1, live=live)
    assert_allclose(other.enhance(wave), model.enhance(wave), atol=1e-5)
    stream = other.stream(channels=2)
    parts = [stream.push(wave[:, :1000]), stream.push(wave[:, 1000:]), stream.flush()]
    assert_allclose(np.concatenate(parts, axis=1), whole(model, wave), atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_an_offline_network_in_another_runtime_enhances_as_before(runtime: str) -> None:
    pytest.importorskip(runtime)
    wave = noise(2, 7000).numpy()
    assert_allclose(with_runtime(released(), runtime, 1).enhance(wave), released().enhance(wave), atol=1e-5)


def test_a_runtime_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="choose auto, torch, onnx, openvino, native"):
        with_runtime(network(), "tensorrt")


def test_equal_constants_are_kept_once() -> None:
    graph = Graph()
    assert graph.constant(np.ones(3)) == graph.constant(np.ones(3)) != graph.constant(np.zeros(3))
