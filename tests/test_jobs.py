from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from frcrn.audio import AudioError
from frcrn.inference.paths import Job, plan, read_list


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def targets(jobs: list[Job], root: Path) -> list[str]:
    assert not [job.problem for job in jobs if job.problem]
    return [str(job.target.relative_to(root)) for job in jobs]


def test_one_file_goes_to_a_file(tmp_path: Path) -> None:
    tree(tmp_path, "a.wav")
    assert plan([tmp_path / "a.wav"], tmp_path / "b.flac") == [Job(tmp_path / "a.wav", tmp_path / "b.flac")]


@pytest.mark.parametrize("output", ["there", "new", "new.d/"])
def test_one_file_goes_into_a_folder(tmp_path: Path, output: str) -> None:
    tree(tmp_path, "a.wav")
    (tmp_path / "there").mkdir()
    jobs = plan([tmp_path / "a.wav"], f"{tmp_path}/{output}")
    assert targets(jobs, tmp_path) == [f"{output.rstrip('/')}/a.wav"]


def test_a_folder_keeps_its_tree(tmp_path: Path) -> None:
    tree(tmp_path / "in", "b.wav", "deep/a.mp3", "notes.txt")
    assert targets(plan([tmp_path / "in"], tmp_path / "out"), tmp_path / "out") == ["b.wav", "deep/a.mp3"]


def test_several_inputs_keep_their_names(tmp_path: Path) -> None:
    tree(tmp_path, "x/a.wav", "y/a.wav", "a.wav")
    jobs = plan([tmp_path / "x", tmp_path / "y", tmp_path / "a.wav"], tmp_path / "out")
    assert targets(jobs, tmp_path / "out") == ["x/a.wav", "y/a.wav", "a.wav"]


def test_a_pattern_keeps_the_tree_below_its_fixed_part(tmp_path: Path) -> None:
    tree(tmp_path / "in", "x/a.wav", "x/b.mp3", "y/deep/a.wav", "y/notes.txt", "out/z.wav")
    everywhere = plan([tmp_path / "in/**/*.wav"], tmp_path / "in/out")
    assert targets(everywhere, tmp_path / "in/out") == ["x/a.wav", "y/deep/a.wav"]
    assert targets(plan([tmp_path / "in/x/*"], tmp_path / "out"), tmp_path / "out") == ["a.wav", "b.mp3"]
    both = plan([tmp_path / "in/x/*.wav", tmp_path / "in/y/**/*.wav"], tmp_path / "out")
    assert targets(both, tmp_path / "out") == ["x/a.wav", "y/deep/a.wav"]
    (none,) = plan([tmp_path / "in/*.ogg"], tmp_path / "out")
    assert "no audio files match" in str(none.problem)


def test_a_pattern_without_folders_is_taken_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree(tmp_path, "a.wav", "b.wav"))
    assert [job.target for job in plan(["*.wav"], "out")] == [Path("out/a.wav"), Path("out/b.wav")]


def test_a_name_with_brackets_is_a_name_where_it_is_there(tmp_path: Path) -> None:
    tree(tmp_path, "take [1].wav")
    assert targets(plan([tmp_path / "take [1].wav"], tmp_path / "out.wav"), tmp_path) == ["out.wav"]


def test_listed_files_keep_the_tree_below_what_they_share(tmp_path: Path) -> None:
    tree(tmp_path, "in/x/a.wav", "in/y/a.wav", "in/y/deep/b.wav")
    listed = read_list(io.StringIO(f"\ufeff{tmp_path}/in/x/a.wav\n\n{tmp_path}/in/y\r\n", newline=""))
    assert targets(plan([], tmp_path / "out", listed), tmp_path / "out") == ["x/a.wav", "y/a.wav", "y/deep/b.wav"]
    assert targets(plan([], tmp_path / "out", listed[:1]), tmp_path / "out") == ["a.wav"]


def test_what_was_written_is_no_input_the_next_time(tmp_path: Path) -> None:
    tree(tmp_path, "in/a.wav", "in/clean/a.wav")
    assert targets(plan([tmp_path / "in"], tmp_path / "in" / "clean"), tmp_path) == ["in/clean/a.wav"]


def test_an_input_within_the_output_is_said_to_be_there(tmp_path: Path) -> None:
    tree(tmp_path, "out/in/a.wav")
    (job,) = plan([tmp_path / "out/in"], tmp_path / "out")
    assert job.problem is not None and "in: lies in the output" in job.problem


def test_two_files_do_not_share_a_target(tmp_path: Path) -> None:
    tree(tmp_path, "x/a.wav", "y/a.wav")
    first, second = plan([tmp_path / "x/a.wav", tmp_path / "y/a.wav"], tmp_path / "out")
    assert first.problem is None
    assert second.problem is not None
    assert "already taken by" in second.problem


def test_a_file_given_twice_is_done_once(tmp_path: Path) -> None:
    tree(tmp_path, "x/a.wav")
    assert len(plan([tmp_path / "x/a.wav", tmp_path / "x/../x/a.wav"], tmp_path / "out")) == 1


def test_several_files_need_a_folder(tmp_path: Path) -> None:
    tree(tmp_path, "a.wav", "b.wav", "out.wav")
    with pytest.raises(AudioError, match="out.wav: is a file"):
        plan([tmp_path / "a.wav", tmp_path / "b.wav"], tmp_path / "out.wav")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (job,) = plan([tmp_path / "in"], tmp_path / "out")
    assert job.problem is not None
    assert "no audio files" in job.problem


def test_a_folder_is_not_written_into_itself(tmp_path: Path) -> None:
    tree(tmp_path, "in/a.wav")
    (tmp_path / "same").symlink_to(tmp_path / "in")
    for output in ("in", "same"):
        with pytest.raises(AudioError, match="in: is the input and the output"):
            plan([tmp_path / "in"], tmp_path / output)


@pytest.mark.parametrize("way", ["itself", "symlink", "hardlink", "dots"])
def test_no_input_is_written_over(tmp_path: Path, way: str) -> None:
    """Under whatever name the output leads to it."""
    source = tree(tmp_path, "a.wav", "deep/x") / "a.wav"
    target = {"itself": source, "dots": tmp_path / "deep/../a.wav"}.get(way, tmp_path / "b.wav")
    if way == "symlink":
        target.symlink_to(source)
    if way == "hardlink":
        os.link(source, target)
    (job,) = plan([source], target)
    assert "is an input, which is never written over" in str(job.problem)


def test_no_other_input_is_written_over_either(tmp_path: Path) -> None:
    tree(tmp_path, "x/a.wav", "a.wav")
    first, second = plan([tmp_path / "x/a.wav", tmp_path / "a.wav"], tmp_path)
    assert "is an input" in str(first.problem)
    assert second.problem
