"""The benchmark: what it counts is what can be counted by hand, and what it says of times is what the clocks said."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from frcrn import FRCRN, FRCRNConfig
from frcrn.cli import main
from frcrn.evaluation.speed import benchmark, candidates, operations, tables
from frcrn.evaluation.speed.candidates import Facts, Subject
from frcrn.export.onnx.folder import ABOUT, export
from frcrn.machine import peak_apart
from frcrn.models import checkpoint
from tests.marks import slow
from tests.networks import tiny
from tests.test_compare import description, graph, node


@pytest.mark.parametrize(
    ("layer", "shape", "count"),
    [
        (nn.Linear(30, 7), (5, 30), 5 * 30 * 7),
        (nn.Conv2d(4, 6, (3, 2)), (2, 4, 10, 9), 2 * 6 * 8 * 8 * 4 * 3 * 2),
        (nn.Conv1d(8, 8, 5, groups=8), (1, 8, 20), 8 * 16 * 5),
        (nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1)), (1, 4, 10, 9), 4 * 10 * 9 * 6 * 3 * 2),
        (nn.ReLU(), (3, 3), 0),
    ],
)
def test_macs_of_a_layer(layer: nn.Module, shape: tuple[int, ...], count: int) -> None:
    assert operations.macs(lambda: layer(torch.zeros(shape))) == count


def test_macs_of_the_released_network() -> None:
    with torch.device("meta"):
        found = candidates.operations(FRCRN(FRCRNConfig()).eval())
    assert found / 1e9 == pytest.approx(37.7, rel=0.05)


def test_macs_of_a_stream_are_those_of_the_whole_wave() -> None:
    model = tiny(causal=True, stages=1)  # of several, a whole wave is made for each
    by_hops = candidates.operations(model)
    long, short = torch.zeros(1, 2 * model.sample_rate), torch.zeros(1, model.sample_rate)
    whole = operations.macs(lambda: model(long)) - operations.macs(lambda: model(short))
    assert by_hops == pytest.approx(whole, rel=0.02)


NODES = {
    "Conv": ([1, 4, 10], [6, 4, 3], [1, 6, 8], 6 * 8 * 4 * 3),
    "ConvTranspose": ([1, 4, 10], [4, 6, 3], [1, 6, 12], 4 * 10 * 6 * 3),
    "MatMul": ([5, 30], [30, 7], [5, 7], 5 * 30 * 7),
    "Gemm": ([5, 30], [30, 7], [5, 7], 5 * 30 * 7),
    "LSTM": ([2, 1, 9], [1, 20, 9], None, 2 * 20 * (9 + 5)),
    "GRU": ([2, 1, 9], [1, 15, 9], None, 2 * 15 * (9 + 5)),
}


@pytest.mark.parametrize("kind", NODES)
def test_macs_of_a_graph(kind: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    x, weight, out, count = NODES[kind]
    more: dict[str, list[int]] = {}
    if out is None:
        hidden = weight[1] // (4 if kind == "LSTM" else 3)
        more, out = {"r": [1, weight[1], hidden]}, [x[0], 1, 1, hidden]
    options = {"hidden_size": more["r"][2]} if more else {}
    graph(tmp_path / "made.onnx", {"x": x}, [node(kind, ["x", "w", *more], ["y"], **options)], {"y": out})
    model = onnx.load(tmp_path / "made.onnx")
    for name, shape in {"w": weight, **more}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name))
    onnx.save(model, tmp_path / "made.onnx")
    weights = math.prod(weight) + sum(map(math.prod, more.values()))
    assert operations.of_graph(tmp_path / "made.onnx") == (weights, count)


def test_what_cannot_be_counted_is_not_guessed(tmp_path: Path) -> None:
    graph(tmp_path / "made.onnx", {"x": [5, 30]}, [node("MatMul", ["x", "missing"], ["y"])], {"y": [5, 7]})
    assert operations.of_graph(tmp_path / "made.onnx") == (0, None)


def made(label: str, run: Callable[[np.ndarray], object], **changes: object) -> Subject:
    facts = {"label": label, "parameters": 1, "gmacs": None, "sample_rate": 16000, "hop": 160, "latency": 320}
    return Subject(label, Facts(**facts | changes), "torch", 1, run)  # type: ignore[arg-type]


def test_times_are_summed_up_as_they_are() -> None:
    subject = made("a", lambda hop: None)
    subject.clock, subject.core = [0.001] * 96 + [0.006, 0.006, 0.007, 0.020], [0.002] * 100
    found = benchmark.speed(subject, 1.0)
    assert found.frames == 100
    assert (found.median, found.worst) == (0.001, 0.020)
    assert found.p99 == pytest.approx(np.percentile(subject.clock, 99))
    assert found.under_half == 0.96  # 5 ms is half a frame
    assert found.real_time_factor == pytest.approx(sum(subject.clock) / 1.0)
    assert found.core_time_factor == pytest.approx(0.2)
    clip = made("b", lambda clip: None, latency=None)
    clip.clock, clip.core = [1.0, 2.0], [1.0, 1.0]
    found = benchmark.speed(clip, 3.0)
    assert (found.real_time_factor, found.core_time_factor, found.median, found.under_half) == (0.5, 2 / 6, None, None)


def test_all_take_turns_over_the_same_sound() -> None:
    heard: list[tuple[str, np.ndarray]] = []
    them = [
        made("a", lambda hop: heard.append(("a", hop))),
        made("b", lambda hop: heard.append(("b", hop))),
        made("clip", lambda clip: heard.append(("clip", clip)), latency=None),
    ]
    shares: list[float] = []
    benchmark.measure(them, 1.0, shares.append)
    order = [name for name, _ in heard]
    turns = [name for name, before in zip(order, ["", *order], strict=False) if name != before]
    assert turns == ["a", "b", "clip"] * benchmark.CLIPS + ["a", "b"] * (benchmark.TURNS - benchmark.CLIPS)
    assert [len(subject.clock) for subject in them] == [100, 100, benchmark.CLIPS]
    assert order.count("a") == 100 + benchmark.TURNS * benchmark.SETTLE
    waves = [np.concatenate([piece for name, piece in heard if name == which]) for which in "ab"]
    assert_array_equal(waves[0], waves[1])
    assert_array_equal(waves[0], np.concatenate(list(islice(benchmark.inputs(them[0], 1.0), order.count("a")))))
    assert {piece.shape for name, piece in heard if name == "clip"} == {(16000,)}
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(tiny(causal=True), path)
    return str(path)


@pytest.mark.parametrize("runtime", ["onnx", "native", slow("openvino")])
def test_each_runtime_streams_what_torch_streams(runtime: str, saved: str) -> None:
    if runtime not in candidates.installed() or (runtime != "native" and not find_spec("onnx")):
        pytest.skip(f"{runtime} is not there")
    truth, other = candidates.subjects_of(saved, ["torch", runtime], [1])
    assert (truth.runtime, other.runtime) == ("torch", runtime)
    with torch.inference_mode():
        for hop in islice(benchmark.inputs(truth, 1.0), 12):
            assert_allclose(other.run(hop), truth.run(hop), atol=1e-4)


def test_a_peer_hears_one_hop_after_the_other(tmp_path: Path) -> None:
    graph(tmp_path / "made.onnx", {"x": [1, 1, 64]}, [node("Identity", ["x"], ["y"])], {"y": [1, 1, 64]})
    (subject,) = candidates.subjects_of(f"mine={description(tmp_path / 'peer.json')}", ["torch"], [1])
    assert subject.facts == Facts("mine", 0, 0.0, 16000, 32, 64)
    assert subject.runtime == "onnx"
    hops = list(islice(benchmark.inputs(subject, 1.0), 20))
    frames = [subject.run(hop) for hop in hops]
    overlapped = np.concatenate([frame[32:] + after[:32] for frame, after in zip(frames, frames[1:], strict=False)])
    assert_allclose(overlapped, np.concatenate(hops[:-1]), atol=1e-6)


def test_an_export_in_the_working_folder_does_not_stand_in_for_a_bundled_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / ABOUT).write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert candidates.is_exported(Path("default"))
    assert candidates.subjects_of("default", ["torch"], [1])[0].facts.parameters > 0


def test_an_export_streams_what_torch_streams_and_any_graph_of_it_can_be_named(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model, saved = tiny(stages=1, window=512, hop=256, bands=256), tmp_path / "model.safetensors"
    checkpoint.save(model, saved)
    folder = export(model, tmp_path / "exported").parent
    truth, ours = (each for place in (saved, folder) for each in candidates.subjects_of(str(place), ["torch"], [1]))
    assert (ours.runtime, ours.facts.label, ours.facts.latency) == ("onnx", "exported", truth.facts.latency)
    assert 0 < ours.facts.gmacs < truth.facts.gmacs  # its transforms are products of smaller matrices
    with torch.inference_mode():
        for hop in islice(benchmark.inputs(truth, 1.0), 12):
            assert_allclose(ours.run(hop), truth.run(hop), atol=1e-4)
        (clip,) = candidates.subjects_of(f"mine={folder / 'whole.onnx'}", ["torch"], [1])
        wave = next(benchmark.inputs(clip, 0.5))
        assert_allclose(clip.run(wave), model(torch.from_numpy(wave)[None]).wave, atol=1e-4)
    assert (clip.live, clip.facts.label, clip.facts.gmacs) == (False, "mine", None)
    (folder / "step.onnx").write_bytes((folder / "whole.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"step\.onnx: not the graph that frcrn\.json beside it describes"):
        candidates.subjects_of(str(folder), ["torch"], [1])
    (folder / "other.onnx").touch()
    with pytest.raises(ValueError, match=r"other\.onnx: frcrn\.json beside it does not describe it"):
        candidates.subjects_of(str(folder / "other.onnx"), ["torch"], [1])
    (folder / "frcrn.json").write_text("{")
    with pytest.raises(ValueError, match=r"frcrn\.json: expected the description of an export"):
        candidates.subjects_of(str(folder), ["torch"], [1])


def test_the_command(saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "offline.safetensors"
    checkpoint.save(tiny(causal=False), other)
    options = ["--runtimes", "torch", "--threads", "1", "--seconds", "0.2", "--no-memory"]
    assert main(["bench", f"ours={saved}", "--vs", str(other), *options, "--json", "-o", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == found
    model = tiny(causal=True)
    assert [each["label"] for each in found["models"]] == ["ours", "offline"]
    assert found["models"][0]["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["models"][0]["latency"] == model.latency
    assert found["models"][1]["latency"] is None
    ours, offline = found["speeds"]
    assert 0 < ours["median"] <= ours["p99"] <= ours["worst"]
    assert ours["frames"] == 50
    assert offline["median"] is None
    assert offline["real_time_factor"] > 0
    text = (tmp_path / "out" / "bench.md").read_text()
    assert f"| ours | {found['models'][0]['parameters']:,} |" in text
    assert {line.count("|") for line in text.splitlines() if "torch | 1" in line} == {11}
    assert found["machine"]["processor"] in text


def test_markdown_says_what_was_measured() -> None:
    facts = Facts("a|b", 1_234_567, 0.5, 16000, 320, 640)
    speed = benchmark.Speed("a|b", "onnx", 2, 0.1, 0.2, 100, 0.001, 0.0025, 0.02, 0.985, 512.4, 88.6)
    made_on = {"processor": "P", "cores": 4, "seconds": 10.0, "load_before": None, "versions": {"torch": "2"}}
    text = tables.markdown(benchmark.Measurements(made_on, [facts], [speed]))
    assert r"| a\|b | 1,234,567 | 0.500 | 20.0 | 40.0 |" in text
    assert r"| a\|b | onnx | 2 | 0.100 | 0.200 | 1.00 | 2.50 | 20.00 | 98.5 % | 512 (+89) |" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runtimes", "tflite"], "runtime 'tflite'"),
        (["--threads", "0"], "threads [0]"),
        (["--threads", "1", "100000"], "threads [1, 100000]: accepted are whole numbers from 1 to 1024"),
        (["--seconds", "nan"], "nan seconds"),
        (["--vs", "missing"], "missing: no such model"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: list[str], message: str, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", saved, *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_two_models_of_one_name_are_refused() -> None:
    them = [made("a", print), made("a", print)]
    benchmark.refuse_same_names(them)
    them[1].place = "elsewhere"
    with pytest.raises(ValueError, match="elsewhere: two models go by this name"):
        benchmark.refuse_same_names(them)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "util", SimpleNamespace(find_spec=lambda name: name == "torch" or None))
    monkeypatch.setattr(candidates, "compiler", lambda: None)
    assert candidates.installed() == ["torch"]
    monkeypatch.setattr(candidates, "compiler", lambda: "cc")
    assert candidates.installed() == ["torch", "native"]


def test_native_stands_beside_the_others_where_a_network_has_a_program(saved: str, tmp_path: Path) -> None:
    if candidates.compiler() is None:
        pytest.skip("there is no C compiler")
    found = [(subject.runtime, subject.threads) for subject in candidates.subjects_of(saved, None, [1, 2])]
    assert found.count(("native", 1)) == 1 and ("native", 2) not in found and ("torch", 2) in found
    checkpoint.save(tiny(causal=False), tmp_path / "offline.safetensors")
    offline = candidates.subjects_of(str(tmp_path / "offline.safetensors"), None, [1, 2])
    assert [subject.threads for subject in offline if subject.runtime == "native"] == [1, 2]


def test_memory_is_that_of_the_work() -> None:
    peak, own = peak_apart(np.ones, 12_000_000)
    assert peak is not None and own is not None
    assert 85 < own < 200
    assert peak > own


@pytest.mark.slow
def test_memory_of_what_is_killed_is_not_known() -> None:
    assert peak_apart(os._exit, 9) == (None, None)


def test_recurrent_layers_are_counted() -> None:
    lstm, gru = torch.nn.LSTM(5, 7, batch_first=True), torch.nn.GRU(5, 7, batch_first=True)
    x = torch.zeros(1, 3, 5)
    assert operations.macs(lambda: lstm(x)) == 3 * 4 * 7 * (5 + 7)
    assert operations.macs(lambda: gru(x)) == 3 * 3 * 7 * (5 + 7)
