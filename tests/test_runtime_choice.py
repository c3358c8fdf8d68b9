"""What runs a network where nobody says: its program in C without torch, else the first runtime that works."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import frcrn
from frcrn import config
from frcrn.audio import MissingPackage, read
from frcrn.audio.sample import sample
from frcrn.cli import main
from frcrn.export.native import library
from frcrn.export.native.folder import export_program
from frcrn.export.native.network import write_program
from frcrn.export.native.standalone import NativeNetwork, find_program
from frcrn.export.runtime import with_runtime
from frcrn.inference import opening
from frcrn.inference.one_file import Settings
from frcrn.models import MaskEnhancer
from frcrn.models.checkpoint import fingerprint, load, names, save_directory
from tests.fakes import Gain
from tests.networks import tiny

ROOT = Path(__file__).parent.parent
NOISY = ROOT / "frcrn" / "samples" / "noisy.flac"

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")


def causal() -> list[str]:
    models = {name: load(name) for name in names()}
    return [name for name, model in models.items() if isinstance(model, MaskEnhancer) and model.causal]


@pytest.mark.parametrize("name", causal())
def test_the_programs_of_the_bundled_models_are_current(name: str) -> None:
    found, model = find_program(name), load(name)
    assert found is not None, "make them: python -m description.programs"
    content, about = found
    assert content == write_program(model), "make them anew: python -m description.programs"
    assert about["fingerprint"] == fingerprint(model)
    assert about["sample_rate"] == model.sample_rate and about["config"] == json.loads(
        json.dumps(model.config.to_dict())
    )


@pytest.mark.parametrize("name", causal())
def test_without_torch_it_is_the_same_network(name: str) -> None:
    own, model, noisy = frcrn.load(name, runtime="native"), load(name), sample()
    assert isinstance(own, NativeNetwork)
    wave = np.stack([noisy.samples[0], noisy.samples[0][::-1]])[:, :40_001]
    options = {"strength": 0.8, "band": "speech"}
    assert_allclose(own.enhance(wave, 22_050, **options), model.enhance(wave, 22_050, **options), atol=1e-5)
    stream, other = own.stream(48_000, 2), model.stream(48_000, 2)
    for piece in (wave[:, :7_001], wave[:, 7_001:30_000]):
        assert_allclose(stream.push(piece), other.push(piece), atol=1e-5)
    assert_allclose(stream.flush(), other.flush(), atol=1e-5)
    facts = ("sample_rate", "window", "hop", "latency", "lookahead", "level_dbfs", "trained")
    assert [getattr(own, fact) for fact in facts] == [getattr(model, fact) for fact in facts]


COMMANDS = {
    "a file": ["enhance", str(NOISY), "-o", "clean.flac"],
    "a folder": ["enhance", str(NOISY.parent), "-o", "clean", "-q"],
    "a pipe": ["stream", "raw.s16"],
    "Python": [],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_default_path_loads_no_torch(name: str, tmp_path: Path) -> None:
    (tmp_path / "raw.s16").write_bytes(bytes(16_000))
    use = f"import frcrn; frcrn.enhance_file({str(NOISY)!r}, 'clean.wav'); frcrn.load(runtime='auto').stream()"
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + (
        f"from frcrn.cli import main\nassert main({COMMANDS[name]!r}) == 0" if COMMANDS[name] else use
    )
    program += "\nfrom frcrn.machine import peak_memory\nassert peak_memory() < 150"
    program += "\nassert 'numpy' in sys.modules and not {'torch', 'onnxruntime', 'safetensors'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_of_runtimes_left_to_us_the_first_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    model = tiny(causal=True)
    assert with_runtime(model, "auto").runtime == "native"
    assert not hasattr(with_runtime(Gain(), "auto"), "runtime")  # networks of others stay with torch
    monkeypatch.setattr("frcrn.export.native.library.library", missing)
    assert with_runtime(model, "auto").runtime == "onnx"
    monkeypatch.setattr("frcrn.export.runtime.open_session", missing)
    assert with_runtime(model, "auto").optimized and not hasattr(with_runtime(model, "auto"), "runtime")
    with pytest.raises(MissingPackage, match="is not there"):
        with_runtime(model, "native")


def missing(*arguments: object) -> None:
    raise MissingPackage("it is not there")


def test_where_the_program_cannot_run_the_weights_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "library", missing)
    monkeypatch.setattr("frcrn.export.native.library.library", missing)
    assert not isinstance(frcrn.load(runtime="auto"), NativeNetwork)
    assert Settings().identity()["runtime"] in ("onnx", "torch")
    with pytest.raises(MissingPackage, match="is not there"):
        frcrn.load(runtime="native")


def test_identities_name_the_runtime_in_use_and_the_same_network(tmp_path: Path) -> None:
    ours, torches = Settings().identity(), Settings(runtime="torch").identity()
    assert (ours["runtime"], torches["runtime"]) == ("native", "torch")
    assert ours["model"] == torches["model"]
    save_directory(tiny(causal=True), tmp_path / "own")
    assert Settings(str(tmp_path / "own")).identity()["runtime"] == "native"


def test_the_choice_is_in_the_log(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO):
        assert main(["enhance", str(NOISY), "-o", str(tmp_path / "clean.flac"), "-q"]) == 0
    assert "offline: runtime native" in caplog.messages


def test_a_folder_in_c_is_a_model_for_everything(tmp_path: Path) -> None:
    model = tiny(causal=True)
    export_program(model, tmp_path / "c")
    shutil.copy(NOISY, tmp_path / "in.flac")
    for place, out in ((str(tmp_path / "c"), "own.flac"), ("torch", "other.flac")):
        network = model if place == "torch" else place
        frcrn.enhance_file(tmp_path / "in.flac", tmp_path / out, model=network)
    assert_allclose(read(tmp_path / "own.flac").samples, read(tmp_path / "other.flac").samples, atol=1e-4)
    about = json.loads((tmp_path / "c" / "program.json").read_text())
    (tmp_path / "c" / "program.json").write_text(json.dumps(about | {"hop": 3, "delay": 1, "sample_rate": 7}))
    other = frcrn.load(tmp_path / "c", runtime="native")
    assert (other.hop, other.window, other.sample_rate) == (model.hop, model.window, model.sample_rate)
    (tmp_path / "c" / "model.frcrn").write_bytes(b"FRCRN 2")
    with pytest.raises(ValueError, match=r"c: a model for the runtime native: "):
        frcrn.load(tmp_path / "c", runtime="native")
    (tmp_path / "c" / "program.json").write_text('{"hop": 3}')
    with pytest.raises(ValueError, match=r"program\.json: not the description of a network in C"):
        frcrn.load(tmp_path / "c", runtime="native")


def test_a_gpu_means_torch() -> None:
    with pytest.raises(ValueError, match="device cuda: runs with the runtime torch, not native"):
        Settings(runtime="native", device="cuda")
    assert opening.for_device("auto", "cuda") == "torch"
    with pytest.raises(ValueError, match="device 'tpu': choose auto, cpu, cuda"):
        frcrn.enhance_folder("a", "b", device="tpu")


def test_a_program_leaves_no_tensor_behind() -> None:
    """States of arrays are split and joined as those of tensors are."""
    own = frcrn.load(runtime="native")
    assert isinstance(own, NativeNetwork)
    whole = own.initial_state(3)
    parts = own.apart(whole, [1, 2])
    assert [len(part["memory"]) for part in parts] == [1, 2]
    assert_array_equal(own.joined(parts)["memory"], whole["memory"])
    assert not any(isinstance(value, torch.Tensor) for value in whole.values())


def test_a_precision_is_refused_where_it_cannot_be_and_left_to_torch_where_nobody_chose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Unable:
        def __getattr__(self, name: str) -> object:
            if name in ("frcrn_use_bfloat16", "frcrn_whole_pairs"):
                return lambda *arguments: 0
            return getattr(compiled, name)

    compiled = library.library()
    for place in ("frcrn.export.native.library.library", "frcrn.export.native.whole.library"):
        monkeypatch.setattr(place, Unable)
    command = ["enhance", str(NOISY), "-o", str(tmp_path / "clean.flac"), "--precision", "bf16"]
    for runtime, why in (("native", "AVX512-BF16"), ("onnx", "computes in fp32")):
        assert main([*command, "--runtime", runtime]) == 2
        assert why in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    for causal in (True, False):
        other = with_runtime(tiny(causal=causal), "auto", precision="bf16")
        assert isinstance(other, MaskEnhancer) and other.dtype == torch.bfloat16
    assert not isinstance(frcrn.load(runtime="auto", precision="bf16"), NativeNetwork)
    with pytest.raises(ValueError, match="choose fp32 or bf16"):
        frcrn.load(precision="fp16")


def test_results_in_another_precision_are_other_results() -> None:
    try:
        assert Settings(precision="bf16").identity() != Settings().identity()
    except library.NoBfloat16:
        pytest.skip("this processor has no bfloat16")
    assert frcrn.load(runtime="native", precision="bf16").optimize("bf16")
    with pytest.raises(ValueError, match="opened in it"):
        frcrn.load(runtime="native").optimize("bf16")


RUN_ELSEWHERE = {
    "native, without torch": lambda: frcrn.load("default", runtime="native"),
    "native": lambda: with_runtime(tiny(causal=True), "native"),
    "native, looking ahead": lambda: with_runtime(tiny(), "native", threads=2),
    "onnx": lambda: with_runtime(tiny(causal=True), "onnx"),
    "openvino": lambda: with_runtime(tiny(causal=True), "openvino"),
}


@pytest.mark.parametrize("kind", RUN_ELSEWHERE)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_network_goes_to_other_processes_whatever_runs_it(kind, copied):
    if kind in ("onnx", "openvino"):
        pytest.importorskip({"onnx": "onnxruntime"}.get(kind, kind))
    model, noisy = RUN_ELSEWHERE[kind](), sample().samples[0][:8000]
    assert_array_equal(copied(model).enhance(noisy, 16000), model.enhance(noisy, 16000))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_is_not_copied(copied):
    with pytest.raises(TypeError, match=r"model\.stream\(\)"):
        copied(tiny(causal=True).stream(rate=48000))


@pytest.mark.parametrize("runtime", ["torch", "native"])
def test_a_model_in_the_working_folder_does_not_stand_in_for_a_bundled_one(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundled = opening.identify("default", runtime, "cpu")
    save_directory(tiny(causal=True), tmp_path / "default")
    (tmp_path / "offline").mkdir()
    monkeypatch.chdir(tmp_path)
    config.warn_of_namesake.cache_clear()
    assert opening.identify("default", runtime, "cpu") == bundled
    assert "the model that lies here is ./default" in caplog.text
    assert opening.identify("offline", runtime, "cpu") != bundled
    for folder in ("./default", Path("default")):
        assert load(folder).config == tiny(causal=True).config
