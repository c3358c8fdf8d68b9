"""Exports in whole numbers: small, near, scored, and refused where they lose too much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from frcrn import audio  # noqa: E402
from frcrn.audio.sample import sample  # noqa: E402
from frcrn.cli import main  # noqa: E402
from frcrn.data.pairs import Pair  # noqa: E402
from frcrn.evaluation.int8 import clips as clips_in  # noqa: E402
from frcrn.evaluation.int8 import inputs  # noqa: E402
from frcrn.evaluation.int8 import run as through  # noqa: E402
from frcrn.export.onnx.folder import written  # noqa: E402
from frcrn.export.onnx.int8 import quantized  # noqa: E402
from frcrn.export.onnx.sessions import open_session  # noqa: E402
from frcrn.models import DTLN, DTLNConfig  # noqa: E402
from tests.networks import noise  # noqa: E402
from tests.shapes import network  # noqa: E402
from tests.test_export_folder import described  # noqa: E402


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of clips of 2.5 s."""
    folder = tmp_path_factory.mktemp("clips")
    for kind in ("noisy", "clean"):
        (folder / kind).mkdir()
        for number, start in enumerate((0, 60000)):
            audio.write(folder / kind / f"{number}.wav", sample(kind).samples[:, start : start + 40000], 16000)
    return folder


def test_int8_is_smaller_and_what_it_costs_is_said_and_stored(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pesq")
    wanted = ["export", "-o", str(tmp_path), "--int8", "--calibrate", str(clips), "--max-loss", "0.3"]
    assert main(wanted) == 0
    graph, exact = (described(tmp_path)["graphs"][name] for name in ("step_int8", "step"))
    said = graph["quality"]
    assert said["clips_calibrated"] == said["clips_scored"] == 1
    assert f"PESQ {said['int8']['pesq']:.3f} (fp32 {said['fp32']['pesq']:.3f})" in capsys.readouterr().out
    assert said["lost"]["si_sdr"] == pytest.approx(said["fp32"]["si_sdr"] - said["int8"]["si_sdr"])
    assert (tmp_path / graph["file"]).stat().st_size < 0.6 * (tmp_path / exact["file"]).stat().st_size
    assert graph["states"] == exact["states"]


def test_int8_that_loses_too_much_is_refused_and_nothing_is_written(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pesq")
    monkeypatch.setattr("frcrn.evaluation.int8.quantized", lambda content, feeds: wrecked(content))
    assert main(["export", "-o", str(tmp_path / "out"), "--int8", "--calibrate", str(clips)]) == 2
    assert "step in int8 loses" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def wrecked(content: bytes) -> bytes:
    """Return a graph whose matrices are half of what they were."""
    import onnx

    model = onnx.load_from_string(content)
    for weight in model.graph.initializer:
        if len(weight.dims) == 2 and weight.data_type == onnx.TensorProto.FLOAT:
            weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) / 2, weight.name))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("causal", [True, False])
def test_int8_of_matrices_and_wide_convolutions_stays_near(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.export.onnx.int8.LARGE", 100)
    model, pair = network("wide", causal), Pair("noise", noise(8000).numpy(), noise(8000).numpy())
    graph = written(model)["step" if causal else "whole"]
    exact = open_session(graph.content)
    rough = quantized(graph.content, list(inputs(exact, model, graph, pair.noisy)))
    assert b"QuantizeLinear" in rough
    wanted, got = (through(session, model, graph, pair.noisy) for session in (exact, open_session(rough)))
    assert 0 < np.square(got - wanted).mean() < 0.01 * np.square(wanted).mean()


def test_int8_of_lstms_stays_near_and_is_smaller() -> None:
    torch.manual_seed(0)
    model = DTLN(DTLNConfig(units=64)).eval()
    pair = Pair("noise", noise(8000).numpy(), noise(8000).numpy())
    graph = written(model)["step"]
    exact = open_session(graph.content)
    rough = quantized(graph.content, [])
    assert b"DynamicQuantizeLSTM" in rough and len(rough) < 0.8 * len(graph.content)
    wanted, got = (through(session, model, graph, pair.noisy) for session in (exact, open_session(rough)))
    assert 0 < np.square(got - wanted).mean() < 1e-3 * np.square(wanted).mean()


def test_clips_without_a_clean_side_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no folder noisy"):
        clips_in(tmp_path, 16000)
    assert main(["export", "-o", str(tmp_path), "--calibrate", str(tmp_path)]) == 2
