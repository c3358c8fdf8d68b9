"""The exported folder in C: described, compiled by the line that it names, and run where nothing of ours is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from frcrn import FRCRNConfig, audio
from frcrn.cli import main
from frcrn.export.native import library
from frcrn.export.native.folder import export_program
from frcrn.export.native.network import write_program
from frcrn.models.checkpoint import save
from tests.networks import noise
from tests.shapes import network, released

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export, compiled as its program says."""
    place = export_program(network(), tmp_path_factory.mktemp("c") / "new").parent
    line = re.search(r"^ \* +(cc .*)$", (place / "run.c").read_text(), re.MULTILINE)
    assert line
    options = ["-Wall", "-Wextra", "-Werror", "-std=gnu11"]
    subprocess.run([str(library.compiler()), *options, *shlex.split(line[1])[1:]], cwd=place, check=True)
    return place


def run(folder: Path, wave: np.ndarray) -> np.ndarray:
    done = subprocess.run(["./run", "model.frcrn"], cwd=folder, input=wave.tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32)


@pytest.mark.parametrize("samples", [0, 1, 63, 64, 65, 3001])
def test_as_much_comes_out_as_goes_in_and_it_is_what_the_network_hears(folder: Path, samples: int) -> None:
    wave = noise(1, samples).numpy()
    clean = run(folder, wave)
    assert clean.shape == (samples,)
    with torch.no_grad():
        assert_allclose(clean[None], network()(torch.from_numpy(wave)).wave.numpy(), atol=1e-5)


def test_sound_that_cannot_be_read_is_no_success(folder: Path) -> None:
    unreadable = os.open("/", os.O_RDONLY)
    try:
        done = subprocess.run(["./run"], cwd=folder, stdin=unreadable, capture_output=True, check=False)
    finally:
        os.close(unreadable)
    assert (done.returncode, done.stdout) == (1, b"")


def test_two_models_are_refused(folder: Path) -> None:
    command = ["./run", "model.frcrn", "noisy.f32"]
    done = subprocess.run(command, cwd=folder, input=b"", capture_output=True, check=False)
    assert done.returncode == 2 and b"expected one model" in done.stderr


def test_a_wav_file_in_place_of_raw_sound_is_refused(folder: Path) -> None:
    done = subprocess.run(["./run"], cwd=folder, input=b"RIFF" + bytes(100), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"standard input: expected raw sound, found a wav file\n"


@pytest.mark.parametrize("more", [1, 3])
def test_bytes_that_are_no_whole_sample_are_spoken_of(folder: Path, more: int) -> None:
    wave = noise(1, 100).numpy()
    done = subprocess.run(["./run"], cwd=folder, input=wave.tobytes() + bytes(more), capture_output=True, check=False)
    assert (done.returncode, len(done.stdout)) == (0, wave.nbytes)
    assert b"in the middle of a sample" in done.stderr


def test_the_description_says_what_is_there(folder: Path) -> None:
    about = json.loads((folder / "program.json").read_text())
    assert about["sha256"] == hashlib.sha256((folder / about["program"]).read_bytes()).hexdigest()
    assert (about["sample_rate"], about["hop"], about["delay"], about["latency"]) == (16000, 64, 64, 128)
    assert FRCRNConfig.from_dict(about["config"]) == network().config
    assert 0 < about["parity"]["largest_difference"] < 1e-5


@pytest.mark.parametrize(("content", "reason"), [(None, "cannot be opened"), (b"RIFF", "not a model")])
def test_the_program_says_what_is_wrong_with_a_model(folder: Path, content: bytes | None, reason: str) -> None:
    path = folder / "other.frcrn"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run(["./run", path.name], cwd=folder, input="", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(rf"other\.frcrn: .*{reason}.*\n", done.stderr)


def test_a_program_that_is_not_the_network_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.export.native.folder.write_program", lambda model: write_program(network("bands")))
    with pytest.raises(ValueError, match=r"program: the exported graph is .* off; at most 0\.0001"):
        export_program(network(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_exports_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(network(), tmp_path / "model.safetensors")
    arguments = ["export", str(tmp_path / "model.safetensors"), "-o", str(tmp_path / "out"), "--format", "c"]
    assert main(arguments) == 0
    assert "model.frcrn: " in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {*library.SOURCES, "run.c", "model.frcrn", "program.json"}
    assert main([*arguments, "--int8"]) == 2
    assert "--int8 belongs to --format onnx" in capsys.readouterr().err
    save(released(), tmp_path / "model.safetensors")
    assert main(arguments) == 2
    assert "only causal networks of known layers" in capsys.readouterr().err


def test_files_are_enhanced_by_it_as_before(tmp_path: Path) -> None:
    audio.write(tmp_path / "noisy.wav", noise(2, 8111).numpy(), 16000)
    save(network(), tmp_path / "model.safetensors")
    options = ["-m", str(tmp_path / "model.safetensors"), "--runtime"]
    for runtime in ("torch", "native"):
        assert (
            main(["enhance", str(tmp_path / "noisy.wav"), "-o", str(tmp_path / f"{runtime}.wav"), *options, runtime])
            == 0
        )
    one, other = (audio.read(tmp_path / f"{runtime}.wav").samples for runtime in ("torch", "native"))
    assert_allclose(one, other, atol=1.01 / 32768)


def test_an_export_is_no_model_to_read_weights_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder)]) == 2
    assert f"{folder}: an export; expected the model that it was made of" in capsys.readouterr().err


def test_a_file_is_no_folder_to_export_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "no-model", "-o", str(tmp_path / "out"), "--int8", "--max-loss", "nan"]) == 2
    assert "--max-loss nan: accepted are numbers from 0" in capsys.readouterr().err
    (tmp_path / "out").write_text("precious")
    assert main(["export", "no-model", "-o", str(tmp_path / "out"), "--format", "ladspa"]) == 2
    assert "out: expected a folder to write into" in capsys.readouterr().err
