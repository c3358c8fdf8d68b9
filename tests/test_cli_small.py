"""Small things of the command line that people trip over."""

from __future__ import annotations

import io
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import frcrn
from frcrn import audio
from frcrn.audio import AudioError
from frcrn.cli import main
from frcrn.cli.common import choose_threads, sentence

RATE = 16_000


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    wave = np.random.default_rng(0).uniform(-0.3, 0.3, (1, RATE)).astype(np.float32)
    audio.write(tmp_path / "noisy.flac", wave, RATE)
    return tmp_path / "noisy.flac"


def test_without_an_output_the_clean_file_lies_beside(noisy: Path) -> None:
    assert main(["enhance", str(noisy)]) == 0
    assert {path.name for path in noisy.parent.iterdir()} == {"noisy.flac", "noisy.clean.flac"}


def test_without_an_output_a_folder_gets_one_beside(noisy: Path) -> None:
    (noisy.parent / "in").mkdir()
    noisy.rename(noisy.parent / "in/a.flac")
    assert main(["enhance", str(noisy.parent / "in")]) == 0
    assert (noisy.parent / "in.clean/a.flac").is_file()


class Binary(io.TextIOWrapper):
    """A standard stream that holds bytes."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content))


def test_a_dash_is_standard_input_and_output(noisy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Binary()
    monkeypatch.setattr(sys, "stdin", Binary(noisy.read_bytes()))
    monkeypatch.setattr(sys, "stdout", sink)
    assert main(["enhance", "-", "-o", "-"]) == 0
    monkeypatch.undo()
    assert main(["enhance", str(noisy)]) == 0
    beside = audio.read(noisy.with_name("noisy.clean.flac"))
    through = audio.read(sink.buffer.getvalue())
    assert through.format == beside.format
    np.testing.assert_array_equal(through.samples, beside.samples)


def test_quiet_prints_errors_only(noisy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", str(noisy), "-q"]) == 0
    assert capfd.readouterr() == ("", "")
    assert main(["enhance", str(noisy.parent / "none.wav"), "-q"]) == 2
    assert "none.wav" in capfd.readouterr().err


def test_a_missing_cuda_device_is_named(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert main(["enhance", str(noisy), "--device", "cuda"]) == 2
    assert "torch finds no CUDA device" in capsys.readouterr().err


def test_a_wave_as_soundfile_reads_it_is_told_how_to_turn() -> None:
    with pytest.raises(AudioError, match=r"\(16000, 2\).*\.T"):
        frcrn.load().enhance(np.zeros((RATE, 2), np.float32), RATE)


def test_threads_follow_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("frcrn.machine.available_cores", lambda: 8)
    try:
        for load, threads in ((0.2, 4), (6.0, 2), (40.0, 1)):
            monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0, 0))
            choose_threads()
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("reader", [["sox", "-", "-n", "stat"], ["ffmpeg", "-i", "-", "-f", "null", "-"]])
def test_what_streams_out_is_understood_without_further_words(reader: list[str]) -> None:
    if shutil.which(reader[0]) is None:
        pytest.skip(f"needs the program {reader[0]}")
    stream = [sys.executable, "-m", "frcrn", "stream", "--runtime", "torch"]
    raw = (np.random.default_rng(0).uniform(-3000, 3000, RATE)).astype("<i2").tobytes()
    with (
        subprocess.Popen(stream, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as frcrn_run,
        subprocess.Popen(reader, stdin=frcrn_run.stdout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as other,
    ):
        frcrn_run.stdin.write(raw)
        frcrn_run.stdin.close()
        said = other.stdout.read().decode()
    assert other.returncode == 0 and ("16000" in said)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "--max-attenuation-db" in script and "balance" in script


def test_bash_completes(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    (tmp_path / "c").write_text(
        subprocess.check_output([sys.executable, "-m", "frcrn", "completion", "bash"], text=True)
    )
    asked = "source ./c; COMP_WORDS=(frcrn data mi); COMP_CWORD=2; _frcrn; echo ${COMPREPLY[@]}"
    assert subprocess.check_output(["bash", "-c", asked], text=True, cwd=tmp_path).split() == ["mix"]
    for name in ("my take.wav", "my other.wav"):
        (tmp_path / name).touch()
    asked = "source ./c; COMP_WORDS=(frcrn enhance my); COMP_CWORD=2; _frcrn; printf '%s\\n' \"${COMPREPLY[@]}\""
    found = subprocess.check_output(["bash", "-c", asked], text=True, cwd=tmp_path).splitlines()
    assert sorted(found) == ["my other.wav", "my take.wav"]


def test_zsh_completes(tmp_path: Path) -> None:
    """A terminal of its own shows what Tab makes of a command's beginning."""
    if shutil.which("zsh") is None:
        pytest.skip("needs zsh")
    script = subprocess.check_output([sys.executable, "-m", "frcrn", "completion", "zsh"], text=True)
    (tmp_path / "c").write_text(script)
    (tmp_path / "my take.wav").touch()
    ours, theirs = os.openpty()
    shown = b""

    def until(text: bytes) -> bool:
        nonlocal shown
        while text not in shown and select.select([ours], [], [], 10)[0]:
            shown += os.read(ours, 4096)
        return text in shown

    environment = os.environ | {"TERM": "dumb", "HOME": str(tmp_path)}
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(
        ["zsh", "-f", "-i"], cwd=tmp_path, env=environment, start_new_session=True, **terminal
    ) as shell:
        try:
            os.write(ours, b"autoload -Uz compinit && compinit -u -D; source ./c; echo rea''dy\n")
            assert until(b"ready\r")
            os.write(ours, b"frcrn data mi\t")
            assert until(b"frcrn data mix")
            os.write(ours, b"\x15frcrn enhance my\t")
            assert until(b"frcrn enhance my\\ take.wav")
        finally:
            shell.kill()
    os.close(ours)
    os.close(theirs)


def test_fish_completes(tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("needs fish")
    script = subprocess.check_output([sys.executable, "-m", "frcrn", "completion", "fish"], text=True)
    (tmp_path / "c.fish").write_text(script)
    environment = os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    def offered(line: str) -> list[str]:
        asked = ["fish", "-c", f"source c.fish; complete -C '{line}'"]
        return subprocess.check_output(asked, text=True, cwd=tmp_path, env=environment).split()

    assert offered("frcrn data mi") == ["mix"]
    assert offered("frcrn comple") == ["completion"]
    assert "--max-attenuation-db" in offered("frcrn enhance --max")
    assert "mix" not in offered("frcrn enhance ")


def test_a_page_of_advice_gives_way_to_what_was_wrong() -> None:
    advice = ImportError("IMPORTANT: READ THIS\n\nImporting failed.\n")
    advice.__cause__ = ImportError("libopenblas.so: failed to map segment from shared object")
    assert sentence(advice) == "libopenblas.so: failed to map segment from shared object"
    ours = ImportError('needs pip install "frcrn[serve]"')
    ours.__cause__ = advice.__cause__
    assert sentence(ours) == 'needs pip install "frcrn[serve]"'
