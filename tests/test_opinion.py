"""DNSMOS P.808 as a loss, beside the measure itself in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from frcrn.audio.sample import sample
from frcrn.cli import main
from frcrn.evaluation.metrics import dnsmos
from frcrn.models.base import Estimate, Stage
from frcrn.training.losses.objective import build_losses
from frcrn.training.losses.opinion import listener
from tests.judge import judge_network
from tests.test_compare import pair_folder

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
CPU = torch.device("cpu")


def loud_and_quiet() -> list[np.ndarray]:
    wave = np.tile(sample("noisy").samples[0], 3)[: dnsmos.SEGMENT].astype("f4")
    return [wave, 0.01 * wave[::-1].copy(), np.zeros_like(wave)]


def test_it_is_the_measure_itself(tmp_path: Path) -> None:
    judge = listener(str(judge_network(tmp_path / "dnsmos_p808.onnx")), CPU)
    for wave in loud_and_quiet():
        found = judge.opinion(torch.from_numpy(wave[: -dnsmos.MEL_HOP])[None])
        assert float(found) == pytest.approx(dnsmos.overall_p808(wave, tmp_path), abs=1e-4)


def test_its_slope_raises_the_opinion_up_to_that_of_the_clean_wave_and_silence_has_none(tmp_path: Path) -> None:
    losses = build_losses({"dnsmos": {"model": str(judge_network(tmp_path / "a.onnx"))}}, window=512, hop=256)
    judge = listener(str(tmp_path / "a.onnx"), CPU)
    waves = torch.from_numpy(np.stack(loud_and_quiet())[:, :16000])
    low, high = judge.opinion(waves[:2]).argsort().tolist()
    worse, better = waves[[low, 2]], waves[[high, 2]]
    nothing = torch.zeros(2, 2, 1, 1)

    def loss(wave: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        return losses(Estimate(wave, (Stage(nothing, nothing, wave),)), clean, clean).total

    wave = worse.clone().requires_grad_()
    before = loss(wave, better)
    before.backward()
    assert wave.grad is not None and wave.grad.isfinite().all() and not wave.grad[1].any()
    step = 1e-3 * wave.grad / wave.grad.norm()
    assert loss(worse - step, better) < before < loss(worse + step, better)
    assert loss(better, worse) == 0


def test_what_is_no_such_measure_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = pair_folder(tmp_path / "data")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "sig_bak_ovr.onnx").write_bytes(bytes(range(200)))
    (tmp_path / "other").mkdir()
    judge_network(tmp_path / "other" / "sig_bak_ovr.onnx")
    for name in ("damaged", "other"):
        command = ["evaluate", "--model", "noisy", "--data", str(data), "-o", str(tmp_path / "out")]
        assert main([*command, "--metrics", "si_sdr", "--dnsmos", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert f"{name}/sig_bak_ovr.onnx: not the DNSMOS model" in said and said.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    judge_network(tmp_path / "other.onnx", m1=np.zeros((5, 3), "f4"), a1=np.zeros(3, "f4"))
    for name in ("text.onnx", "other.onnx"):
        with pytest.raises(ValueError, match=rf"loss.dnsmos.model: .*{name}: not the DNSMOS P.808 network"):
            build_losses({"dnsmos": {"model": str(tmp_path / name)}}, window=512, hop=256)
    with pytest.raises(ValueError, match="loss.dnsmos.model: none.onnx: no such file; microsoft"):
        build_losses({"dnsmos": {"model": "none.onnx"}}, window=512, hop=256)
    with pytest.raises(ValueError, match="loss.dnsmos.sample_rate: expected 16000"):
        build_losses({"dnsmos": {"model": "x"}}, window=512, hop=256, sample_rate=8000)
