"""Where speech is: the stretches follow the network's probabilities, whatever the pieces."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
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
from frcrn.inference.pipes import pass_through
from frcrn.inference.voice_activity import probabilities, speech_in, stretches
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
    found = stretches(probabilities(model, [burst()[None]]), model.hop / 16000, 2.5)
    assert len(found) == 1
    assert_close(np.array(found[0][:2]), np.array([1.0, 2.0]), atol=2 * model.hop / 16000, rtol=0)


def test_probabilities_are_those_of_the_whole_wave() -> None:
    torch.manual_seed(0)
    model = RNNoise(RNNoiseConfig.tiny()).eval()
    wave = noise(300 * model.hop + 5)
    with torch.no_grad():
        whole = model(wave[None]).speech
    assert whole is not None
    got = probabilities(model, [wave.numpy()[None]])
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


@pytest.mark.parametrize("rate", [16000, 44100, 11025, 8000])
def test_a_piped_stream_writes_the_table_of_the_file(tmp_path: Path, rate: int) -> None:
    save(loud_or_not(), tmp_path / "model.safetensors")
    network = str(tmp_path / "model.safetensors")
    short = burst(rate)[rate - rate // 5 : rate + rate // 20]
    wave = np.concatenate([burst(rate), short, short, burst(rate)[: 2 * rate]])
    soundfile.write(tmp_path / "in.wav", wave, rate)
    command = ["frcrn", "stream", str(tmp_path / "in.wav"), "--model", network, "--vad", str(tmp_path / "piped.csv")]
    clean = subprocess.run([sys.executable, "-m", *command], capture_output=True, check=True).stdout
    (tmp_path / "piped.wav").write_bytes(clean)
    assert soundfile.info(tmp_path / "piped.wav").frames == len(wave)
    whole = ["enhance", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--model", network]
    assert main([*whole, "--vad", str(tmp_path / "whole.csv"), "-q"]) == 0
    piped, expected = stretches_of(tmp_path / "piped.csv"), stretches_of(tmp_path / "whole.csv")
    assert len(expected) == 4
    # above the network's rate the bands are split by a shorter filter than the one that files are resampled with
    assert_close(np.array(piped), np.array(expected), atol=0.011 if rate == 44100 else 0, rtol=0)


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


def labelled(folder: Path, *more: str) -> int:
    """Enhance with a table, by a network that is made where there is none yet."""
    if not (folder / "model.safetensors").exists():
        save(loud_or_not(), folder / "model.safetensors")
    model = ["--model", str(folder / "model.safetensors"), "--vad", str(folder / "labels.csv")]
    return main(["enhance", *more, *model])


def files_in(table: Path) -> list[str]:
    return [row["file"] for row in csv.DictReader(table.open())]


def test_a_table_has_the_recordings_of_the_run_once_each_and_goes_on_past_a_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("b.wav", burst(), 16000)
    Path("a.wav").write_text("no sound")
    for _ in range(2):
        assert labelled(tmp_path, "./", "b.wav", "missing.wav", "-o", "cleaned") == 2
        assert files_in(tmp_path / "labels.csv") == ["b.wav"]
        failures = Path("cleaned/failures.csv").read_text()
        assert "a.wav" in failures and "missing.wav" in failures and "b.wav" not in failures
    assert list(Path("cleaned").rglob("b.wav"))


def test_a_run_without_a_recording_leaves_the_table_of_another(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,start,end,speech\na.wav,0.000,1.000,0.900\n")
    assert labelled(tmp_path, str(tmp_path / "missing.wav"), "-o", str(tmp_path / "out.wav")) == 2
    assert files_in(tmp_path / "labels.csv") == ["a.wav"]


def test_force_replaces_what_is_no_table(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", burst(), 16000)
    (tmp_path / "labels.csv").write_text("my,own,notes\n")
    assert labelled(tmp_path, str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--force") == 0
    assert len(stretches_of(tmp_path / "labels.csv")) == 1


def test_a_table_beside_standard_output_leaves_the_sound_alone(tmp_path: Path) -> None:
    save(loud_or_not(), tmp_path / "model.safetensors")
    soundfile.write(tmp_path / "in.wav", burst(), 16000)
    command = ["frcrn", "enhance", "in.wav", "-o", "-", "--model", "model.safetensors", "--vad", "new/labels.csv"]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, check=True, cwd=tmp_path)
    assert soundfile.info(io.BytesIO(done.stdout)).frames == 40000 and len(done.stdout) == 80044
    assert len(stretches_of(tmp_path / "new/labels.csv")) == 1


@pytest.mark.parametrize("track", [1, 2])
def test_the_table_is_of_the_track_that_is_enhanced(track: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    sounds = [burst(), np.zeros(40000, np.float32)]
    with av.open(tmp_path / "two.mkv", "w") as film:
        streams = [film.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in sounds]
        for stream, sound in zip(streams, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), "s16", "mono")
            frame.rate = 16000
            film.mux([*stream.encode(frame), *stream.encode()])
    places = [str(tmp_path / "two.mkv"), "-o", str(tmp_path / "out.wav")]
    assert labelled(tmp_path, *places, "--track", str(track)) == 0
    assert len(stretches_of(tmp_path / "labels.csv")) == 2 - track


def test_a_long_recording_is_never_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loud(network: object, blocks: Iterable[np.ndarray]) -> np.ndarray:
        return np.array([np.abs(block).max(initial=0) > 0.01 for block in blocks], np.float32)

    monkeypatch.setattr("frcrn.inference.voice_activity.probabilities", loud)
    soundfile.write(tmp_path / "in.wav", np.tile(burst(192000), 4), 192000)
    tracemalloc.start()
    try:
        assert len(speech_in(loud_or_not(), tmp_path / "in.wav")) == 4
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_a_table_that_cannot_be_written_costs_no_sound(tmp_path: Path) -> None:
    sounds = []
    for vad in (None, str(tmp_path)):
        source, sink = io.BytesIO((burst() * 32767).astype("<i2").tobytes()), io.BytesIO()
        try:
            pass_through(loud_or_not(), source, sink, vad=vad)
        except IsADirectoryError as error:
            assert vad and error.filename == vad
        sounds.append(sink.getvalue())
    assert sounds[0] == sounds[1] and len(sounds[0]) > 80000
