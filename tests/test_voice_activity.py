"""Where speech is: the stretches follow the network's probabilities, whatever the pieces."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from frcrn.cli import main
from frcrn.export.native import library
from frcrn.export.native.folder import export_program
from frcrn.export.native.standalone import NativeNetwork, find_program
from frcrn.export.runtime import with_runtime
from frcrn.inference.voice_activity import probabilities, stretches
from frcrn.models import RNNoise, RNNoiseConfig
from frcrn.models.checkpoint import save
from tests.networks import lively, noise, tiny


def loud_or_not() -> RNNoise:
    """Return a network that takes for speech what is loud: its voice unit follows the sum of all bands."""
    model = RNNoise(RNNoiseConfig.tiny(sample_rate=16000)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.dense.linear.weight[:, -model.config.bands :] = 0.3
        cells = model.voice.cells
        units = model.config.voice_units
        cells.weight_ih_l0[2 * units :] = 1.0
        cells.bias_ih_l0[units : 2 * units] = -9.0  # nothing is kept from the frame before
        model.speech.linear.weight[:] = 5.0
    return model


def burst(rate: int = 16000) -> np.ndarray:
    """Silence, a second of noise, silence."""
    return np.concatenate([np.zeros(rate), noise(rate, level=0.2).numpy(), np.zeros(rate // 2)]).astype(np.float32)


def test_the_stretches_are_where_the_sound_is() -> None:
    model = loud_or_not()
    found = stretches(probabilities(model, burst()), model.hop / 16000, 2.5)
    assert len(found) == 1
    assert_close(np.array(found[0][:2]), np.array([1.0, 2.0]), atol=2 * model.hop / 16000, rtol=0)


def test_probabilities_are_those_of_the_whole_wave() -> None:
    torch.manual_seed(0)
    model = RNNoise(RNNoiseConfig.tiny()).eval()
    wave = noise(300 * model.hop + 5)
    with torch.no_grad():
        whole = model(wave[None]).speech
    assert whole is not None
    got = probabilities(model, wave.numpy())
    assert len(got) == 301
    late = (model.window // 2 + model.hop - 1) // model.hop - 1
    assert_close(torch.from_numpy(got), whole[0, late : late + 301], atol=1e-6, rtol=0)


@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino", "native"])
def test_a_stream_says_it_too(runtime: str) -> None:
    if runtime in ("onnx", "openvino"):
        pytest.importorskip("onnx"), pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime")
    if runtime == "native" and library.compiler() is None:
        pytest.skip("there is no C compiler")
    torch.manual_seed(0)
    model = lively(RNNoise(RNNoiseConfig.tiny()), 2, 640)
    wave = noise(2, 20 * model.hop)
    with torch.no_grad():
        whole = model(wave).speech
    assert whole is not None and whole.std() > 1e-3
    stream = with_runtime(model, runtime, 1, live=True).stream(channels=2)
    for hop, piece in enumerate(wave.split(model.hop, dim=1)):
        stream.push(piece)
        assert stream.speech is not None
        assert_close(torch.from_numpy(stream.speech), whole[:, hop], atol=1e-5, rtol=0)
    for count in (2, 5):
        stream.push(wave[:, : count * model.hop])
    pieces = torch.cat([wave, wave[:, : 2 * model.hop], wave[:, : 5 * model.hop]], dim=1)
    with torch.no_grad():
        later = model(pieces).speech
    assert later is not None
    assert_close(torch.from_numpy(stream.speech), later[:, 26], atol=1e-5, rtol=0)
    assert tiny().stream().speech is None


def test_a_program_in_c_says_it(tmp_path: Path) -> None:
    if library.compiler() is None:
        pytest.skip("there is no C compiler")
    model = loud_or_not()
    export_program(model, tmp_path)
    found = find_program(tmp_path)
    assert found is not None
    stream = NativeNetwork(*found).stream()
    said = []
    for piece in np.split(burst(), range(model.hop, 40000, model.hop)):
        stream.push(piece)
        assert stream.speech is not None
        said.append(float(stream.speech[0]))
    assert max(said[:490]) < 0.6 < min(said[510:990]) and max(said[1010:]) < 0.6


def test_the_command_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(loud_or_not(), tmp_path / "model.safetensors")
    soundfile.write(tmp_path / "in.wav", burst(), 16000)
    command = ["enhance", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav")]
    labels = ["--vad", str(tmp_path / "labels.csv")]
    assert main([*command, "--model", str(tmp_path / "model.safetensors"), *labels]) == 0
    rows = list(csv.DictReader((tmp_path / "labels.csv").open()))
    assert len(rows) == 1 and rows[0]["file"].endswith("in.wav")
    assert abs(float(rows[0]["start"]) - 1) < 0.02 and abs(float(rows[0]["end"]) - 2) < 0.02
    assert (tmp_path / "out.wav").is_file()
    save(tiny(), tmp_path / "other.safetensors")
    assert main([*command, "--model", str(tmp_path / "other.safetensors"), *labels]) == 2
    assert "does not say where speech is" in capsys.readouterr().err


def stretches_of(path: Path) -> list[tuple[float, float]]:
    return [(float(row["start"]), float(row["end"])) for row in csv.DictReader(path.open())]


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_piped_stream_writes_the_table_of_the_file(tmp_path: Path, rate: int) -> None:
    save(loud_or_not(), tmp_path / "model.safetensors")
    network = str(tmp_path / "model.safetensors")
    wave = np.concatenate([burst(rate), burst(rate)[: 2 * rate]])
    soundfile.write(tmp_path / "in.wav", wave, rate)
    command = ["frcrn", "stream", str(tmp_path / "in.wav"), "--model", network, "--vad", str(tmp_path / "piped.csv")]
    clean = subprocess.run([sys.executable, "-m", *command], capture_output=True, check=True).stdout
    (tmp_path / "piped.wav").write_bytes(clean)
    assert soundfile.info(tmp_path / "piped.wav").frames == len(wave)
    whole = ["enhance", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--model", network]
    assert main([*whole, "--vad", str(tmp_path / "whole.csv"), "-q"]) == 0
    piped, expected = stretches_of(tmp_path / "piped.csv"), stretches_of(tmp_path / "whole.csv")
    assert len(expected) == 2
    assert_close(np.array(piped), np.array(expected), atol=0 if rate == 16000 else 0.05, rtol=0)


def test_a_stream_of_a_network_that_does_not_say_it_is_refused(tmp_path: Path) -> None:
    save(tiny(causal=True), tmp_path / "model.safetensors")
    command = ["frcrn", "stream", "-", "--model", str(tmp_path / "model.safetensors"), "--vad", str(tmp_path / "x.csv")]
    done = subprocess.run([sys.executable, "-m", *command], input=b"\0" * 640, capture_output=True, check=False)
    assert done.returncode == 2 and b"does not say where speech is" in done.stderr
    assert not (tmp_path / "x.csv").exists()


def test_a_program_in_c_labels_files_too(tmp_path: Path) -> None:
    if library.compiler() is None:
        pytest.skip("there is no C compiler")
    export_program(loud_or_not(), tmp_path / "program")
    soundfile.write(tmp_path / "in.wav", burst(), 16000)
    command = ["enhance", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "-q"]
    assert main([*command, "--model", str(tmp_path / "program"), "--vad", str(tmp_path / "labels.csv")]) == 0
    assert_close(np.array(stretches_of(tmp_path / "labels.csv")), np.array([[1.0, 2.0]]), atol=0.02, rtol=0)
