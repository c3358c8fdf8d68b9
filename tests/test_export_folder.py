"""Exported folders: whole, described, replaced at once, and run where neither torch nor we are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from frcrn import FRCRN, FRCRNConfig, audio  # noqa: E402
from frcrn.cli import main  # noqa: E402
from frcrn.export.onnx.folder import RUNNERS, Graphs, export  # noqa: E402
from frcrn.export.onnx.sessions import open_session  # noqa: E402
from frcrn.models.checkpoint import save  # noqa: E402
from tests.networks import noise, tiny  # noqa: E402
from tests.shapes import network, released  # noqa: E402
from tests.test_export import Array, whole  # noqa: E402


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
    monkeypatch.setattr("frcrn.export.onnx.network.taper", lambda stft: np.ones(stft.window))
    with pytest.raises(ValueError, match=r"step: the exported graph is .* off; at most 0\.0001"):
        export(exported(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_over_an_older_one_leaves_nothing_of_it(tmp_path: Path) -> None:
    def with_another(graphs: Graphs) -> Graphs:
        return {"step_int8": graphs["step"]}

    export(exported(), tmp_path, more=with_another)
    assert described(tmp_path)["graphs"]["step_int8"]["file"] == "step_int8.onnx"
    (tmp_path / "mine.onnx").write_bytes(b"not of an export")
    export(exported(), tmp_path)
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"step.onnx", "whole.onnx", "mine.onnx"}
    assert set(described(tmp_path)["graphs"]) == {"step", "whole"}
    export(network(causal=False), tmp_path)
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"whole.onnx", "mine.onnx"}


def test_only_graphs_in_the_folder_are_taken_for_those_of_an_older_export(tmp_path: Path) -> None:
    kept = [tmp_path / "step.onnx", tmp_path / "out" / "notes.txt"]
    (tmp_path / "out").mkdir()
    for path in kept:
        path.write_text("mine")
    older = {"graphs": {"a": {"file": "../step.onnx"}, "b": {"file": "notes.txt"}, "c": {"file": "gone.onnx"}}}
    (tmp_path / "out" / "frcrn.json").write_text(json.dumps(older))
    (tmp_path / "out" / "whole.onnx").write_bytes(b"older")
    export(exported(), tmp_path / "out")
    assert [path.read_text() for path in kept] == ["mine", "mine"]


def test_an_export_that_breaks_off_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(network(causal=False), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "whole" in path.name:
            raise KeyboardInterrupt
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(KeyboardInterrupt):
        export(exported(), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


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


def run_program(program: Path, wav: Path, target: Path, code: int = 0) -> str:
    """Return what the program says on standard error; it must end with this exit code."""
    if program.suffix == ".py":
        return run([sys.executable, program, wav, target], dict(os.environ), code)
    if problem := node_runtime():
        pytest.skip(problem)
    modules = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(Path.cwd() / "node_modules")]))
    return run(["node", program, wav, target], {**os.environ, "NODE_PATH": modules}, code)


def run(command: list[str | Path], environment: dict[str, str], code: int) -> str:
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_the_folder_streams_a_file_in_javascript(folder: Path, wav: Path, tmp_path: Path) -> None:
    run_program(folder / "run.js", wav, tmp_path / "clean.wav")
    assert_allclose(audio.read(tmp_path / "clean.wav").samples, wanted(wav), atol=1.01 / 32768)


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_give_a_network_that_looks_ahead_the_whole_file(program: str, wav: Path, tmp_path: Path) -> None:
    folder = export(network(causal=False), tmp_path / "out").parent
    run_program(folder / program, wav, tmp_path / "clean.wav")
    wanted = whole(network(causal=False), audio.read(wav).samples)
    assert_allclose(audio.read(tmp_path / "clean.wav").samples, wanted, atol=1.01 / 32768)


NEGATED = """
exports.Tensor = class { constructor(type, data, dims) { this.data = data; } };
const run = async ({ audio }) => ({ enhanced: { data: audio.data.map((x) => -x) } });
exports.InferenceSession = { create: async () => ({ run }) };
"""
"""Stands for the runtime in JavaScript: the graph of whole waves turns them over."""


def enhanced(program: Path, *words: str | Path, code: int = 0) -> str:
    """Run a program's graph of whole waves, in JavaScript on a runtime that is made here."""
    return started(program, *words, "whole", code=code)


def started(program: Path, *words: str | Path, code: int = 0) -> str:
    """Run a program, in JavaScript on a runtime that is made here."""
    if program.suffix == ".py":
        return run([sys.executable, program, *words], dict(os.environ), code)
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    runtime = program.parent / "modules" / "onnxruntime-node" / "index.js"
    runtime.parent.mkdir(parents=True, exist_ok=True)
    runtime.write_text(NEGATED)
    environment = {**os.environ, "NODE_PATH": str(runtime.parent.parent)}
    return run(["node", program, *words], environment, code)


def changed(wav: Path, at: int, *words: int) -> bytes:
    """Return a wav file with other 16-bit words there."""
    content, new = wav.read_bytes(), np.array(words, "<u2").tobytes()
    return content[:at] + new + content[at + len(new) :]


@pytest.mark.parametrize("program", RUNNERS)
@pytest.mark.parametrize(
    ("whole", "size"), [(0, 0), (36, 0), (0xFFFFFFFF, 0), (0, 0x7FFFF000), (0, 0x80000000), (0, 0xFFFFFFFF)]
)
def test_the_programs_take_a_wav_file_of_a_pipe_as_far_as_it_goes(
    program: str, whole: int, size: int, folder: Path, wav: Path, tmp_path: Path
) -> None:
    piped = tmp_path / "piped.wav"
    piped.write_bytes(changed(wav, 40, size & 0xFFFF, size >> 16))
    piped.write_bytes(changed(piped, 4, whole & 0xFFFF, whole >> 16))
    for source, target in ((wav, "whole.wav"), (piped, "clean.wav")):
        enhanced(folder / program, source, tmp_path / target)
    assert (tmp_path / "clean.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()
    if program.endswith(".js"):
        assert_allclose(audio.read(tmp_path / "clean.wav").samples, -audio.read(wav).samples, atol=1.01 / 32768)
    else:
        assert_allclose(audio.read(tmp_path / "clean.wav").samples, wanted(wav), atol=1.01 / 32768)


def refused(wav: Path) -> dict[str, tuple[bytes, str]]:
    """Return files that are none for the programs, by name, and what is said of them."""
    cut, pcm = wav.read_bytes()[:-1001], "expected 16-bit PCM at 16000 Hz with 1 to 1024 channels, found format"
    nothing = "it holds no samples; at least one is needed"
    return {
        "song.mp3": (b"ID3" + bytes(1000), "expected a 16-bit wav file"),
        "empty.wav": (b"", "expected a 16-bit wav file"),
        "float.wav": (changed(wav, 20, 3), f"{pcm} 3 of 16 bits at 16000 Hz with 2 channels"),
        "adpcm.wav": (changed(wav, 20, 0x11), f"{pcm} 17 of 16 bits at 16000 Hz with 2 channels"),
        "wide.wav": (changed(wav, 34, 24), f"{pcm} 1 of 24 bits at 16000 Hz with 2 channels"),
        "fast.wav": (changed(wav, 24, 44100), f"{pcm} 1 of 16 bits at 44100 Hz with 2 channels"),
        "none.wav": (changed(wav, 22, 0), f"{pcm} 1 of 16 bits at 16000 Hz with 0 channels"),
        "many.wav": (changed(wav, 22, 65535), f"{pcm} 1 of 16 bits at 16000 Hz with 65535 channels"),
        "video.wav": (wav.read_bytes().replace(b"WAVE", b"AVI ", 1), "expected a 16-bit wav file"),
        "nothing.wav": (changed(wav, 40, 0, 0)[:44], nothing),
        "text.wav": (changed(wav, 40, 0, 0)[:44] + b"LIST\x10\0\0\0INFOISFT\x04\0\0\0text", nothing),
        "cut.wav": (cut, f"truncated: its header announces 32444 bytes, {len(cut) - 44} are there"),
    }


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_refuse_what_they_cannot_read(program: str, folder: Path, wav: Path, tmp_path: Path) -> None:
    target = tmp_path / "clean.wav"
    target.write_bytes(b"what was there before")
    for name, (content, reason) in refused(wav).items():
        source = tmp_path / name
        source.write_bytes(content)
        assert enhanced(folder / program, source, target, code=2) == f"{source}: {reason}\n"
        assert target.read_bytes() == b"what was there before"
    assert not list(tmp_path.glob("*.part"))


EDITS: dict[str, Callable[[Any], Any]] = {
    "empty": lambda about: about.clear(),
    "graphs gone": lambda about: about.pop("graphs"),
    "no graphs": lambda about: about.update(graphs={}),
    "graphs a list": lambda about: about.update(graphs=[]),
    "a graph without its file": lambda about: about["graphs"]["whole"].pop("file"),
    "hop 0": lambda about: about.update(hop=0),
    "hop below 0": lambda about: about.update(hop=-1),
    "hop in words": lambda about: about.update(hop="x"),
    "latency below a hop": lambda about: about.update(latency=255),
    "latency of a year": lambda about: about.update(latency=10**12),
    "latency gone": lambda about: about.pop("latency"),
    "rate in words": lambda about: about.update(sample_rate="16000"),
    "a state beyond reason": lambda about: state(about).update(initial=1e30),
    "a state that is no number": lambda about: state(about).update(initial=float("nan")),
    "a state of 8 TB": lambda about: state(about).update(shape=[2**41]),
    "a state without a shape": lambda about: state(about).pop("shape"),
    "a state without a next": lambda about: state(about).pop("next"),
}


def state(about: Any) -> Any:
    return next(iter(about["graphs"]["step"]["states"].values()))


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_refuse_a_description_that_no_export_wrote(
    program: str, folder: Path, wav: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    said = f"{wav}: {copied / 'frcrn.json'}: expected the description of an export; export again\n"
    for name, edit in EDITS.items():
        about = described(folder)
        edit(about)
        (copied / "frcrn.json").write_text(json.dumps(about))
        assert enhanced(copied / program, wav, tmp_path / "clean.wav", code=2) == said, name
    for text in ("", "[]", "5", "{"):
        (copied / "frcrn.json").write_text(text)
        assert enhanced(copied / program, wav, tmp_path / "clean.wav", code=2) == said, text
    assert not (tmp_path / "clean.wav").exists()


def test_what_the_runtime_refuses_in_many_lines_is_said_in_one(folder: Path, wav: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    (copied / "frcrn.json").write_text(json.dumps(described(folder) | {"hop": 128}))
    said = started(copied / "run.py", wav, tmp_path / "clean.wav", code=2)
    assert "Got: 128 Expected: 256" in said and said.count("\n") == 1


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_open_one_session_for_all_channels(program: str, folder: Path, tmp_path: Path) -> None:
    many, copied = tmp_path / "many.wav", shutil.copytree(folder, tmp_path / "copied") / program
    audio.write(many, noise(64, 100).numpy(), 16000)
    call, told = {
        "run.py": ("onnxruntime.Inf", "sys.stderr.write('opened') and onnxruntime.Inf"),
        "run.js": ("ort.Inf", "(console.error('opened'), ort).Inf"),
    }[program]
    copied.write_text(copied.read_text().replace(call, told))
    assert enhanced(copied, many, tmp_path / "clean.wav").count("opened") == 1
    assert audio.read(tmp_path / "clean.wav").samples.shape == (64, 100)


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_say_what_they_expect(program: str, folder: Path, wav: Path, tmp_path: Path) -> None:
    assert "noisy.wav clean.wav [GRAPH]" in started(folder / program, code=2)
    assert "noisy.wav clean.wav [GRAPH]" in started(folder / program, wav, code=2)
    said = started(folder / program, wav, tmp_path / "clean.wav", "nosuch", code=2)
    assert said == f"{wav}: found no graph nosuch, only step, whole\n"


@pytest.mark.parametrize("program", RUNNERS)
def test_the_programs_are_short_enough_to_copy(program: str, folder: Path) -> None:
    lines = (folder / program).read_text().splitlines()
    assert len(lines) <= 85
    assert max(map(len, lines)) <= 120


def test_the_command_exports_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(released(), tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path / "model.safetensors"), "-o", str(tmp_path / "out"), "--format", "onnx"]) == 0
    assert "looks 0.08 s ahead and cannot stream" in (said := capsys.readouterr().out)
    assert "whole.onnx: " in said
    assert set(described(tmp_path / "out")["graphs"]) == {"whole"}


@pytest.mark.parametrize("level", [None, -25.0])
def test_the_command_says_what_a_step_leaves_out(tmp_path: Path, level: float | None, capsys) -> None:
    path = tmp_path / "model.safetensors"
    save(tiny(causal=True, level_dbfs=level), path)
    assert main(["export", str(path), "-o", str(tmp_path / "x")]) == 0
    assert ("files are brought there as a whole" in capsys.readouterr().out) == (level is not None)


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
