from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import frcrn
from frcrn import FRCRN, FRCRNConfig, audio
from frcrn.audio.sample import sample
from frcrn.cli import build_parser, main
from frcrn.cli.common import clock, compute_on_one_thread, progress_bar, sentence
from frcrn.models import checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(FRCRN(FRCRNConfig.tiny()).eval(), path)
    return str(path)


def store(path: Path, seconds: float = 0.2, rate: int = 16000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(0).uniform(-0.3, 0.3, (channels, int(seconds * rate)))
    audio.write(path, wave.astype(np.float32), rate)
    return path


def enhance(model: str, *arguments: str | Path) -> int:
    return main(["enhance", "--model", model, *map(str, arguments)])


def test_one_file(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = store(tmp_path / "noisy.flac", rate=44100, channels=2)
    assert enhance(model, noisy, "-o", tmp_path / "new" / "clean.flac") == 0
    before, after = audio.read(noisy), audio.read(tmp_path / "new" / "clean.flac")
    assert (after.samples.shape, after.rate, after.format) == (before.samples.shape, before.rate, before.format)
    expected = checkpoint.load(model).enhance(before.samples, 44100)
    np.testing.assert_allclose(after.samples, expected, atol=2**-15)
    said = capsys.readouterr()
    assert said.out == f"{noisy} -> {tmp_path / 'new' / 'clean.flac'}\n"
    assert said.err == ""


def test_options_reach_the_enhancer(tmp_path: Path, model: str) -> None:
    noisy = store(tmp_path / "noisy.wav", channels=2)
    settings = ["--strength", "0.7", "--max-attenuation-db", "12", "--residual", "--mono"]
    assert enhance(model, noisy, "-o", tmp_path / "clean.wav", *settings) == 0
    mono = audio.read(noisy).samples.mean(axis=0)
    expected = checkpoint.load(model).enhance(mono, strength=0.7, max_attenuation_db=12, residual=True)
    np.testing.assert_allclose(audio.read(tmp_path / "clean.wav").samples[0], expected, atol=2**-15)


def test_a_batch_goes_on_past_bad_files(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.wav", "deep/b.flac", "z.mp3"):
        store(tmp_path / "in" / name)
    good = (tmp_path / "in" / "a.wav").read_bytes()
    for name, content in {"cut.wav": good[:500], "empty.ogg": b"", "text.wav": b"words"}.items():
        (tmp_path / "in" / name).write_bytes(content)
    assert enhance(model, tmp_path / "in", tmp_path / "missing.wav", "-o", tmp_path / "out") == 2
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert made == ["failures.csv", "frcrn-manifest.jsonl", "in/a.wav", "in/deep/b.flac", "in/z.mp3"]
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    lines = said.err.splitlines()
    assert len(lines) == 5
    for name, reason in {"cut": "truncated", "empty": "is empty", "text": "text", "missing": "No such file"}.items():
        assert any(name in line and reason in line for line in lines)
    assert lines[-1].startswith("3 of 7 files enhanced, 4 failed; the reasons are in ")


def test_running_twice_gives_the_same(tmp_path: Path, model: str) -> None:
    store(tmp_path / "in" / "a.wav")
    results = []
    for _ in range(2):
        assert enhance(model, tmp_path / "in", "-o", tmp_path / "in" / "out") == 0
        results.append({path: path.read_bytes() for path in tmp_path.rglob("*.wav")})
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.wav", "-o", "out.wav"], "none.wav: cannot be read: No such file or directory"),
        ([".", "-o", "file.txt"], "file.txt: is a file; several files or a folder need a folder to go to"),
        (["good.wav", "nan.wav", "-o", "both.wav"], "both.wav: names a file; several files or a folder go to a folder"),
        ([".", "-o", "all.wav"], "all.wav: names a file"),
        (["good.wav", "-o", "out.xyz"], "out.xyz: the extension .xyz does not say which audio format to write"),
        (["good.wav", "-o", "file.txt/out.wav"], "file.txt/out.wav: "),
        (["good.wav", "-o", "out.wav", "--strength", "3"], "strength 3.0: accepted are numbers from 0 to 1"),
        (["good.wav", "-o", "out.wav", "--model", "nothing"], "nothing: no such model"),
        (["good.wav", "-o", "/dev/full"], "/dev/full: cannot be written: No space left on device"),
        (["nan.wav", "-o", "out.wav"], "nan.wav: sample 5 (0.000 s) of channel 0 is nan"),
        (["empty", "-o", "out"], "empty: no audio files in this folder"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path,
    model: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "good.wav")
    (tmp_path / "file.txt").write_text("words")
    (tmp_path / "empty").mkdir()
    wave = np.zeros(100, np.float32)
    wave[5] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, 16000, subtype="FLOAT")
    present = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert enhance(model, *arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"frcrn: {message}" if "file.txt/" not in message else "frcrn: ")
    assert len(said.err.splitlines()) == 1
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == present


def test_repair(tmp_path: Path, model: str) -> None:
    noisy = store(tmp_path / "noisy.wav", seconds=1)
    noisy.write_bytes(noisy.read_bytes()[:9044])
    assert enhance(model, noisy, "-o", tmp_path / "clean.wav", "--repair") == 0
    assert audio.read(tmp_path / "clean.wav").samples.shape == (1, 4500)


def test_an_interruption_is_130(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("frcrn.inference.enhance.enhance_file", interrupted)
    assert enhance(model, store(tmp_path / "a.wav"), "-o", tmp_path / "b.wav") == 130


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    noisy = store(tmp_path / "noisy.wav", seconds=600)
    command = [sys.executable, "-m", "frcrn", "enhance", str(noisy), "-o", str(tmp_path / "clean.wav")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".clean.wav.*.part")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["noisy.wav"]


def test_a_reader_that_leaves_is_no_error() -> None:
    """The module is the program, and a closed pipe at its end is nothing to complain about."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "frcrn", "info"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["unknown"], ["enhance", "--strength"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
        assert "usage: frcrn" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["data"]])
def test_a_bare_command_shows_its_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "usage: frcrn" in capsys.readouterr().out


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


@pytest.mark.parametrize("parser", [pytest.param(parser, id=parser.prog) for parser in parsers(build_parser())])
def test_help_explains_every_command_and_option(parser: argparse.ArgumentParser) -> None:
    assert parser.description
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help, action
        valued = action.nargs != 0 and not action.required and action.default not in (None, [], "", argparse.SUPPRESS)
        assert not valued or "default: " in action.help, (action.option_strings or action.dest, action.help)
        if valued and type(action.default) in (int, float) and action.default < float("inf"):
            assert f"default: {action.default}" in action.help
        if "-o" in action.option_strings:
            assert action.option_strings == ["-o", "--output"]


def test_the_old_spelling_of_output_still_works() -> None:
    assert build_parser().parse_args(["evaluate", "--data", "pairs", "--out", "report"]).output == Path("report")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"frcrn {frcrn.__version__}\n"


def test_info(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", model, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    network = checkpoint.load(model)
    assert facts["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert facts["latency_ms"] == 1000 * network.latency / network.sample_rate
    assert main(["info", model]) == 0
    table = capsys.readouterr().out
    for fact in ("sample_rate", "16000", "window", str(network.window), "causal", "yes"):
        assert fact in table
    rows = [line for line in table.splitlines() if "channels" in line and "kernel" in line]
    assert len(rows) == len(network.config.levels)
    assert all("[" not in row and "{" not in row for row in rows)


def test_demo(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["demo", "-o", str(tmp_path / "demo"), "--model", model]) == 0
    said = capsys.readouterr().out
    for name in ("noisy.wav", "enhanced.wav", "before_after.png"):
        assert str(tmp_path / "demo" / name) in said
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == sorted(
        ["noisy.wav", "enhanced.wav", "before_after.png"]
    )
    assert (tmp_path / "demo" / "before_after.png").read_bytes().startswith(b"\x89PNG")
    noisy = sample().samples
    np.testing.assert_allclose(
        audio.read(tmp_path / "demo" / "enhanced.wav").samples, checkpoint.load(model).enhance(noisy), atol=2**-15
    )


@pytest.mark.parametrize("name", ["noisy.wav", "enhanced.wav", "before_after.png"])
def test_the_demo_follows_no_link(tmp_path: Path, model: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "demo").mkdir()
    audio.write(tmp_path / "demo" / "noisy.wav", sample().samples, sample().rate)
    (tmp_path / "demo" / name).unlink(missing_ok=True)
    for target in ("../mine", "../nothing"):
        (tmp_path / "demo" / name).symlink_to(target)
        assert main(["demo", "-o", str(tmp_path / "demo"), "--model", model]) == 2
        assert "is a link" in capsys.readouterr().err
        (tmp_path / "demo" / name).unlink()
    assert (tmp_path / "mine").read_text() == "precious" and not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("trained", [True, False])
def test_the_demo_says_when_weights_are_untrained(
    tmp_path: Path, trained: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(FRCRN(FRCRNConfig.tiny()).eval(), path, trained=trained)
    assert main(["demo", "-o", str(tmp_path), "--model", str(path)]) == 0
    assert ("untrained" in capsys.readouterr().out) != trained


def test_the_sample_is_speech_in_noise() -> None:
    clean, noisy = sample("clean"), sample("noisy")
    assert clean.rate == noisy.rate == 16000
    assert clean.samples.shape == noisy.samples.shape
    noise = noisy.samples - clean.samples
    ratio = 10 * np.log10(np.mean(np.square(clean.samples)) / np.mean(np.square(noise)))
    assert ratio == pytest.approx(5, abs=0.1)
    assert np.abs(noisy.samples).max() < 1


def test_errors_name_their_file() -> None:
    assert sentence(FileNotFoundError(2, "No such file or directory", "x.json")) == "x.json: No such file or directory"
    assert sentence(ValueError("two\n lines")) == "two lines"
    assert sentence(ValueError()) == "ValueError"


@pytest.mark.parametrize("watched", [True, False])
def test_progress_is_drawn_only_where_a_person_watches(
    watched: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)
    with progress_bar(4, "file") as update:
        update(1)
    drawn = capsys.readouterr().err
    assert ("file [#######" in drawn) == watched


def test_the_bar_says_the_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From what was worked on: what was done before took no time."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(100, "") as bar:
        bar.skip(50)
        bar.note = "3 of 4 files,"
        now = 130.0
        bar(60)
    assert "60% 3 of 4 files, 2:00 left" in capsys.readouterr().err
    assert [clock(seconds) for seconds in (0.4, 59.6, 3725)] == ["0:00", "1:00", "1:02:05"]


@pytest.mark.parametrize(("given", "threads"), [(None, 1), ("3", 3)])
def test_scoring_leaves_the_other_cores_alone(given: str | None, threads: int, monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    try:
        torch.set_num_threads(3)
        compute_on_one_thread()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
