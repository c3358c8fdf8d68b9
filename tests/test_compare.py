"""Comparing: paired differences, the gate, described ONNX peers, and the figures of known peers on real recordings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from frcrn import config
from frcrn.cli import main
from frcrn.evaluation.compare import compare, worse_than
from frcrn.evaluation.evaluate import Options, open_pairs
from frcrn.evaluation.metrics.scores import Scores
from frcrn.evaluation.peers import Description, Peer, PeerGraph, describe, taper
from frcrn.evaluation.statistics import Report, Row, summarise
from frcrn.evaluation.systems import EnhancedFolder, Network, Unprocessed, open_system
from tests.fakes import Gain
from tests.made_audio import RATE, noise, save, speech

CLEAN = [speech(0.6, seed) for seed in range(5)]
PAIRS = [(f"clip {seed}", wave + noise(0.6, seed + 50), wave) for seed, wave in enumerate(CLEAN)]
QUICK = Options(names=("si_sdr", "lsd"), workers=1)
PEERS = Path(__file__).resolve().parents[1] / "configs" / "peers"
SHARED = Path(os.environ.get("FRCRN_SHARED", "../shared"))


class Cheating(Unprocessed):
    """Knows the clean clips, and takes a share of the noise away."""

    def __init__(self, label: str, share: float) -> None:
        self.label, self.share = label, share

    def enhance(self, name: str, noisy: np.ndarray, rate: int) -> np.ndarray:
        clean = {clip: clean for clip, _, clean in PAIRS}[name] if name.startswith("clip") else noisy
        return noisy + np.float32(self.share) * (clean - noisy)

    def fingerprint(self) -> str:
        return f"{self.label} {self.share}"


def test_differences_are_paired_and_tables_say_who_is_better(tmp_path: Path) -> None:
    found = compare([Unprocessed(), Cheating("half", 0.5), Cheating("tenth", 0.9)], PAIRS, tmp_path, QUICK)
    half, tenth = (found.differences[name]["si_sdr"] for name in ("half", "tenth"))
    assert half["mean"] == pytest.approx(6.02, abs=0.3) and half["low"] <= half["mean"] <= half["high"]
    assert tenth["mean"] == pytest.approx(20, abs=1) and tenth["count"] == 5
    assert half["high"] - half["low"] < 0.5 < np.ptp([row.scores["si_sdr"] for row in found.reports[0].rows])
    lines = found.markdown.splitlines()
    assert lines[0] == "| | SI-SDR dB | LSD dB | speech dB | speech lost | over-suppressed | failed | RTF |"
    assert [line.count("**") for line in lines[2:5]] == [0, 0, 4]  # the best of both columns, in bold
    assert all(line.count("|") == lines[0].count("|") for line in lines[:5])
    assert found.worse == ()
    assert (tmp_path / "comparison.md").read_text() == found.markdown
    assert json.loads((tmp_path / "comparison.json").read_text())["differences"] == found.differences
    assert {path.name for path in tmp_path.iterdir()} == {
        *("noisy", "half", "tenth", "report.html", "comparison.md", "comparison.json")
    }


def report(label: str, values: list[float | None]) -> Report:
    rows = [
        Row(str(place), 1.0, "", 0.0, 0.0, Scores({}, {"stoi": "no"}) if value is None else Scores({"stoi": value}))
        for place, value in enumerate(values)
    ]
    return Report(label, tuple(rows), summarise(rows, ("stoi",)))


BEFORE = [0.70, 0.80, 0.90, 0.60, 0.75]


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        (BEFORE, 0),
        ([value + 0.01 for value in BEFORE], 0),
        ([0.60, 0.86, 0.89, 0.62, 0.74], 0),  # worse in the mean, by chance
        ([0.69, 0.78, 0.89, 0.59, 0.73], 1),
        ([0.80, 0.90, None, 0.70, 0.85], 1),  # better, where it has a value
        ([None] * 5, 2),
    ],
    ids=["equal", "better", "by chance", "worse", "one more failed", "all failed"],
)
def test_worse_is_beyond_the_interval_or_more_failures(after: list[float | None], lines: int) -> None:
    assert len(worse_than(report("old", BEFORE), report("new", after))) == lines


def harm_report(label: str, level: float, lost: float, **summary: object) -> Report:
    spread = np.linspace(-0.1, 0.1, 10)
    rows = [
        Row(str(place), 1.0, "", 0.0, 0.0, Scores({"speech_level": level + off, "speech_lost": lost}))
        for place, off in enumerate(spread)
    ]
    return Report(label, tuple(rows), summarise(rows, ("speech_level", "speech_lost")) | summary)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ((-1.0, 0.05), (-1.0, 0.05), []),
        ((-1.0, 0.05), (1.0, 0.06), []),  # as far from the clean level, on the other side
        ((-5.0, 0.05), (-1.0, 0.05), []),  # nearer
        ((-1.0, 0.05), (-2.0, 0.05), ["new: speech dB from the clean clip's against old +1.00 (+1.00 to +1.00)"]),
        ((-1.0, 0.05), (-1.0, 0.15), ["new: speech lost against old +0.100 (+0.100 to +0.100)"]),
        ((-5.5, 0.05), (-5.99, 0.06), ["new: 5 clips over-suppressed, 0 by old"]),
    ],
    ids=["equal", "other side", "nearer", "too quiet", "speech lost", "over-suppressed"],
)
def test_more_harm_to_speech_is_worse(
    before: tuple[float, float], after: tuple[float, float], lines: list[str]
) -> None:
    old, new = harm_report("old", *before), harm_report("new", *after)
    assert worse_than(old, new) == lines
    assert worse_than(harm_report("old", *before, processed=False), new) == []


def pair_folder(root: Path, gain: float = 1.0) -> Path:
    for number in range(4):
        clean = speech(1.2, number)
        save(root / "clean" / f"{number}.wav", clean)
        save(root / "noisy" / f"{number}.wav", clean + gain * noise(1.2, number))
    return root


def test_the_gate_exits_with_one_where_the_new_one_is_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pair_folder(tmp_path / "data")
    better = tmp_path / "better"
    for number in range(4):
        save(better / f"{number}.wav", speech(1.2, number) + 0.1 * noise(1.2, number))
    common = ["--data", str(data), "--workers", "1", "--probes", "0", "--gate"]
    assert main(["compare", "noisy", f"new={better}", "-o", str(tmp_path / "up"), *common]) == 0
    assert main(["compare", f"old={better}", "noisy", "-o", str(tmp_path / "down"), *common]) == 1
    output = capsys.readouterr()
    assert "worse: noisy: SI-SDR dB against old −" in output.err
    assert "| minus old |" in output.out


def test_the_gate_does_not_pass_what_one_clip_cannot_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, wave = tmp_path / "data", speech(1.2, 0)
    save(data / "clean" / "a.wav", wave)
    save(data / "noisy" / "a.wav", wave + 0.1 * noise(1.2, 0))
    save(tmp_path / "worse" / "a.wav", wave + noise(1.2, 0))
    systems = ["noisy", str(tmp_path / "worse")]
    options = ["--data", str(data), "-o", str(tmp_path / "out"), "--workers", "1", "--probes", "0", "--gate"]
    assert main(["compare", *systems, *options]) == 1
    assert "SI-SDR dB has too few clips to compare with noisy on, 1 where 2 are the least" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["noisy"], "expected at least two"),
        (["noisy", "noisy"], "two systems go by this name"),
        (["noisy", "nothing-there"], "nothing-there"),
        (["noisy", ""], "found an empty name"),
        (["noisy", "name="], "found an empty name"),
        (["noisy", "a=noisy", "--metrics", "pesq", "--gate"], "--metrics leaves out stoi, si_sdr"),
        (["noisy", "a=noisy", "--metrics", "pesk"], "unknown metric 'pesk'"),
        (["noisy", "a=noisy", "--metrics", ""], "unknown metric ''"),
        (["noisy", "a=noisy", "--workers", "0"], "--workers 0"),
        (["noisy", "a=noisy", "--transcripts", "x.csv"], "needs --wer"),
        (["noisy", "a=noisy", "--dnsmos", "."], "sig_bak_ovr.onnx"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = pair_folder(tmp_path / "data")
    monkeypatch.chdir(data)
    assert main(["compare", *arguments, "--data", str(data), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not (tmp_path / "out").exists()


def test_evaluate_prints_a_table_and_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pair_folder(tmp_path / "data")
    arguments = [
        "evaluate",
        "--model",
        "noisy",
        "--data",
        str(data / "noisy"),
        str(data / "clean"),
        "--metrics",
        "snr,lsd",
    ]
    assert main([*arguments, "--workers", "1"]) == 0
    assert capsys.readouterr().out.startswith(
        "| | SNR dB | LSD dB | speech dB | speech lost | over-suppressed | failed | RTF |"
    )
    assert main([*arguments, "--workers", "1", "--probes", "1", "-o", str(tmp_path / "out")]) == 0
    names = {"scores.csv", "summary.json", "report.html", "run.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def graph(path: Path, inputs: dict[str, list[int]], nodes: list[object], outputs: dict[str, list[int]]) -> None:
    """Write a small ONNX file."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    values = [
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in group.items()]
        for group in (inputs, outputs)
    ]
    made = helper.make_graph(nodes, "made", *values)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def node(kind: str, inputs: list[str], outputs: list[str], **options: object) -> object:
    return pytest.importorskip("onnx").helper.make_node(kind, inputs, outputs, **options)


def description(path: Path, **changes: object) -> Path:
    values = {
        "name": "made",
        "sample_rate": RATE,
        "window": 64,
        "hop": 32,
        "graphs": [{"file": "made.onnx", "inputs": {"x": "frame"}, "outputs": {"y": "frame"}}],
    }
    path.write_text(json.dumps(values | changes))
    return path


SHAPES = {
    "frame": ([1, 1, 64], "frame", [1, 1, 64]),
    "complex last": ([1, 33, 1, 2], "complex", [1, 33, 1, 2]),
    "complex first": ([1, 2, 33], "complex", [1, 2, 33]),
}


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("length", [1, 31, 32, 64, 500])
def test_an_identity_graph_gives_the_clip_back_in_time(case: str, length: int, tmp_path: Path) -> None:
    shape, feature, result = SHAPES[case]
    graph(tmp_path / "made.onnx", {"x": shape}, [node("Identity", ["x"], ["y"])], {"y": result})
    entry = {"file": "made.onnx", "inputs": {"x": feature}, "outputs": {"y": feature}}
    peer = Peer(description(tmp_path / "peer.json", graphs=[entry]))
    wave = noise(1.0, 1)[:length]
    np.testing.assert_allclose(peer.enhance("", wave, RATE), wave, atol=1e-6)


def test_masks_and_magnitudes_keep_the_noisy_phase(tmp_path: Path) -> None:
    for meaning, factor in (("mask", 0.5), ("magnitude", None)):
        half = node("Constant", [], ["half"], value_floats=[0.5])
        source = (
            [half, node("Expand", ["half", "shape"], ["y"])] if factor else [half, node("Mul", ["x", "half"], ["y"])]
        )
        shape = [node("Shape", ["x"], ["shape"])]
        graph(tmp_path / "made.onnx", {"x": [1, 1, 33]}, [*shape, *source], {"y": [1, 1, 33]})
        entry = {"file": "made.onnx", "inputs": {"x": "magnitude"}, "outputs": {"y": meaning}}
        peer = Peer(description(tmp_path / "peer.json", graphs=[entry]))
        wave = noise(0.02, 1)
        np.testing.assert_allclose(peer.enhance("", wave, RATE), 0.5 * wave, atol=1e-6)


def late(path: Path) -> dict[str, object]:
    """A graph that takes hops and gives each one step later, by its state."""
    nodes = [node("Identity", ["x"], ["next"]), node("Identity", ["before"], ["y"])]
    graph(path, {"x": [1, 32], "before": [1, 32]}, nodes, {"y": [1, 32], "next": [1, 32]})
    return {"file": path.name, "inputs": {"x": "hop"}, "outputs": {"y": "hop"}, "states": {"before": "next"}}


def test_states_carry_over_and_start_at_zero_for_each_clip(tmp_path: Path) -> None:
    entry = late(tmp_path / "made.onnx")
    wave = noise(0.05, 1)
    undone = Peer(description(tmp_path / "undone.json", graphs=[entry]))  # window - hop = 32 is the default delay
    for _ in range(2):
        np.testing.assert_array_equal(undone.enhance("", wave, RATE), wave)
    kept = Peer(description(tmp_path / "kept.json", graphs=[entry], delay=0))
    np.testing.assert_array_equal(kept.enhance("", wave, RATE), np.concatenate([np.zeros(32, np.float32), wave[:-32]]))


def test_no_clip_hears_of_the_one_before(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "sum"], ["y"]), node("Identity", ["y"], ["next"])]
    graph(tmp_path / "made.onnx", {"x": [1, 32], "sum": [1, 32]}, nodes, {"y": [1, 32], "next": [1, 32]})
    entry = {"file": "made.onnx", "inputs": {"x": "hop"}, "outputs": {"y": "hop"}, "states": {"sum": "next"}}
    peer = Peer(description(tmp_path / "peer.json", graphs=[entry], delay=0))
    wave = noise(0.02, 1)
    summed = np.cumsum(wave.reshape(-1, 32), axis=0).reshape(-1)
    for _ in range(2):
        np.testing.assert_allclose(peer.enhance("", wave, RATE), summed, atol=1e-5)


def test_two_graphs_work_one_after_the_other(tmp_path: Path) -> None:
    two = node("Constant", [], ["two"], value_floats=[2.0])
    for name in ("a", "b"):
        graph(tmp_path / f"{name}.onnx", {"x": [1, 64]}, [two, node("Mul", ["x", "two"], ["y"])], {"y": [1, 64]})
    graphs = [{"file": f"{name}.onnx", "inputs": {"x": "frame"}, "outputs": {"y": "frame"}} for name in ("a", "b")]
    peer = Peer(description(tmp_path / "peer.json", graphs=graphs, taper="rectangular", scale=0.5))
    wave = noise(0.05, 1)
    np.testing.assert_allclose(peer.enhance("", wave, RATE), 4 * wave, atol=1e-6)  # two frames overlap, times 0.5


def test_a_peer_at_another_rate_gets_its_rate(tmp_path: Path) -> None:
    graph(tmp_path / "made.onnx", {"x": [1, 64]}, [node("Identity", ["x"], ["y"])], {"y": [1, 64]})
    peer = Peer(description(tmp_path / "peer.json", sample_rate=48000))
    wave = speech(0.3, 1)
    enhanced = peer.enhance("", wave, RATE)
    assert enhanced.shape == wave.shape
    assert np.abs(enhanced - wave)[200:-200].max() < 1e-3


@pytest.mark.parametrize("name", ["hann", "sqrt_hann", "hamming", "rectangular"])
def test_tapers_are_periodic(name: str) -> None:
    shape = taper(name, 64).astype(np.float64) ** (2 if name == "sqrt_hann" else 1)
    np.testing.assert_allclose(shape[:32] + shape[32:], shape[0] + shape[32], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hope": 3}, "unknown key 'hope'"),
        ({"hop": 0}, "hop: expected 1 to the window"),
        ({"taper": "square"}, "taper: expected one of rectangular"),
        ({"graphs": []}, "graphs: expected at least one"),
        ({"graphs": [{"file": "no.onnx", "inputs": {}, "outputs": {"y": "frame"}}]}, "no.onnx is not there"),
        ({"graphs": [{"file": "made.onnx", "inputs": {"x": "cepstrum"}, "outputs": {"y": "frame"}}]}, "cepstrum"),
        ({"graphs": [{"file": "made.onnx", "inputs": {"x": "frame"}, "outputs": {"y": "real"}}]}, "real"),
        ({"graphs": [{"file": "made.onnx", "inputs": {"z": "frame"}, "outputs": {"y": "frame"}}]}, "its inputs are x"),
        ({"graphs": [{"file": "made.onnx", "inputs": {"x": "frame"}, "outputs": {"w": "frame"}}]}, "no output 'w'"),
        ({"window": 128}, "has shape [1, 64], its frame has 128 values"),
    ],
)
def test_a_wrong_description_is_refused_by_name(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    graph(tmp_path / "made.onnx", {"x": [1, 64]}, [node("Identity", ["x"], ["y"])], {"y": [1, 64]})
    path = description(tmp_path / "peer.json", **changes)
    with pytest.raises(ValueError) as refused:
        Peer(path).enhance("", noise(0.1, 1), RATE)
    assert said in str(refused.value)


def test_what_is_no_json_or_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "peer.json").write_text("{")
    with pytest.raises(ValueError, match=r"peer.json: expected the description of a peer in JSON"):
        describe(tmp_path / "peer.json")
    (tmp_path / "made.onnx").write_bytes(b"not a graph")
    with pytest.raises(ValueError, match=r"made.onnx: not a readable ONNX graph"):
        Peer(description(tmp_path / "peer.json"))


def test_places_are_opened_as_what_they_are(tmp_path: Path) -> None:
    late(tmp_path / "made.onnx")
    entry = late(tmp_path / "made.onnx")
    path = description(tmp_path / "peer.json", graphs=[entry])
    assert isinstance(open_system(str(path)), Peer) and open_system(str(path)).label == "made"
    assert open_system(f"theirs={path}").label == "theirs"
    assert open_system(f"\x1b[2J\n={path}").label == r"\x1b[2J\n"
    assert isinstance(open_system("noisy"), Unprocessed)
    assert isinstance(open_system("default"), Network) and open_system("default").label == "default"
    assert isinstance(describe(path), Description) and isinstance(describe(path).graphs[0], PeerGraph)


def test_a_folder_in_the_working_folder_does_not_stand_in_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("noisy", "default", "offline"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "clip.wav", noise(0.1, 1))
    monkeypatch.chdir(tmp_path)
    config.warn_of_namesake.cache_clear()
    assert isinstance(open_system("noisy"), Unprocessed) and isinstance(open_system("a=noisy"), Unprocessed)
    assert isinstance(open_system("default"), Network) and isinstance(open_system("a=offline"), Network)
    assert [message.partition(":")[0] for message in caplog.messages] == ["noisy", "default", "offline"]
    assert "noisy: the noisy clips are scored; the one that lies here is ./noisy" in caplog.text
    for name in ("noisy", "default", "offline"):
        assert isinstance(open_system(f"./{name}"), EnhancedFolder) and open_system(f"./{name}").label == name


def test_a_network_and_a_peer_stand_side_by_side(tmp_path: Path) -> None:
    path = description(tmp_path / "peer.json", graphs=[late(tmp_path / "made.onnx")])
    found = compare([Network(Gain(1.0), "ours"), Peer(path)], PAIRS[:2], tmp_path / "out", QUICK)
    assert abs(found.differences["made"]["si_sdr"]["mean"]) < 1e-3


@pytest.mark.parametrize("name", ["dtln", "gtcrn"])
def test_the_descriptions_we_ship_are_whole(name: str) -> None:
    path = PEERS / f"{name}.json"
    found = config.build(Description, json.loads(path.read_text()), str(path))
    assert found.name == name.upper() and all(graph.states for graph in found.graphs)


FIGURES = {"noisy": (1.224, 0.848, 5.63), "DTLN": (1.856, 0.897, 13.05), "GTCRN": (1.834, 0.881, 11.64)}


@pytest.mark.slow
@pytest.mark.shared
def test_known_peers_get_their_known_figures_on_real_recordings(tmp_path: Path) -> None:
    data, peers = SHARED / "data" / "dev", (SHARED / "peers").resolve()
    for place in (data, peers):
        if not place.is_dir():
            pytest.skip(f"{place} is not there; set FRCRN_SHARED")
    for place in (*peers.glob("*.onnx"), *PEERS.glob("*.json")):
        (tmp_path / place.name).symlink_to(place)
    systems = [Unprocessed(), Peer(tmp_path / "dtln.json"), Peer(tmp_path / "gtcrn.json")]
    found = compare(systems, open_pairs(data), tmp_path / "out", Options())
    for each in found.reports:
        means = [each.summary["metrics"][name]["mean"] for name in ("pesq", "stoi", "si_sdr")]
        for mean, figure, within in zip(means, FIGURES[each.label], (0.01, 0.002, 0.1), strict=True):
            assert mean == pytest.approx(figure, abs=within), each.label
        assert each.summary["failed_clips"] == 0 and each.summary["clips"] == 100
