"""Closed standard streams, narrow terminals and terminals that go away spoil nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frcrn import audio
from frcrn.cli import main
from frcrn.cli.common import Bar
from frcrn.cli.signals import terminable
from tests.made_audio import save, speech
from tests.strange_audio import made


def test_without_standard_streams_files_are_still_right(tmp_path: Path) -> None:
    """What the decoder of MP3 complains of went into the file that had got the number of standard errors."""
    (tmp_path / "in.mp3").write_bytes(
        made("MP3", "MPEG_LAYER_III", 44_100, 2, 20_000)[:-100] + b"\xff\xfb\x90\x04" * 90
    )
    command = f"exec {sys.executable} -m frcrn enhance in.mp3 -o $0 --repair"
    for closing, name in (("", "with.wav"), ("<&- >&- 2>&-", "without.wav")):
        subprocess.run(["/bin/sh", "-c", f"{command} {closing}", name], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "with.wav").read_bytes() == (tmp_path / "without.wav").read_bytes()
    assert audio.read(tmp_path / "with.wav").samples.shape[1] > 15_000


@pytest.mark.parametrize("columns", [1, 20, 200])
def test_a_line_of_progress_fits_into_its_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 10, columns, 0, 0))
    with os.fdopen(side, "w") as errors, os.fdopen(terminal, "rb", buffering=0) as seen:
        monkeypatch.setattr(sys, "stderr", errors)
        Bar(1, "a\x1b[31m" + 30 * "long name ")(0.5)
        drawn = seen.read(1 << 16).decode()
    assert drawn.startswith("\r\x1b[K") and "\x1b" not in drawn[4:] and len(drawn) - 4 <= columns - 1
    assert (len(drawn) == 4 + 199) == (columns == 200)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_closes_is_left_in_order(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # whoever started the tests may have had it ignored
    try:
        with pytest.raises(SystemExit) as left, terminable():
            os.kill(os.getpid(), number)
            time.sleep(10)
        assert left.value.code == 128 + number and signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


@contextmanager
def importing(folder: Path, work: str, swallows: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run a command that imports something for half a second, and does this work then; begin when it imports."""
    pause = "try:\n    time.sleep(0.5)\nexcept BaseException:\n    pass\n" if swallows else "time.sleep(0.5)\n"
    (folder / "deaf.py").write_text(f"import time\nprint('importing', flush=True)\n{pause}")
    program = (
        f"import argparse, queue, sys, time\nfrom frcrn import cli\nfrom frcrn.cli.signals import noted_signals\n{work}"
    )
    program += "cli.build_parser = lambda: argparse.ArgumentParser()\n"
    program += "argparse.ArgumentParser.parse_args = lambda *_: argparse.Namespace(run=run)\nsys.exit(cli.main([]))"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "importing\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallows", [True, False])
def test_an_import_that_swallows_an_interrupt_is_waited_for(
    number: signal.Signals, swallows: bool, tmp_path: Path
) -> None:
    """As the start of numpy.random does, at some moments."""
    with importing(tmp_path, "def run(args):\n    import deaf\n    queue.SimpleQueue().get()\n", swallows) as process:
        process.send_signal(number)
        assert process.wait(60) == 128 + number


def test_a_signal_within_an_import_is_heard_by_whoever_hears_signals_after_it(tmp_path: Path) -> None:
    work = "def run(args):\n    import deaf\n    with noted_signals() as came:\n"
    work += "        while not came:\n            time.sleep(0.01)\n        return 40 + came[0]\n"
    with importing(tmp_path, work) as process:
        time.sleep(0.45)  # so that the import is over when the signal comes again
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 40 + signal.SIGTERM


def test_a_signal_that_code_takes_for_an_error_of_its_own_is_none(tmp_path: Path) -> None:
    """As what reads weights does."""
    work = "def run(args):\n    print('importing', flush=True)\n    try:\n        time.sleep(60)\n"
    work += "    except SystemExit as error:\n        raise ValueError('the file is damaged') from error\n"
    with importing(tmp_path, work) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert process.stderr is not None and process.stderr.read() == ""


def test_what_is_to_survive_its_terminal_does(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("arguments", [["", "-o", "out"], ["a.wav", "-o", ""], [""], ["a.wav", "", "-o", "out/"]])
def test_an_empty_name_is_not_the_working_folder(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.wav", speech(0.1, 1))
    assert main(["enhance", *arguments]) == 2
    assert capsys.readouterr().err.startswith("frcrn: an empty name")
    assert os.listdir(tmp_path) == ["a.wav"]


def test_too_little_memory_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def large(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("frcrn.inference.paths.plan", large)
    path = save(tmp_path / "a.wav", speech(0.1, 1))
    assert main(["enhance", str(path), "-o", str(tmp_path / "b.wav")]) == 2
    assert capsys.readouterr().err == "frcrn: Unable to allocate 9 GiB\n"
