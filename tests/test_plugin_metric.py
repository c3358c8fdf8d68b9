"""The metric: what it says, and that it says the same in one piece, in several, and out of a pickle."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("modelscope")
pytest.importorskip("pesq")
pytest.importorskip("pystoi")

from frcrn.evaluation.metrics.scores import score
from frcrn.plugin.metric import FRCRNMetric
from tests.made_audio import noise, speech


def batch(first: int, count: int, seconds: float = 1.0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and inputs of a model for some clips."""
    clean = np.stack([speech(seconds, seed=number) for number in range(first, first + count)])
    wave = clean + np.stack([noise(seconds, seed=number) for number in range(first, first + count)])
    return {"wav_l2": torch.from_numpy(wave), "loss": torch.tensor(float(first))}, {"clean": torch.from_numpy(clean)}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the metric says of two batches."""
    metric = FRCRNMetric()
    metric.add(*batch(0, 2))
    metric.add(*batch(2, 1))
    return metric.evaluate()


def test_it_means_over_clips_what_the_scores_are(found: dict[str, Any]) -> None:
    waves = [batch(number, 1) for number in range(3)]
    scores = [score(inputs["clean"][0].numpy(), outputs["wav_l2"][0].numpy()) for outputs, inputs in waves]
    for theirs, ours in (("avg_sisnr", "si_snr"), ("pesq", "pesq"), ("stoi", "stoi")):
        assert found[theirs] == pytest.approx(np.mean([each[ours] for each in scores]), rel=1e-6), theirs
    assert found["avg_sisnr"] > 0
    # the loss of a batch counts for each of its clips, and no part of it twice
    assert found["avg_loss"] == found["total_loss"] == pytest.approx((0 + 0 + 2) / 3)
    assert (found["examples"], found["pesq_clips"], found["stoi_clips"], found["failed"]) == (3, 3, 3, [])


def test_parts_merge_to_the_whole_and_survive_pickling(found: dict[str, Any]) -> None:
    left, right = FRCRNMetric(), FRCRNMetric()
    left.add(*batch(0, 2))
    right.add(*batch(2, 1))
    left, right = (pickle.loads(pickle.dumps(part)) for part in (left, right))
    left.merge(right)
    merged = left.evaluate()
    assert merged.pop("failed") == found["failed"]
    assert merged == pytest.approx({name: value for name, value in found.items() if name != "failed"})


def test_a_clip_without_a_value_is_named_and_not_counted() -> None:
    metric = FRCRNMetric()
    outputs, inputs = batch(0, 2)
    inputs["clean"][1] = 0
    metric.add(outputs, inputs)
    found = metric.evaluate()
    assert (found["examples"], found["pesq_clips"]) == (2, 1)
    assert found["failed"] == ["example 1: the clean clip is silent"]
    assert np.isfinite(found["avg_sisnr"])


def test_nothing_gives_no_value_and_no_crash() -> None:
    found = FRCRNMetric().evaluate()
    assert (found["avg_sisnr"], found["pesq"], found["avg_loss"], found["examples"]) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("outputs", "inputs", "message"),
    [
        ({}, {}, "outputs: expected a mapping with wav_l2, found nothing"),
        ({"wav_l2": torch.zeros(1, 9)}, {"noisy": 1}, "inputs: expected a mapping with clean, found noisy"),
        (None, None, "outputs: expected a mapping with wav_l2, found NoneType"),
        ({"wav_l2": "x"}, {"clean": torch.zeros(1, 9)}, r"wav_l2: expected waves \[batch, time\], found str"),
        ({"wav_l2": torch.zeros(1, 2, 9)}, {"clean": torch.zeros(1, 9)}, r"wav_l2: .*found shape \[1, 2, 9\]"),
        ({"wav_l2": torch.zeros(1, 9) * 1j}, {"clean": torch.zeros(1, 9)}, "wav_l2: .*found complex numbers"),
        ({"wav_l2": torch.zeros(2, 9)}, {"clean": torch.zeros(1, 9)}, "expected as many waves, found 2 and 1"),
    ],
)
def test_what_is_no_batch_is_refused_in_one_sentence(outputs: Any, inputs: Any, message: str) -> None:
    metric = FRCRNMetric()
    with pytest.raises(ValueError, match=message):
        metric.add(outputs, inputs)
    assert not metric.waiting


def test_it_takes_waves_of_other_kinds_and_lengths() -> None:
    outputs, inputs = batch(0, 1)
    metric = FRCRNMetric()
    metric.add({"wav_l2": outputs["wav_l2"]}, inputs)
    wave = outputs["wav_l2"][0].double().requires_grad_()
    metric.add({"wav_l2": wave}, {"clean": np.append(inputs["clean"][0].numpy(), 0.5)})
    metric.finish()
    usual, odd = metric.done
    assert odd.values == pytest.approx(usual.values)
    assert metric.evaluate()["avg_loss"] is None


@pytest.mark.parametrize("length", [8000, 16000 - 320, 16000 + 320, 1])
def test_a_clip_that_is_cut_short_has_no_scores(length: int) -> None:
    clean = torch.from_numpy(speech(2.0, seed=0))[None]
    metric = FRCRNMetric()
    metric.add({"wav_l2": clean[:, :length]}, {"clean": clean[:, :16000]})
    found = metric.evaluate()
    assert (found["avg_sisnr"], found["pesq"], found["stoi"], found["examples"]) == (None, None, None, 1)
    assert found["failed"] == [f"example 0: the enhanced clip has {length} samples, the clean one 16000"]


def test_what_a_network_of_whole_frames_leaves_out_is_left_out_of_the_clean_clip() -> None:
    outputs, inputs = batch(0, 1, seconds=1.75)
    metric = FRCRNMetric()
    metric.add({"wav_l2": outputs["wav_l2"][:, :27840]}, inputs)
    found = metric.evaluate()
    wanted = score(inputs["clean"][0, :27840].numpy(), outputs["wav_l2"][0, :27840].numpy())
    assert found["avg_sisnr"] == pytest.approx(wanted["si_snr"]) and found["failed"] == []


def test_without_the_packages_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("frcrn.plugin.metric.find_spec", lambda name: None)
    metric = FRCRNMetric()
    metric.add(*batch(0, 1))
    found = metric.evaluate()
    assert found["pesq"] is None and found["stoi"] is None and found["avg_sisnr"] > 0
    assert 'pesq and stoi left out: it needs pip install "frcrn[eval]"' in caplog.text
