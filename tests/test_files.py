from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from frcrn import files, texts
from frcrn.export.native.folder import export_program
from frcrn.files import sweep
from frcrn.models import checkpoint
from tests.networks import tiny

ROOT = Path(__file__).resolve().parents[1]


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("frcrn.files.secrets.token_hex", lambda size: "00")
    (tmp_path / ".report.html.00.part").symlink_to(victim)
    (tmp_path / ".report.html.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.write_text(tmp_path / "report.html", "new")
    assert victim.read_text() == "precious"


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert texts.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_said_with_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a.json") as caught, files.replacing(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "a.json") and not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_begun_is_named_and_not_the_one_beside_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        files.write_text(tmp_path / "missing" / "a.csv", "a")
    assert caught.value.filename == str(tmp_path / "missing" / "a.csv")


@pytest.mark.parametrize("moment", ["open", "close"])
def test_a_signal_between_two_lines_leaves_nothing(moment: str, tmp_path: Path) -> None:
    """It is an exception wherever the process is: here when the file has been made and no `finally` is reached yet."""
    program = f"""
import os, sys
from frcrn import files, texts
real = os.{moment}
def told_to_end(*given):
    real(*given)
    sys.exit(143)
files.write_text(files.Path(sys.argv[1], "kept"), "old")
os.{moment} = told_to_end
files.write_text(files.Path(sys.argv[1], "a.json"), "new")
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT)
    whole = [{"kept": "old"}, {"kept": "old", "a.json": "new"}]
    assert ended.returncode == 143 and {path.name: path.read_text() for path in tmp_path.iterdir()} in whole


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_what_is_written_is_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        checkpoint.save_directory(tiny(), tmp_path / "model")
        checkpoint.save(tiny(), tmp_path / "model" / "other.bin")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()} == {0o644}


@pytest.mark.parametrize("name", ["model.safetensors", "configuration.json", "ms_wrapper.py"])
def test_a_model_directory_is_not_written_through_a_link(name: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / name).symlink_to(tmp_path / "victim")
    with pytest.raises(ValueError, match=f"{name}: is a link"):
        checkpoint.save_directory(tiny(), tmp_path / "model")
    assert (tmp_path / "victim").read_text() == "precious"


def test_an_export_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "frcrn.h").symlink_to(tmp_path / "victim")
    with pytest.raises(ValueError, match="frcrn.h: is a link"):
        export_program(tiny(causal=True), tmp_path / "out")
    assert (tmp_path / "victim").read_text() == "precious"


def test_files_that_belong_together_are_written_by_one_at_a_time_and_all_or_none(tmp_path: Path) -> None:
    with files.held(tmp_path), pytest.raises(ValueError, match="another run is writing here"):
        files.write_together(tmp_path, {"a": b"1"})
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_together(tmp_path, {"a": b"1", "b": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_files_that_belong_together_do_not_replace_somebody_else_s(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("precious")
    ours = {"README.md": b"1", "model.frcrn": b"2"}
    with pytest.raises(ValueError, match=r"README\.md: is there already, and not from here; give a folder of its own"):
        files.write_together(tmp_path, ours)
    assert (tmp_path / "README.md").read_text() == "precious"
    files.write_together(tmp_path / "new", ours)
    (tmp_path / "new" / "README.md").unlink()
    files.write_together(tmp_path / "new", ours)


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked there")
def test_temporary_folders_of_processes_that_are_gone_are_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours, lock = files.own_folder("frcrn-serve-")
    gone, other_lock = files.own_folder("frcrn-serve-")
    (gone / "upload").write_bytes(b"x")
    other_lock.close()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_bytes(b"x")
    (gone / "link").symlink_to(kept)
    link = tmp_path / "frcrn-serve-link"
    link.symlink_to(kept)
    (tmp_path / "frcrn-serve-file").write_bytes(b"x")
    theirs = tmp_path / "frcrn-serve-results"
    theirs.mkdir()
    files.remove_left("frcrn-serve-")
    assert theirs.exists() and ours.exists() and not gone.exists() and link.is_symlink() and (kept / "file").exists()
    assert (tmp_path / "frcrn-serve-file").exists()
    lock.close()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    files.remove_left("frcrn-serve-")
    assert ours.exists()


def test_a_folder_taken_between_making_and_locking_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = []

    def mkdtemp(suffix: str, prefix: str) -> str:
        made.append(tmp_path / f"{prefix}{len(made)}")
        if len(made) > 1:
            made[-1].mkdir()
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    folder, lock = files.own_folder("x-")
    lock.close()
    assert folder == made[1]


def test_what_was_private_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.touch(0o600)
    files.write_json(path, {"a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_private_is_never_open_to_others_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.touch(0o600)
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: None)
    files.write_json(path, {"a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_root_replaces_still_belongs_to_its_user(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.touch()
    os.chown(path, 65534, 65534)
    files.write_json(path, {"a": 1})
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


@pytest.mark.skipif(os.name == "nt", reason="no owners there")
def test_only_the_file_itself_gets_the_mode_and_owner_not_what_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, victim, real = tmp_path / "a.json", tmp_path / "victim", os.open
    path.touch(0o644)
    victim.touch(0o600)

    def swapped(place: Any, flags: int, *more: Any, **options: Any) -> int:
        descriptor = real(place, flags, *more, **options)
        if str(place).endswith(".part"):
            os.unlink(place)
            os.symlink(victim, place)
        return descriptor

    monkeypatch.setattr(os, "open", swapped)
    with suppress(OSError), files.replacing(path):
        pass
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600


def test_what_another_user_has_half_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / ".a.wav.01234567.part"
    part.touch()
    real = os.open

    def refused(place: Any, flags: int, *more: Any, **options: Any) -> int:
        if os.fspath(place) == str(part):
            raise PermissionError(13, "Permission denied", str(part))
        return real(place, flags, *more, **options)

    monkeypatch.setattr(os, "open", refused)
    sweep([tmp_path / "a.wav"])
    assert part.exists()
    monkeypatch.undo()
    sweep([tmp_path / "a.wav"])
    assert not part.exists()


def test_what_cannot_be_swept_away_keeps_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".a.wav.00000000.part").mkdir()
    for number in range(1, 6):
        (tmp_path / f".a.wav.0000000{number}.part").touch()
    sweep([tmp_path / "a.wav"])
    assert os.listdir(tmp_path) == [".a.wav.00000000.part"]


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("precious")
    monkeypatch.setattr(os, "access", lambda place, mode: os.fspath(place) != str(path))  # as for whoever is not root
    with pytest.raises(PermissionError, match="a.json"):
        files.write_json(path, {"a": 1})
    assert path.read_text() == "precious" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="what is swept is locked where there is fork")
def test_a_file_that_has_just_been_begun_is_not_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes sweep and write one file; between opening and locking there is time for the others."""
    target, real, workers = tmp_path / "a.wav", os.open, []

    def slow(place: Any, flags: int, *more: Any, **options: Any) -> int:
        descriptor = real(place, flags, *more, **options)
        time.sleep(0.002 if flags & os.O_CREAT else 0)
        return descriptor

    monkeypatch.setattr(os, "open", slow)
    for _ in range(3):
        if not (worker := os.fork()):
            with suppress(BaseException):
                for _ in range(30):
                    sweep([target])
                    files.write_text(target, "whole")
                os._exit(0)
            os._exit(1)
        workers.append(worker)
    assert [os.waitpid(worker, 0)[1] for worker in workers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
