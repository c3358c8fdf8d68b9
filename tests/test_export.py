"""Exports: every graph does what the network does, and the exported folder runs where neither torch nor we are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from frcrn import FRCRN, FRCRNConfig, audio  # noqa: E402
from frcrn.checkpoint import save  # noqa: E402
from frcrn.cli import main  # noqa: E402
from frcrn.export import parity  # noqa: E402
from frcrn.export.folder import RUNNERS, export  # noqa: E402
from frcrn.export.graph import Graph  # noqa: E402
from frcrn.export.graphs import step_graph, whole_graph  # noqa: E402
from frcrn.export.sessions import open_session  # noqa: E402
from frcrn.layers.unet import Level  # noqa: E402
from frcrn.models import Enhancer  # noqa: E402
from frcrn.runtime import with_runtime  # noqa: E402
from tests.fakes import CausalGain, Gain  # noqa: E402
from tests.networks import lively, noise, tiny, two_levels  # noqa: E402

Array = NDArray[np.float32]

FOUR_HOPS = {"window": 128, "hop": 32}
THREE_FRAMES = (Level(4, (8, 3), (8, 3), stride=8, se=False), Level(6, (3, 3), (3, 3), padding=1))
WIDE = tuple(Level(18, stride=4, padding=1, kernel=(5, kt), up_kernel=(5, kt)) for kt in (2, 1, 2))
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "one stage, skips added": {"stages": 1, "add_skips": True, "mask_bound": 1.6},
    "second stage refines, magnitude seen": {"refine": True, "magnitude": True, "mask_bound": 1.25},
    "four hops a window": FOUR_HOPS,
    "three frames a kernel": {"levels": THREE_FRAMES, "bands": 64},
    "wide": {"levels": WIDE, "reduction": 1, "time_hidden": 5, "head_channels": 3},
    "no memory": {"time_layers": 0, "memory": 1, "se_frames": 1},
    "one tap of memory": {"time_memory": 1, "compress": 1.0},
    "bands": {"bands": 48},
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES)


@cache
def network(shape: str = "tiny", causal: bool = True) -> FRCRN:
    return tiny(causal=causal, **SHAPES[shape])


@cache
def released() -> FRCRN:
    """Return a small network of the released kind: all bins, both stages, a level of its own."""
    torch.manual_seed(0)
    model = FRCRN(two_levels(640, 320, level_dbfs=-25.0))
    return lively(model, 2, 20 * model.hop)


def whole(model: Enhancer, wave: Array) -> Array:
    with torch.no_grad():
        return model(torch.from_numpy(wave)).wave.numpy()


def stepped(model: Enhancer, wave: Array) -> Array:
    step = step_graph(model)
    return parity.streamed(open_session(step.model), step.states, wave, model.window, model.hop)


@EVERY_SHAPE
def test_the_graph_of_one_hop_streams_as_the_network_hears_the_whole(shape: str) -> None:
    model, wave = network(shape), noise(1, 3001).numpy()
    assert_allclose(stepped(model, wave[0]), whole(model, wave)[0], atol=1e-5)


@EVERY_SHAPE
@pytest.mark.parametrize("causal", [True, False])
def test_the_graph_of_a_wave_equals_the_network_at_any_length_and_batch(shape: str, causal: bool) -> None:
    model = network(shape, causal)
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
    with pytest.raises(ValueError, match="only FRCRN is exported"):
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
    with pytest.raises(ValueError, match="choose torch, onnx, openvino"):
        with_runtime(network(), "tensorrt")


@cache
def exported() -> FRCRN:
    return tiny(stages=1, window=512, hop=256, bands=256, magnitude=True, mask_bound=1.25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(exported(), tmp_path_factory.mktemp("export") / "new").parent


def described(folder: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((folder / "frcrn.json").read_text())
    return about


def test_the_description_says_what_is_there(folder: Path) -> None:
    about, model = described(folder), exported()
    assert {path.name for path in folder.iterdir()} == {"step.onnx", "whole.onnx", "frcrn.json", "run.py", "run.js"}
    assert (about["sample_rate"], about["window"], about["hop"]) == (16000, 512, 256)
    assert FRCRNConfig.from_dict(about["config"]) == model.config
    for graph in about["graphs"].values():
        content = (folder / graph["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == graph["sha256"]
        session = open_session(content)
        assert set(session.inputs) == {"audio", *graph.get("states", {})}
        assert set(session.outputs) == {"enhanced", *(state["next"] for state in graph.get("states", {}).values())}
        assert graph["parity"]["seconds"] == 10
        assert 0 < graph["parity"]["largest_difference"] < 1e-4


def test_a_graph_that_is_not_the_network_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.export.network.taper", lambda stft: np.ones(stft.window))
    with pytest.raises(ValueError, match=r"step: the exported graph is .* off; at most 0\.0001"):
        export(exported(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wav") / "noisy.wav"
    audio.write(path, noise(2, 8111).numpy(), 16000)
    return path


def wanted(wav: Path) -> Array:
    return whole(exported(), audio.read(wav).samples)


def only(packages: list[str], site: Path) -> dict[str, str]:
    """Return an environment for python -S in which these packages can be imported, and nothing else is installed."""
    site.mkdir()
    for package in packages:
        place = Path(sys.modules[package].__file__ or "").parent
        for path in place.parent.glob(f"{package}*"):
            if path.suffix in ("", ".libs"):
                (site / path.name).symlink_to(path)
    return {**os.environ, "PYTHONPATH": str(site)}


def test_the_folder_streams_a_file_where_only_numpy_and_onnxruntime_are(
    folder: Path, wav: Path, tmp_path: Path
) -> None:
    import onnxruntime  # noqa: F401

    alone, target = only(["numpy", "onnxruntime"], tmp_path / "site"), tmp_path / "clean.wav"
    for name in ("torch", "frcrn"):
        tried = subprocess.run(
            [sys.executable, "-S", "-c", f"import {name}"], env=alone, cwd=tmp_path, check=False, capture_output=True
        )
        assert b"ModuleNotFoundError" in tried.stderr
    copied = shutil.copytree(folder, tmp_path / "copied")
    subprocess.run([sys.executable, "-S", copied / "run.py", wav, target], env=alone, cwd=tmp_path, check=True)
    assert_allclose(audio.read(target).samples, wanted(wav), atol=1.01 / 32768)


def node_runtime() -> str | None:
    """Return why JavaScript cannot be run, if it cannot."""
    if shutil.which("node") is None:
        return "node is not installed"
    for name in ("onnxruntime-node", "onnxruntime-web"):
        if subprocess.run(["node", "-e", f"require('{name}')"], capture_output=True, check=False).returncode == 0:
            return None
    return "neither onnxruntime-node nor onnxruntime-web is there for node; npm install one, or set NODE_PATH"


def run_program(program: Path, wav: Path, target: Path) -> None:
    if program.suffix == ".py":
        subprocess.run([sys.executable, program, wav, target], check=True)
        return
    if problem := node_runtime():
        pytest.skip(problem)
    modules = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(Path.cwd() / "node_modules")]))
    subprocess.run(["node", program, wav, target], check=True, env={**os.environ, "NODE_PATH": modules})


def test_the_folder_streams_a_file_in_javascript(folder: Path, wav: Path, tmp_path: Path) -> None:
    run_program(folder / "run.js", wav, tmp_path / "clean.wav")
    assert_allclose(audio.read(tmp_path / "clean.wav").samples, wanted(wav), atol=1.01 / 32768)


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_give_a_network_that_looks_ahead_the_whole_file(program: str, wav: Path, tmp_path: Path) -> None:
    folder = export(network(causal=False), tmp_path / "out").parent
    run_program(folder / program, wav, tmp_path / "clean.wav")
    wanted = whole(network(causal=False), audio.read(wav).samples)
    assert_allclose(audio.read(tmp_path / "clean.wav").samples, wanted, atol=1.01 / 32768)


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_are_short_enough_to_copy(program: str, folder: Path) -> None:
    lines = (folder / program).read_text().splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 120


def test_the_command_exports_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(released(), tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path / "model.safetensors"), "-o", str(tmp_path / "out"), "--format", "onnx"]) == 0
    assert "looks 0.08 s ahead and cannot stream" in (said := capsys.readouterr().out)
    assert "whole.onnx: " in said
    assert set(described(tmp_path / "out")["graphs"]) == {"whole"}


def test_the_command_says_which_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "-o", str(tmp_path / "out")]) == 2
    assert 'pip install "frcrn[onnx]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_files_are_enhanced_in_another_runtime_as_before(runtime: str, wav: Path, tmp_path: Path) -> None:
    pytest.importorskip(runtime)
    save(network(), tmp_path / "model.safetensors")
    wanted = network().enhance(audio.read(wav).samples)
    options = ["-m", str(tmp_path / "model.safetensors"), "--runtime", runtime]
    assert main(["enhance", str(wav), "-o", str(tmp_path / "clean.wav"), *options]) == 0
    assert_allclose(audio.read(tmp_path / "clean.wav").samples, wanted, atol=1.01 / 32768)


def test_equal_constants_are_kept_once() -> None:
    graph = Graph()
    assert graph.constant(np.ones(3)) == graph.constant(np.ones(3)) != graph.constant(np.zeros(3))
