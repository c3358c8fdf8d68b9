from __future__ import annotations

from pathlib import Path

import pytest

from frcrn.audio import AudioError
from frcrn.batch import Job, plan, run


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def targets(jobs: list[Job], root: Path) -> list[str]:
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


def test_what_was_written_is_no_input_the_next_time(tmp_path: Path) -> None:
    tree(tmp_path, "in/a.wav", "in/clean/a.wav")
    assert targets(plan([tmp_path / "in"], tmp_path / "in" / "clean"), tmp_path) == ["in/clean/a.wav"]
    assert targets(plan([tmp_path / "in"], tmp_path / "in"), tmp_path) == ["in/a.wav", "in/clean/a.wav"]


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


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    done: list[str] = []

    def enhance(source: Path, target: Path) -> None:
        if source.name == "bad":
            raise RuntimeError("out of luck")
        done.append(source.name)

    jobs = [Job(Path(name), tmp_path / name, problem) for name, problem in [("bad", None), ("x", "no"), ("good", None)]]
    outcomes = list(run(jobs, enhance))
    assert [str(outcome.error) for outcome in outcomes] == ["out of luck", "no", "None"]
    assert done == ["good"]


def test_an_interruption_stops_everything(tmp_path: Path) -> None:
    def enhance(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run([Job(Path("a"), tmp_path / "a")], enhance))
