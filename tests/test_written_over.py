"""What lies where a command writes, and is not its own, stays as it is."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from frcrn import audio
from frcrn.cli import main
from frcrn.data.mixed_set import write_mix
from frcrn.data.new_folder import new_folder
from frcrn.evaluation import compare as comparison
from frcrn.evaluation.compare import compare
from frcrn.evaluation.evaluate import Options, run
from frcrn.evaluation.scores_csv import Journal
from frcrn.evaluation.systems import EnhancedFolder, Unprocessed, open_system
from frcrn.export.native import folder as in_c
from frcrn.export.web import folder as in_the_browser
from frcrn.files import held
from frcrn.inference.paths import plan
from frcrn.inference.voice_activity import Stretch, write_table
from frcrn.models import checkpoint
from frcrn.models import convert as conversion
from frcrn.models.checkpoint import save
from frcrn.training import checkpoints
from tests.networks import tiny
from tests.training_runs import trainer

RATE = 16_000


def recording(path: Path, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, (1, round(seconds * RATE))).astype(np.float32), RATE)
    return path


@pytest.mark.parametrize("command", [["enhance", "in.wav", "-o", "out.wav"], ["stream", "in.wav"]])
@pytest.mark.parametrize("name", ["in.wav", "link.wav", "hard.wav"])
def test_a_table_of_speech_does_not_take_the_place_of_the_recording(
    command: list[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = recording(tmp_path / "in.wav").read_bytes()
    Path("link.wav").symlink_to("in.wav")
    Path("hard.wav").hardlink_to("in.wav")
    assert main([*command, "--vad", name]) == 2
    assert f"--vad {name}: is an input, which is never written over" in capsys.readouterr().err
    assert Path("in.wav").read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [["--from-file", "list.txt", "-o", "out", "--vad", "list.txt"], ["in.wav", "-o", "o.wav", "--vad", "./o.wav"]],
)
def test_a_table_of_speech_is_no_list_of_inputs_and_no_output(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("frcrn.inference.opening.open_network", lambda *_, **__: pytest.fail("opened"))
    recording(tmp_path / "in.wav")
    Path("list.txt").write_text("in.wav\n")
    assert main(["enhance", *command]) == 2
    assert Path("list.txt").read_text() == "in.wav\n" and not Path("o.wav").exists()


TAKEN = {
    "notes.csv": "no table of speech; choose another file, or --force replaces it",
    "model/model.safetensors": "is a file of the model",
    "out/frcrn-manifest.jsonl": "is the output, too",
    "out/failures.csv": "is the output, too",
    "out/in.wav": "is the output, too",
    "out": "is the output, too",
    "out/in.wav/labels.csv": "is the output, and no folder",
    "link.csv": "is a link, a pipe or a device",
    "model": "Is a directory",
    "in.wav/labels.csv": "expected a folder to write into",
    "": "an empty name",
}


@pytest.mark.parametrize(
    ("more", "name"),
    [
        *(([], name) for name in TAKEN),
        *((["--force"], name) for name in TAKEN if name != "notes.csv"),
        *((["stream"], name) for name in TAKEN if not name.startswith("out")),
    ],
)
def test_a_table_of_speech_takes_no_place_of_anything_else(
    more: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("frcrn.inference.opening.open_network", lambda *_, **__: pytest.fail("opened"))
    recording(tmp_path / "in.wav")
    Path("model").mkdir()
    for path in ("notes.csv", "model/model.safetensors", "precious.txt"):
        Path(path).write_text("my,own,notes\n")
    Path("link.csv").symlink_to("precious.txt")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    command = ["stream", "in.wav"] if more == ["stream"] else ["enhance", "in.wav", "-o", "out/", *more]
    try:
        assert main([*command, "-m", "model", "--vad", name]) == 2
    except SystemExit as left:
        assert left.code == 2
    words = TAKEN[name].partition(", or")[0] if more == ["stream"] else TAKEN[name]
    assert words in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_name_in_a_table_of_speech_is_no_formula(tmp_path: Path) -> None:
    write_table(tmp_path / "labels.csv", [("=1+1.wav", [Stretch(0, 1, 0.5)])])
    assert (tmp_path / "labels.csv").read_text().splitlines()[1] == "'=1+1.wav,0.000,1.000,0.500"


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"notes.csv: came while the sound was read"):
        write_table(tmp_path / "notes.csv", [])
    write_table(tmp_path / "notes.csv", [], force=True)


def test_a_dry_run_writes_no_table_of_speech(tmp_path: Path) -> None:
    path = recording(tmp_path / "in.wav")
    more = ["--vad", str(tmp_path / "labels.csv"), "--dry-run"]
    assert main(["enhance", str(path), "-o", str(tmp_path / "out.wav"), *more]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["in.wav"]


@pytest.mark.parametrize("command", [["stream", "in.raw"], ["stream", "-"], ["enhance", "in.raw", "-o", "-"]])
def test_what_is_read_is_not_appended_to_itself(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.raw").write_bytes(bytes(6400))
    with open("in.raw", "rb") as source, open("in.raw", "ab") as sink:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sink))
        assert main(command) == 2
        monkeypatch.undo()
    assert "standard output: is an input" in capsys.readouterr().err
    assert (tmp_path / "in.raw").stat().st_size == 6400


def test_standard_input_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = recording(tmp_path / "in.wav").read_bytes()
    with (tmp_path / "in.wav").open("rb") as source:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
        assert main(["enhance", "-", "-o", str(tmp_path / "in.wav")]) == 2
    assert "in.wav: is an input, which is never written over" in capsys.readouterr().err
    assert (tmp_path / "in.wav").read_bytes() == before


def test_a_list_of_somebody_s_own_failures_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording(tmp_path / "in/a.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/failures.csv").write_text("day,machine\n")
    assert main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 2
    assert "failures.csv: is there already, and no list of failures" in capsys.readouterr().err
    assert (tmp_path / "out/failures.csv").read_text() == "day,machine\n"


def test_a_run_that_is_refused_leaves_the_other_one_its_failures(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    recording(tmp_path / "in/a.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/failures.csv").write_text("source,target,reason\na,b,c\n")
    with (tmp_path / "out/frcrn-manifest.jsonl").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 2
    assert (tmp_path / "out/failures.csv").read_text() == "source,target,reason\na,b,c\n"


@pytest.mark.parametrize("name", ["noisy.wav", "enhanced.wav", "before_after.png"])
def test_a_demonstration_does_not_replace_somebody_else_s_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("frcrn.inference.opening.open_network", lambda *_, **__: tiny())
    mine = recording(tmp_path / "mine.wav").read_bytes()
    (tmp_path / name).write_bytes(mine)
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert f"{name}: is there already, and not from here" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == mine


@pytest.mark.parametrize("name", ["summary.json", "report.html"])
def test_an_evaluation_does_not_replace_somebody_else_s_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=f"{name}: is there already, and not from here"):
        run(Unprocessed(), [], Options(), tmp_path)
    assert (tmp_path / name).read_text() == "{}"


@pytest.mark.parametrize("name", ["comparison.json", "comparison.md", "report.html"])
def test_a_comparison_does_not_replace_somebody_else_s_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=f"{name}: is there already, and not from here"):
        compare([open_system("a=noisy"), open_system("b=noisy")], [], tmp_path)
    assert (tmp_path / name).read_text() == "{}"


def test_the_tables_of_two_comparisons_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PATIENCE", 0.0)
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, RATE).astype(np.float32)
    systems, options = [open_system("a=noisy"), open_system("b=noisy")], Options(("si_sdr",), workers=1)
    with held(tmp_path), pytest.raises(ValueError, match="another run is writing here"):
        compare(systems, [("x", wave, wave / 2)], tmp_path, options)
    assert not (tmp_path / "comparison.json").exists()


def test_of_two_conversions_into_one_folder_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tiny(), tmp_path / "a.safetensors")
    read = checkpoint.load

    def slow(source: Path) -> Any:
        model = read(source)
        monkeypatch.setattr(conversion, "load", read)
        conversion.convert(source, tmp_path / "model")  # another one, which is sooner
        return model

    monkeypatch.setattr(conversion, "load", slow)
    with pytest.raises(ValueError, match="a model is here already"):
        conversion.convert(tmp_path / "a.safetensors", tmp_path / "model")
    with held(tmp_path / "model"), pytest.raises(ValueError, match="another run is writing here"):
        conversion.convert(tmp_path / "a.safetensors", tmp_path / "model", force=True)


def test_one_export_does_not_replace_the_files_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (in_c, in_the_browser):
        monkeypatch.setattr(module, "write_program", lambda model: b"program")
        monkeypatch.setattr(module, "description", lambda model, content: {})
    model = cast(Any, torch.nn.Identity())
    for first, second, mine in (
        (in_c.export_program, in_the_browser.export_web, "index.html"),
        (in_the_browser.export_web, in_c.export_program, "run.c"),
    ):
        place = tmp_path / mine
        first(model, place)
        first(model, place)
        (place / mine).write_text("precious")
        with pytest.raises(ValueError, match="is there already, and not from here"):
            second(model, place)
        assert (place / mine).read_text() == "precious"


def test_two_enhanced_files_of_one_clip_are_refused(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav")
    recording(tmp_path / "a.flac")
    with pytest.raises(ValueError, match="have the same name; keep one of them"):
        EnhancedFolder(tmp_path)


def table_of_scores(folder: Path, lines: str) -> Journal:
    (folder / "run.json").write_text('{"model": "a"}')
    (folder / "scores.csv").write_text(lines)
    return Journal(folder, {"model": "a"}, ("pesq", "stoi"))


@pytest.mark.parametrize("lines", ["pesq,stoi,failures\na,1,d,5,0,0.5,,\n", "pesq,failures\na,1,d,5,0,0.5,\n"])
def test_a_row_without_its_scores_is_scored_again(lines: str, tmp_path: Path) -> None:
    with table_of_scores(tmp_path, f"clip,seconds,digest,input_snr,processing,{lines}") as journal:
        assert not journal.rows


@pytest.mark.parametrize("cells", ["1,d,5,0,nan,1", "1,d,5,0,inf,1", "nan,d,5,0,1,1", ",d,5,0,1,1", "1,d,5,inf,1,1"])
def test_scores_that_are_no_numbers_are_refused_by_name(cells: str, tmp_path: Path) -> None:
    head = "clip,seconds,digest,input_snr,processing,pesq,stoi,failures\n"
    with pytest.raises(ValueError, match=r"scores\.csv: not a table of scores \(a: found "):
        table_of_scores(tmp_path, f"{head}a,{cells},\n")


def test_a_damaged_later_checkpoint_does_not_push_out_the_whole_ones(tmp_path: Path) -> None:
    checkpoints.path_of(tmp_path, 9).write_bytes(b"damaged")
    for step in (3, 4):
        checkpoints.save(tmp_path, step, {"at": torch.tensor(step)}, keep=1)
    found = checkpoints.newest(tmp_path)
    assert found is not None and int(found["at"]) == 4
    assert not checkpoints.path_of(tmp_path, 3).exists()


@pytest.mark.parametrize("plan", ["the same", "another"])
def test_a_corpus_is_written_by_one_at_a_time(plan: str, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with new_folder(tmp_path / "out", "the same", False) as beside:
        (beside / "a").write_text("a")
        with (
            pytest.raises(ValueError, match="another run is writing here"),
            new_folder(tmp_path / "out", plan, False) as other,
        ):
            (other / "b").write_text("b")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_a_table_of_speech_does_not_take_the_place_of_the_sound(tmp_path: Path) -> None:
    recording(tmp_path / "in.wav")
    with open(tmp_path / "out.wav", "wb") as sound:
        command = [sys.executable, "-m", "frcrn", "stream", str(tmp_path / "in.wav"), "--vad", sound.name]
        done = subprocess.run(command, stdout=sound, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "is the output, too" in done.stderr


@pytest.mark.parametrize("name", ["bench.md", "bench.json"])
def test_a_measurement_does_not_replace_tables_of_others(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text('{"mine": 1}')
    assert main(["bench", "-o", str(tmp_path), "--seconds", "0.1"]) == 2
    assert f"{name}: is there already, and not from here" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ['{"mine": 1}']


def test_a_mixed_set_is_written_by_one_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    (tmp_path / "out").mkdir()
    with held(tmp_path / "out"), pytest.raises(ValueError, match="another run is writing here"):
        write_mix(cast(Any, None), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["bench", "-o", "FILE"], "FILE: expected a folder to write into, found something else"),
        (["bench", "--seconds", "1e300"], "1e+300 seconds: accepted are 0.1 to 3600"),
        (["export", "-o", "x", "--net-id", "0"], "--net-id and --net-name belong to --format c-int8"),
        (["export", "-o", "x", "--format", "c", "--net-name", "se"], "belong to --format c-int8"),
        (["export", "-o", "x", "--max-loss", "1"], "--max-loss belongs to --int8; give both"),
    ],
)
def test_what_cannot_be_is_said_before_the_work(
    command: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("frcrn.evaluation.speed.benchmark.subjects_of", lambda *_: pytest.fail("measured"))
    Path("FILE").write_text("mine")
    assert main(command) == 2
    assert words in capsys.readouterr().err
    assert Path("FILE").read_text() == "mine"


@pytest.mark.parametrize("folded", [True, False])
def test_names_of_one_file_on_a_disk_that_folds_case_are_told_apart(folded: bool, tmp_path: Path) -> None:
    """Hard links stand for such a disk: what is there goes by both names."""
    for name in ("Talk.wav", "talk.wav"):
        recording(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "some").write_bytes(b"")
    if folded:
        (tmp_path / "out" / "SOME").hardlink_to(tmp_path / "out" / "some")
    problems = [job.problem for job in plan([tmp_path / "in"], tmp_path / "out") if job.problem]
    assert [problem for problem in problems if "already taken" in problem] == problems and len(problems) == folded


@pytest.mark.parametrize("name", ["recipe.json", "log.jsonl", "output"])
def test_a_run_is_not_resumed_among_files_of_others(name: str, tmp_path: Path) -> None:
    if name == "output":
        (tmp_path / name).mkdir()
    (tmp_path / name / "model.safetensors" if name == "output" else tmp_path / name).write_text('{"mine": 1}\n')
    with pytest.raises(ValueError, match="not from a run; give a folder of its own"):
        trainer(tmp_path).train(resume=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_corpus_that_was_ended_just_as_it_took_its_place_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*names: object) -> None:
        raise SystemExit

    replace = os.replace
    with pytest.raises(SystemExit), new_folder(tmp_path / "out", "one", False) as beside:
        (beside / "files.csv").write_text("file\na.wav\n")
        (beside / "a.wav").write_bytes(b"sound")
        monkeypatch.setattr("frcrn.data.new_folder.os.replace", killed)
    monkeypatch.setattr("frcrn.data.new_folder.os.replace", replace)
    with new_folder(tmp_path / "out", "one", False) as beside:
        assert (beside / "a.wav").read_bytes() == b"sound"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.wav", "files.csv"]
