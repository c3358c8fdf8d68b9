"""Folders: what is done stays done, what changed is done again, and no interruption leaves anything half-done."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from frcrn import FRCRN, FRCRNConfig, audio
from frcrn.audio import AudioError
from frcrn.cli import main
from frcrn.files import replacing, sweep
from frcrn.inference.folder import enhance_folder, mark_of, processes_for, run, tasks
from frcrn.inference.manifest import NAME, Manifest
from frcrn.inference.one_file import Outcome, Settings
from frcrn.inference.paths import Job, plan
from frcrn.models import checkpoint
from frcrn.texts import digest
from frcrn.threads import Threads
from tests.marks import slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(FRCRN(FRCRNConfig.tiny()).eval(), path)
    return path


def store(path: Path, seconds: float = 0.2, rate: int = 16000, seed: int = 0, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(seed).uniform(-0.3, 0.3, (channels, int(seconds * rate)))
    audio.write(path, wave.astype(np.float32), rate)
    return path


def folder(root: Path, count: int = 6, seconds: float = 0.2) -> Path:
    for number in range(count):
        store(root / f"room{number % 2}" / f"{number:03}.wav", seconds, seed=number)
    return root


def frcrn(model: Path, *arguments: str | Path) -> int:
    return main(["enhance", "--model", str(model), *map(str, arguments)])


def reports(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, str], dict[str, float]]:
    """What `--json` said: each file's status, and the summary."""
    *files, last = map(json.loads, capsys.readouterr().out.splitlines())
    return {Path(file["source"]).name: file["status"] for file in files}, last["summary"]


def audio_in(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.wav"))}


def leftovers(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.name.endswith(".part")]


def test_a_tree_of_every_kind(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, formats, rates and channels stay."""
    kinds = {"a.wav": (16000, 1), "deep/b.flac": (44100, 2), "deep/er/c.mp3": (48000, 1), "näme [1].ogg": (8000, 1)}
    for name, (rate, channels) in kinds.items():
        store(tmp_path / "in" / name, rate=rate, channels=channels)
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    out = tmp_path / "out"
    assert frcrn(model, tmp_path / "in", "-o", out, "--jobs", "1") == 0
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {*kinds, NAME}
    for name in kinds:
        before, after = audio.read(tmp_path / "in" / name), audio.read(out / name)
        assert (before.samples.shape, before.rate, before.format) == (after.samples.shape, after.rate, after.format)
    assert "4 of 4 files enhanced, 0 failed\n" in capsys.readouterr().out


def test_a_second_run_does_only_what_changed(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder(tmp_path / "in", 4), tmp_path / "out"

    def again(*options: str) -> tuple[list[str], int]:
        assert frcrn(model, source, "-o", out, "--json", "--jobs", "1", *options) == 0
        files, summary = reports(capsys)
        assert summary["files"] == len(files) == summary["enhanced"] + summary["done_before"]
        return sorted(name for name, status in files.items() if status == "enhanced"), int(summary["done_before"])

    names = [f"{number:03}.wav" for number in range(4)]
    assert again() == (names, 0)
    first = audio_in(out)
    assert again() == ([], 4)
    stat = os.stat(source / "room0/000.wav")
    store(source / "room0/000.wav", seed=77)  # another sound of the same size and age
    os.utime(source / "room0/000.wav", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (out / "room1/001.wav").unlink()
    store(source / "new.wav")
    assert again() == (["000.wav", "001.wav", "new.wav"], 2)
    changed = {name for name, content in audio_in(out).items() if first.get(name) != content}
    assert changed == {"room0/000.wav", "new.wav"}
    assert again("--strength", "0.5") == ([*names, "new.wav"], 0)
    assert again("--strength", "0.5") == ([], 5)
    assert again("--strength", "0.5", "--force") == ([*names, "new.wav"], 0)


def test_another_model_does_everything_again(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The weights count, not where they lie."""
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(model.read_bytes())
    assert frcrn(model, source, "-o", out) == 0
    capsys.readouterr()
    assert frcrn(moved, source, "-o", out, "--json") == 0
    assert reports(capsys)[1]["done_before"] == 2
    network = checkpoint.load(model)
    next(network.parameters()).data.mul_(1.5)
    checkpoint.save(network, moved)
    assert frcrn(moved, source, "-o", out, "--json") == 0
    assert reports(capsys)[1]["enhanced"] == 2


def test_failures_are_listed_with_reasons(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    (source / "bad, name.wav").write_bytes(b"words")
    assert frcrn(model, source, "-o", out) == 2
    assert sorted(audio_in(out)) == ["room0/000.wav", "room1/001.wav"]
    said = capsys.readouterr().err
    assert said.count("bad, name.wav: found text") == 1 and "Traceback" not in said
    with (out / "failures.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["source"], row["target"]) == (str(source / "bad, name.wav"), str(out / "bad, name.wav"))
    assert "found text; accepted are wav" in row["reason"]
    store(source / "bad, name.wav")
    assert frcrn(model, source, "-o", out) == 0
    assert not (out / "failures.csv").exists()


def test_each_failure_is_named_once(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(21):
        (tmp_path / f"{number:02}.wav").write_bytes(b"words")
    assert frcrn(model, tmp_path, "-o", tmp_path / "out", "--jobs", "1") == 2
    lines = capsys.readouterr().err.splitlines()
    summary = next(place for place, line in enumerate(lines) if line.startswith("0 of 21 files enhanced, 21 failed"))
    assert summary == 21 and len(lines) == 22 and len(set(lines)) == 22


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path / "in", 2)
    (source / "room0/000.wav").chmod(0)
    assert frcrn(model, source, "-o", tmp_path / "out") == 2
    assert "Permission denied" in capsys.readouterr().err


def test_a_file_that_is_gone_is_named(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link that leads nowhere is among the files of a folder, and unreadable even for root."""
    source = folder(tmp_path / "in", 2)
    (source / "gone.wav").symlink_to("nowhere.wav")
    assert frcrn(model, source, "-o", tmp_path / "out") == 2
    assert "gone.wav: cannot be read: No such file" in capsys.readouterr().err


def test_two_inputs_of_one_name(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [store(tmp_path / name / "a.wav", seed=seed) for seed, name in enumerate("xy")]
    assert frcrn(model, *sources, "-o", tmp_path / "out") == 2
    assert "is already taken by" in capsys.readouterr().err
    expected = checkpoint.load(model).enhance(audio.read(sources[0]).samples)
    np.testing.assert_allclose(audio.read(tmp_path / "out/a.wav").samples, expected, atol=2**-15)


def test_inputs_are_left_alone(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path / "in", 3)
    before = audio_in(source)
    inside = source / "room0"
    for arguments in ([source, "-o", source], [inside / "000.wav", "-o", inside], [*inside.iterdir(), "-o", inside]):
        assert frcrn(model, *arguments) == 2
    assert audio_in(source) == before
    assert len(list(source.rglob("*"))) == 5
    assert "which is never written over" in capsys.readouterr().err


def test_a_list_names_the_files(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "in", 4)
    lines = "".join(f"{path}\n" for path in sorted(source.rglob("*.wav"))[:3])
    (tmp_path / "list.txt").write_text(lines)
    assert frcrn(model, "--from-file", tmp_path / "list.txt", "-o", tmp_path / "out") == 0
    assert sorted(audio_in(tmp_path / "out")) == ["room0/000.wav", "room0/002.wav", "room1/001.wav"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert frcrn(model, "--from-file", "-", "-o", tmp_path / "out") == 0
    assert "3 done before" in capsys.readouterr().out
    (tmp_path / "list.txt").write_text("\n")
    assert frcrn(model, "--from-file", tmp_path / "list.txt", "-o", tmp_path / "out") == 2
    assert frcrn(model, "--from-file", tmp_path / "none.txt", "-o", tmp_path / "out") == 2
    assert "nothing to enhance" in capsys.readouterr().err


def test_a_rehearsal_touches_nothing(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    assert frcrn(model, source, "-o", out, "--dry-run") == 0
    said = capsys.readouterr().out
    assert said.count("would enhance: ") == 2
    assert re.search(r"would enhance 2 of 2 files, 0\.\d minutes of audio, 0 would fail\n$", said)
    assert not out.exists()
    assert frcrn(model, source, "-o", out) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    (source / "gone.wav").symlink_to("nowhere.wav")
    (source / "room0/000.wav").write_bytes(b"words")
    audio.write(source / "room0/002.wav", np.zeros((1, 8000), np.float32), 16000)
    assert frcrn(model, source, "-o", out, "--dry-run", "--json") == 2
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert {Path(file["source"]).name: file["status"] for file in said} == {
        "gone.wav": "would fail",
        "000.wav": "would fail",
        "001.wav": "done before",
        "002.wav": "would enhance",
    }
    assert {Path(file["source"]).name: file["seconds"] for file in said if file["seconds"]} == {"002.wav": 0.5}
    assert all("\n" not in file["error"] and file["source"] in file["error"] for file in said if file["error"])
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def start(model: Path, source: Path, out: Path, jobs: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "frcrn", "enhance", str(source), "-o", str(out), "-m", str(model), "-j", str(jobs)]
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # in the background too
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=heard
    )


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not there():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def noted(out: Path) -> int:
    return len(Manifest(out).records)


FILES = 100
"""So many that a run is not over before it can be interrupted."""


@pytest.mark.parametrize("jobs", [slow(1), 2])
@pytest.mark.parametrize("number", [signal.SIGINT, slow(signal.SIGKILL)])
def test_an_interruption_costs_only_what_was_in_work(
    tmp_path: Path, model: Path, number: signal.Signals, jobs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = folder(tmp_path / "in", FILES, seconds=0.5), tmp_path / "out"
    process = start(model, source, out, jobs)
    wait_for(lambda: noted(out) >= 2, process)
    process.send_signal(number)
    said = process.communicate()
    count = noted(out)
    assert 2 <= count < FILES
    if number == signal.SIGINT:
        assert process.returncode == 130 and "Traceback" not in said[1]
        assert "give the same command again to go on" in said[1]
        assert leftovers(out) == []
    else:
        assert process.returncode == -number
        (out / "room0/.000.wav.0123abcd.part").write_bytes(b"half")
    assert frcrn(model, source, "-o", out, "--json", "--jobs", "1") == 0
    _, summary = reports(capsys)
    assert summary["done_before"] == count and summary["enhanced"] == FILES - count
    assert leftovers(out) == []
    network = checkpoint.load(model).optimize()
    for name in ("room0/000.wav", "room1/011.wav"):
        expected = network.enhance(audio.read(source / name).samples)
        np.testing.assert_allclose(audio.read(out / name).samples, expected, atol=2**-15)


def helpers() -> list[psutil.Process]:
    """Return our processes that enhance; other tests may have left some of their own."""
    return [child for child in psutil.Process().children() if "frcrn.inference" in " ".join(child.cmdline())]


def test_a_process_that_dies_costs_one_file(tmp_path: Path, model: Path) -> None:
    """And what a file is refused for comes back from the process as it was."""
    source, out = folder(tmp_path / "in", 8, seconds=0.5), tmp_path / "out"
    store(source / "first.wav", seconds=0.6)
    (source / "bad.wav").write_bytes(b"words")
    errors: list[Exception] = []
    for number, outcome in enumerate(run(tasks(plan([source], out), "", None), Settings(str(model)), count=2)):
        if number == 0:
            helpers()[0].kill()
        errors += [outcome.error] if outcome.error else []
    said = {str(error) for error in errors if "SIGKILL" not in str(error)}
    assert len(errors) == 2 and len(audio_in(out)) == 8
    assert {type(error) for error in errors} == {RuntimeError, AudioError}
    assert len(said) == 1 and "bad.wav: found text; accepted are" in said.pop()


@pytest.mark.parametrize("noted", [True, slow(False)])
def test_what_a_killed_process_left_is_removed(noted: bool, tmp_path: Path, model: Path) -> None:
    sources = [store(tmp_path / f"in/{name}.wav", seconds=120) for name in "ab"]
    work = tasks(plan(sources, tmp_path / "out"), "", Manifest(tmp_path / "out") if noted else None)
    killed: list[str] = []

    def kill() -> None:
        while not leftovers(tmp_path):
            time.sleep(0.01)
        killed.extend(leftovers(tmp_path))
        for child in helpers():
            child.kill()

    with Threads(1) as threads:
        threads.submit(kill)
        outcomes = list(run(work, Settings(str(model)), count=2))
    assert killed and any("SIGKILL" in str(outcome.error) for outcome in outcomes)
    assert leftovers(tmp_path) == []


def test_two_runs_do_not_share_a_folder(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    with Manifest(out):
        assert frcrn(model, source, "-o", out) == 2
    assert "another run is writing here" in capsys.readouterr().err
    assert frcrn(model, source, "-o", out) == 0


@pytest.mark.parametrize(("first", "second"), [("out", "out/sub"), ("out/sub", "out")])
def test_two_runs_into_a_folder_and_one_in_it_do_not_make_the_same_file(
    first: str, second: str, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl")
    store(tmp_path / "a.wav"), store(tmp_path / "in/out/sub/a.wav"), store(tmp_path / "in/out/b.wav")
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "in" / second
    with Manifest(tmp_path / first) as other:
        other.plan(tmp_path / "out/sub/b.wav")
        assert enhance_folder(source, second, model=str(model), jobs=1)[0].error is None
        (tmp_path / "out/sub/a.wav").unlink()
        other.plan(tmp_path / "out/sub/a.wav")
        with pytest.raises(ValueError, match="out/sub/a.wav: another run into .* is making it"):
            enhance_folder(source, second, model=str(model), jobs=1)
    assert not (tmp_path / "out/sub/a.wav").exists()
    assert all(outcome.error is None for outcome in enhance_folder(source, second, model=str(model), jobs=1))


def test_a_torn_or_foreign_line_costs_one_record(tmp_path: Path, model: Path) -> None:
    source, out = folder(tmp_path / "in", 3), tmp_path / "out"
    assert frcrn(model, source, "-o", out) == 0
    lines = (out / NAME).read_text().splitlines(keepends=True)
    (out / NAME).write_text("[]\nnull\nwords\n" + "".join(lines)[:-20])
    assert noted(out) == 2
    assert frcrn(model, source, "-o", out) == 0
    assert noted(out) == 3


def test_only_what_belongs_to_the_jobs_is_swept(tmp_path: Path) -> None:
    names = [".a.wav.0123abcd.part", ".b.wav.0123abcd.part", ".a.wav.part", "a.wav"]
    for name in names:
        (tmp_path / name).touch()
    sweep([tmp_path / "a.wav", tmp_path / "none" / "a.wav"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_what_another_run_is_writing_is_not_swept(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.wav") as beside:
        beside.with_suffix(".tags").touch()
        sweep([tmp_path / "a.wav"])
        assert beside.exists() and beside.with_suffix(".tags").exists()
        beside.with_suffix(".tags").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_file_that_no_run_made_stays(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path / "noisy/a.wav"), store(tmp_path / "noisy/b.wav")
    other = store(tmp_path / "clean/a.wav", seed=1)
    before = other.read_bytes()
    for dry in (["--dry-run"], []):
        assert frcrn(model, tmp_path / "noisy", "-o", tmp_path / "clean", *dry) == 2
        error = capsys.readouterr().err
        assert "a.wav: is there already, and not from an earlier run on this recording; --force" in error
        assert other.read_bytes() == before
    assert frcrn(model, tmp_path / "noisy", "-o", tmp_path / "clean", "--force") == 0
    assert other.read_bytes() != before
    assert frcrn(model, tmp_path / "noisy", "-o", tmp_path / "clean", "--strength", "0.5") == 0


def test_a_result_is_not_replaced_by_that_of_another_recording(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = store(tmp_path / "monday/a.wav"), store(tmp_path / "tuesday/a.wav", seed=1)
    assert frcrn(model, one.parent, "-o", tmp_path / "clean") == 0
    before = (tmp_path / "clean/a.wav").read_bytes()
    assert frcrn(model, two.parent, "-o", tmp_path / "clean") == 2
    assert "a.wav: is there already, and not from an earlier run on this recording; --force" in capsys.readouterr().err
    assert (tmp_path / "clean/a.wav").read_bytes() == before
    one.parent.rename(tmp_path / "moved")  # a corpus may be moved, and changed
    assert frcrn(model, two.parent, "-o", tmp_path / "clean") == 0
    assert (tmp_path / "clean/a.wav").read_bytes() != before
    assert frcrn(model, tmp_path / "moved", "-o", tmp_path / "clean", "--force") == 0
    assert (tmp_path / "clean/a.wav").read_bytes() == before


def test_a_file_of_a_run_that_was_killed_before_its_record_is_made_again(tmp_path: Path, model: Path) -> None:
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    assert frcrn(model, source, "-o", out) == 0
    lines = (out / NAME).read_text().splitlines(keepends=True)
    (out / NAME).write_text("".join(lines[:-1]))
    assert frcrn(model, source, "-o", out) == 0
    assert noted(out) == 2


@pytest.mark.parametrize("change", ["nothing", "options", "source"])
def test_a_result_that_somebody_edited_stays(
    change: str, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    assert frcrn(model, source, "-o", out) == 0
    edited = store(out / "room0/000.wav", seed=5).read_bytes()
    options = ["--strength", "0.5"] if change == "options" else []
    if change == "source":
        store(source / "room0/000.wav", seed=9)
    for more in (["--dry-run"], [], []):
        assert frcrn(model, source, "-o", out, *options, *more) == 2
        assert "000.wav: was changed since an earlier run made it; remove it, or --force" in capsys.readouterr().err
        assert (out / "room0/000.wav").read_bytes() == edited
    (out / "room0/000.wav").unlink()
    assert frcrn(model, source, "-o", out, *options) == 0


def test_a_file_of_the_name_of_one_that_failed_is_not_ours(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    (source / "bad.wav").write_bytes(b"no sound")
    assert frcrn(model, source, "-o", out) == 2
    mine = store(out / "bad.wav", seed=3).read_bytes()
    store(source / "bad.wav", seed=4)
    assert frcrn(model, source, "-o", out) == 2
    assert "bad.wav: is there already, and not from an earlier run" in capsys.readouterr().err
    assert (out / "bad.wav").read_bytes() == mine


def test_a_file_of_the_name_of_one_that_was_not_reached_is_not_ours(tmp_path: Path) -> None:
    for _ in range(2):
        with Manifest(tmp_path) as manifest:
            manifest.plan(tmp_path / "a.wav")
    store(tmp_path / "a.wav")
    assert not Manifest(tmp_path).is_ours(tmp_path / "a.wav")


def test_a_run_with_other_options_that_was_killed_goes_on(tmp_path: Path, model: Path) -> None:
    """The result has been replaced, and its record was not."""
    source, out = folder(tmp_path / "in", 1), tmp_path / "out"
    assert frcrn(model, source, "-o", out) == frcrn(model, source, "-o", out, "--strength", "0.5") == 0
    lines = (out / NAME).read_text().splitlines(keepends=True)
    (out / NAME).write_text("".join(lines[:-1]))
    assert frcrn(model, source, "-o", out, "--strength", "0.5") == 0


def test_a_project_that_is_moved_knows_its_sources(tmp_path: Path, model: Path) -> None:
    store(tmp_path / "one/in/a.wav"), store(tmp_path / "elsewhere/b.wav"), store(tmp_path / "other/a.wav", seed=1)
    assert frcrn(model, tmp_path / "one/in/a.wav", tmp_path / "elsewhere/b.wav", "-o", tmp_path / "one/out") == 0
    assert str(tmp_path / "one") not in (tmp_path / "one/out" / NAME).read_text()
    (tmp_path / "one").rename(tmp_path / "two")
    records = Manifest(tmp_path / "two/out").records
    assert records["a.wav"].origin == "../in/a.wav" and records["b.wav"].origin == str(tmp_path / "elsewhere/b.wav")
    assert frcrn(model, tmp_path / "other", "-o", tmp_path / "two/out") == 2


def test_two_recordings_do_not_become_one_through_a_link_in_the_output(tmp_path: Path, model: Path) -> None:
    store(tmp_path / "in/a/x.wav"), store(tmp_path / "in/b/x.wav", seed=1)
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/b").symlink_to("a")
    assert frcrn(model, tmp_path / "in", "-o", tmp_path / "out") == 2


@pytest.mark.parametrize("inputs", [["a.wav", "a.clean.wav"], ["*.wav"], ["a", "a.clean"]])
def test_without_an_output_no_input_is_written_over(
    inputs: list[str], tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = "x.wav" if inputs[0] == "a" else ""
    other = store(tmp_path / (inside and "a.clean" or "a.clean.wav") / inside, seed=1)
    before = other.read_bytes()
    store(tmp_path / (inside and "a" or "a.wav") / inside)
    for force in ([], ["--force"]):
        assert frcrn(model, *inputs, *force) == 2
        assert other.read_bytes() == before


def test_without_an_output_a_pattern_that_matches_nothing_is_said(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frcrn(model, tmp_path / "none*.wav") == 2
    assert "none*.wav: no audio files match this pattern" in capsys.readouterr().err


def test_without_an_output_a_file_that_is_there_is_replaced_by_force_only(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy, other = store(tmp_path / "a.wav"), store(tmp_path / "a.clean.wav", seed=1)
    before = other.read_bytes()
    assert frcrn(model, noisy) == 2
    assert "a.clean.wav: is there already; --force replaces it, and -o names another file" in capsys.readouterr().err
    assert other.read_bytes() == before
    assert frcrn(model, noisy, "--force") == 0
    assert other.read_bytes() != before


def enhancing(jobs: Sequence[Job], settings: Settings) -> list[Outcome]:
    return list(run(tasks(jobs, mark_of({}), None), settings))


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def enhance(source: Path, target: Path, **_: object) -> None:
        if source.name == "bad":
            raise KeyError("out of luck")
        done.append(source.name)

    monkeypatch.setattr("frcrn.inference.enhance.enhance_file", enhance)
    jobs = [Job(Path(name), tmp_path / name, problem) for name, problem in [("bad", None), ("x", "no"), ("good", None)]]
    outcomes = enhancing(jobs, Settings(str(model)))
    assert [str(outcome.error) for outcome in outcomes] == ["KeyError: 'out of luck'", "no", "None"]
    assert done == ["good"]


def test_a_folder_from_python(tmp_path: Path, model: Path) -> None:
    source, out = folder(tmp_path / "in", 3), tmp_path / "out.d"
    (alone,) = enhance_folder(source / "room0/000.wav", tmp_path / "one.d", model=str(model))
    assert alone.job.target == tmp_path / "one.d/000.wav" and alone.error is None
    (source / "a bad one.wav").write_bytes(b"words")
    seen: list[tuple[int, int]] = []
    outcomes = enhance_folder(source, out, progress=lambda *done: seen.append(done), model=str(model), strength=0.5)
    assert [outcome.status for outcome in outcomes] == ["failed", *3 * ["enhanced"]]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    expected = checkpoint.load(model).enhance(audio.read(source / "room0/000.wav").samples, strength=0.5)
    np.testing.assert_allclose(audio.read(out / "room0/000.wav").samples, expected, atol=2**-15)
    again = enhance_folder([source], str(out), model=str(model), strength=0.5)
    assert [outcome.status for outcome in again] == ["failed", *3 * ["done before"]]


def test_few_files_are_not_worth_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((2, [1, 1, 2, 2]), (64, [1, 1, 2, 8])):
        monkeypatch.setattr("frcrn.inference.folder.available_cores", lambda cores=cores: cores)
        assert [processes_for(files) for files in (0, 7, 8, 100000)] == expected


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{name}.wav", seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, same, other = map(digest, paths)
    assert first == same != other


def test_wrong_numbers_of_processes(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frcrn(model, tmp_path, "-o", tmp_path / "out", "--jobs", "0") == 2
    assert capsys.readouterr().err == "frcrn: --jobs 0: accepted are whole numbers from 1\n"


def test_help_tells_exit_codes_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["enhance", "--help"])
    said = capsys.readouterr().out
    for word in ("examples:", "exit codes:", "130 interrupted", "--from-file list.txt", "failures.csv", NAME):
        assert word in said
