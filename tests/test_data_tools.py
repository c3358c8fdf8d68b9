"""`frcrn data cut`, mixing from one configuration file, and what all corpus tools do when asked for less or stopped."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from frcrn.cli import main
from frcrn.data import cutting, new_folder
from frcrn.data.corpus import balance
from frcrn.data.cutting import Cutting, cut
from frcrn.data.synthesis import read_plan
from tests.made_audio import RATE, corpus, noise, save


def contents(root: Path) -> dict[str, bytes]:
    """All but the list of when each file was written."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != new_folder.WRITTEN)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two speakers in one source, three nameless files in another, at two rates."""
    for number, (speaker, seconds) in enumerate(itertools.product(("ann", "ben"), (0.3, 0.5, 0.2, 0.4))):
        save(tmp_path / "in" / "en" / speaker / f"{number}.wav", noise(seconds, number))
    for number in range(3):
        save(tmp_path / "in" / "fr" / f"{number}.wav", noise(0.4, 50 + number, 8000), 8000)
    return tmp_path / "in"


def test_cut_clips_are_the_recordings_of_one_speaker_in_a_row(folder: Path, tmp_path: Path) -> None:
    parts = cut(folder, tmp_path / "out", Cutting(0.5, 0.05, keep_rest=True))
    assert {source: len({item.speaker for item in part.items}) for source, part in parts.items()} == {"en": 2, "fr": 1}
    for speaker in ("ann", "ben"):
        pause, wanted = np.zeros(800), []
        for path in sorted((folder / "en" / speaker).iterdir()):
            wanted += [soundfile.read(path)[0], pause]
        clips = [soundfile.read(path)[0] for path in sorted((tmp_path / "out" / "en" / speaker).iterdir())]
        assert [len(clip) for clip in clips[:-1]] == [8000] * 3 and len(clips[-1]) == 800
        np.testing.assert_allclose(np.concatenate(clips), np.concatenate(wanted[:-1]), atol=1 / 32768)
    table = rows(tmp_path / "out" / "files.csv")
    assert len(table) == len(list((tmp_path / "out").rglob("*.wav")))
    for row in table:
        info = soundfile.info(tmp_path / "out" / row["file"])
        assert info.samplerate == RATE and info.duration == pytest.approx(float(row["seconds"]), abs=1e-3)
        assert all((folder / name).is_file() and row["speaker"] in name for name in row["from"].split(";"))
    assert table[0]["from"] == "en/ann/0.wav;en/ann/1.wav"


def test_a_dry_run_counts_what_a_run_writes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, more in (("cut", ["--seconds", "0.5"]), ("split", ["--share", "0.5"]), ("balance", [])):
        arguments = ["data", command, str(folder), "-o", str(tmp_path / command), *more]
        assert main([*arguments, "--dry-run"]) == 0
        foreseen = capsys.readouterr().out
        assert foreseen.endswith("nothing written (--dry-run)\n")
        assert sorted(path.name for path in tmp_path.iterdir() if path.name in (command, f".{command}.part")) == []
        assert main(arguments) == 0
        assert capsys.readouterr().out == foreseen.removesuffix("nothing written (--dry-run)\n")


def test_an_interrupted_cut_goes_on_and_ends_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["data", "cut", str(folder), "--seconds", "0.5"]
    assert main([*arguments, "-o", str(tmp_path / "whole")]) == 0
    write, calls = cutting.write, []

    def failing(path: Path, *others: object) -> None:
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt
        write(path, *others)

    monkeypatch.setattr(cutting, "write", failing)
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists()
    with (tmp_path / ".out.part" / cutting.JOURNAL).open("a") as journal:
        journal.write('["en/ben", [["en/b')
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    # the first speaker's three clips are not written again
    assert len(calls) == 5 + len(list((tmp_path / "out").rglob("*.wav"))) - 3
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not (tmp_path / ".out.part").exists()


def test_an_interrupted_split_goes_on_unless_the_plan_is_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["data", "split", str(folder), "--share", "0.5"]
    assert main([*arguments, "-o", str(tmp_path / "whole")]) == 0
    copy, calls = new_folder.shutil.copyfile, []

    def failing(*places: Path) -> None:
        calls.append(places)
        if len(calls) == 4:
            raise KeyboardInterrupt
        copy(*places)

    monkeypatch.setattr(new_folder.shutil, "copyfile", failing)
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 130
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    assert len(calls) == 4 + 11 - 3
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    calls.clear()
    assert main([*arguments, "-o", str(tmp_path / "out"), "--force", "--seed", "1"]) == 130
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    calls.extend("1234")
    assert main([*arguments, "-o", str(tmp_path / "out"), "--force", "--seed", "2"]) == 0
    assert len(list((tmp_path / "out").rglob("*.wav"))) == 11


def test_what_cannot_be_cut_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "cut", str(folder), "-o", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "expected 10 s of at least one speaker, found less" in capsys.readouterr().err
    assert main([*arguments, "--seconds", "0"]) == 2
    save(tmp_path / ".out.part" / "mine.wav", noise(0.1, 1))
    assert main([*arguments, "--seconds", "0.5"]) == 2
    assert "found other files" in capsys.readouterr().err
    assert (tmp_path / ".out.part" / "mine.wav").is_file()


def test_names_that_systems_refuse_or_confuse_get_folders_of_their_own() -> None:
    names = cutting.folder_names({"en/../x": [], "en/a b": [], "en/A_b": [], "en/a:b": []})
    assert len({name.lower() for name in names.values()}) == 4
    assert not any(".." in name or ":" in name or " " in name for name in names.values())


CHALLENGE = """# of the challenge
[noisy_speech]
sampling_rate: 16000
audioformat: *.wav
audio_length: 1.5
# 10
silence_length: 0.2
total_hours: 0.0025
snr_lower: 3
# 0
snr_upper: 9
target_level_lower: -35
target_level_upper: -15
fileindex_start: None
fileindex_end: None
noise_dir: {0}\\noise
speech_dir: {0}\\speech
noisy_destination: {1}\\noisy
clean_destination: {1}\\clean
noise_destination: {1}\\noise
lower_t60: 0.3
upper_t60: 0.6
snr_test: True
sampling_rate_test = True
"""


def test_a_configuration_of_the_challenge_makes_its_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = corpus(tmp_path / "made")
    file = tmp_path / "noisyspeech_synthesizer.cfg"
    file.write_text(CHALLENGE.format(str(made).replace("/", "\\"), str(tmp_path / "set").replace("/", "\\")))
    fast = ["--set", "room_model=decay", "--set", "room_count=4"]
    assert main(["data", "mix", "--config", str(file), *fast, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "6 clips, 0.00 h, SNR 3 to 9 dB, 16000 Hz, seed 0" in said.out and not (tmp_path / "set").exists()
    assert "not used here: audioformat, sampling_rate_test, silence_length, snr_test" in said.err
    assert main(["data", "mix", "--config", str(file), *fast]) == 0
    table = rows(tmp_path / "set" / "manifest.csv")
    assert len(table) == 6
    assert all(3 <= float(row["snr_db"]) <= 9 and -35.5 <= float(row["level_dbfs"]) <= -14.5 for row in table)
    assert {row["damaged"] for row in table} == {"0"}
    assert all((tmp_path / "set" / row[part]).is_file() for row in table for part in ("noisy", "clean", "noise"))


def test_one_table_says_all_and_options_override_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = corpus(tmp_path / "made")
    save(tmp_path / "rooms" / "one.wav", np.array([0, 0, 0.5, 0, 0.25], np.float32))
    table = {"speech": [str(made / "speech")], "noise": [str(made / "noise")], "rooms": [str(tmp_path / "rooms")]}
    table |= {"seconds": 1.0, "output": str(tmp_path / "set"), "count": 3, "seed": 5, "rate": 8000, "room_share": 1}
    (tmp_path / "set.json").write_text(json.dumps(table))
    assert main(["data", "mix", "--config", str(tmp_path / "set.json")]) == 0
    assert len(rows(tmp_path / "set" / "manifest.csv")) == 3
    first = contents(tmp_path / "set")
    assert soundfile.info(tmp_path / "set" / "noisy" / "noisy_fileid_0.wav").samplerate == 8000
    other = ["--seed", "6", "--count", "2", "-o", str(tmp_path / "other")]
    assert main(["data", "mix", "--config", str(tmp_path / "set.json"), *other]) == 0
    second = contents(tmp_path / "other")
    assert len(rows(tmp_path / "other" / "manifest.csv")) == 2
    assert first["noisy/noisy_fileid_0.wav"] != second["noisy/noisy_fileid_0.wav"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.cfg", "[other]\na: 1\n", "expected a file with the section [noisy_speech]"),
        ("a.cfg", "[noisy_speech]\nsnr_lower: low\nsnr_upper: 3\n", "snr_lower: expected a number, found 'low'"),
        ("a.cfg", "[noisy_speech]\nnoisy_destination: a/loud\n", "expected noisy, clean and noise in one folder"),
        ("a.json", '{"seed": "x"}', "seed: expected a whole number, found 'x'"),
        ("a.json", "[]", "expected a table in JSON, found list"),
    ],
)
def test_a_configuration_that_says_nothing_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="a\\.") as caught:
        read_plan(tmp_path / name)
    assert words in str(caught.value)


@pytest.mark.parametrize("command", ["split", "balance", "cut"])
def test_force_removes_only_what_a_command_wrote(
    command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, arguments = tmp_path / "project", ["data", command, str(folder), "-o", str(tmp_path / "project"), "--force"]
    arguments += ["--seconds", "0.5"] if command == "cut" else []
    out.mkdir()
    (out / "files.csv").write_text("name,size\nthesis.txt,8\n")
    (out / "thesis.txt").write_text("precious")
    assert main(arguments) == 2
    assert "found other files; remove it yourself" in capsys.readouterr().err
    assert (out / "thesis.txt").read_text() == "precious"
    shutil.rmtree(out)
    assert main(arguments) == 0 and main(arguments) == 0
    (out / "notes.txt").write_text("precious")
    assert main(arguments) == 2 and (out / "notes.txt").exists()
    assert "notes.txt: `frcrn data` did not write it" in capsys.readouterr().err


def test_force_removes_no_recordings_that_a_table_of_somebody_names(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "out" / "a.wav", noise(0.1, 1))
    (tmp_path / "out" / "files.csv").write_text("file,side,source,speaker,seconds\na.wav,,en,ann,0.1\n")
    assert main(["data", "balance", str(folder), "-o", str(tmp_path / "out"), "--force"]) == 2
    assert "found other files" in capsys.readouterr().err and (tmp_path / "out" / "a.wav").exists()


@pytest.mark.parametrize("name", ["files.csv", "*.wav", "link"])
def test_force_removes_nothing_that_somebody_changed(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "split", str(folder), "-o", str(tmp_path / "out"), "--share", "0.5", "--force"]
    assert main(arguments) == 0
    changed = next((tmp_path / "out").rglob(name), tmp_path / "out" / name)
    if name == "link":
        changed.symlink_to(folder)
    else:
        os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 1))
    before = contents(tmp_path / "out")
    assert main([*arguments, "--seed", "3"]) == 2
    assert f"{changed}: `frcrn data` did not write it, or it was changed since" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("force", [False, True])
def test_what_comes_into_the_folder_while_a_corpus_is_written_stays(force: bool, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if force:
        balance(folder, out)

    def meanwhile(done: int, total: int) -> None:
        out.mkdir(exist_ok=True)
        (out / "notes.txt").write_text("precious")

    with pytest.raises(ValueError, match="found other files" if not force else "notes.txt: `frcrn data` did not"):
        balance(folder, out, seed=1, force=force, progress=meanwhile)
    assert (out / "notes.txt").read_text() == "precious"
    (out / "notes.txt").unlink()
    balance(folder, out, seed=1, force=force)
    assert (out / "files.csv").is_file() and not list(tmp_path.glob(".out.*"))


def test_what_comes_at_the_last_moment_stays_in_the_folder_before(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balance(folder, tmp_path / "out")
    replace = os.replace

    def late(source: Path, target: Path) -> None:
        if source == tmp_path / "out":
            (source / "notes.txt").write_text("precious")
        replace(source, target)

    monkeypatch.setattr("frcrn.data.new_folder.os.replace", late)
    with pytest.raises(ValueError, match="notes.txt: came while"):
        balance(folder, tmp_path / "out", seed=1, force=True)
    assert [path.read_text() for path in tmp_path.glob(".out.*.old/notes.txt")] == ["precious"]
    assert (tmp_path / "out" / "files.csv").is_file()


@pytest.mark.parametrize("command", ["split", "balance", "cut"])
@pytest.mark.parametrize("above", [False, True])
def test_a_corpus_does_not_take_the_place_of_its_own_recordings(
    command: str, above: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "in" if not above else tmp_path / "in" / "en"
    before = contents(folder)
    (folder / "files.csv").write_text("file\n" + "".join(f"{name}\n" for name in before))
    arguments = ["data", command, str(corpus), "-o", str(folder), "--force"]
    arguments += ["--seconds", "0.5"] if command == "cut" else ["--link"]
    assert main(arguments) == 2
    assert "holds the input" in capsys.readouterr().err
    assert {name: content for name, content in contents(folder).items() if name != "files.csv"} == before


def test_a_planted_half_written_folder_leads_nowhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("frcrn.data.corpus._plan", lambda moves, link: "foreseen")
    beside, elsewhere = tmp_path / ".out.part", tmp_path / "elsewhere"
    beside.mkdir()
    elsewhere.mkdir()
    (beside / ".plan").write_text("foreseen")
    (beside / "train").symlink_to(elsewhere)
    assert main(["data", "split", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert ".out.part/train: is a link" in capsys.readouterr().err
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("make", ["symlink_to", "hardlink_to"])
@pytest.mark.parametrize("name", [cutting.JOURNAL, "en/ann/00001.wav", "files.csv", new_folder.WRITTEN])
def test_a_planted_link_to_a_file_is_not_written_through(
    name: str, make: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frcrn.data.cutting._plan", lambda voices, how: "foreseen")
    victim, planted = tmp_path / "victim", tmp_path / ".out.part" / name
    victim.write_text("")
    planted.parent.mkdir(parents=True)
    (tmp_path / ".out.part" / ".plan").write_text("foreseen")
    getattr(planted, make)(victim)
    cut(folder, tmp_path / "out", Cutting(0.5))
    assert victim.read_text() == "" and not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_a_planted_link_to_a_file_is_no_copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.data.corpus._plan", lambda moves, link: "foreseen")
    planted = tmp_path / ".out.part" / "fr" / "0.wav"
    planted.parent.mkdir(parents=True)
    (tmp_path / ".out.part" / ".plan").write_text("foreseen")
    planted.symlink_to(tmp_path / "victim")
    balance(folder, tmp_path / "out")
    assert not (tmp_path / "victim").exists() and not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["balance", "--hours", "nan"],
        ["balance", "--hours", "-1"],
        ["cut", "--seconds", "1e-9"],
        ["cut", "--seconds", "nan"],
        ["cut", "--seconds", "0.5", "--pause", "1e18"],
        ["cut", "--seconds", "0.5", "--pause", "nan"],
    ],
)
def test_numbers_beyond_reason_are_refused(
    arguments: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = arguments
    assert main(["data", command, str(folder), "-o", str(tmp_path / "out"), *rest]) == 2
    told = capsys.readouterr().err
    assert "expected" in told and told.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_corpus_has_names_that_are_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for speaker in ("ann", "ben"):
        for number in range(3):
            save(tmp_path / "in" / speaker / f"{number}.wav", noise(0.3, number))
    os.rename(tmp_path / "in" / "ann", tmp_path / "in" / "ann\udcff")
    for command, more in (("split", ["--share", "0.5"]), ("balance", []), ("cut", ["--seconds", "0.2"])):
        out = tmp_path / command
        assert main(["data", command, str(tmp_path / "in"), "-o", str(out), *more]) == 0, capsys.readouterr().err
        assert list(out.rglob("*.wav"))
        assert main(["data", command, str(tmp_path / "in"), "-o", str(out), *more, "--force"]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hours", "0"], "hours: expected more than 0, found 0.0"),
        (["--hours", "-1"], "hours: expected more than 0, found -1.0"),
        (["--hours", "nan"], "hours: expected a number or null, found nan"),
        (["--count", "0"], "count: expected more than 0, found 0"),
        (["--seconds", "0"], "seconds: expected 0.05 to 3600, found 0.0"),
        (["--hours", "1", "--set", "seconds=0"], "seconds: expected 0.05 to 3600, found 0"),
        (["--seconds", "0.00001"], "seconds: expected 0.05 to 3600"),
        (["--seconds", "1e9"], "seconds: expected 0.05 to 3600"),
        (["--seed", "-1"], "seed: expected 0 or more, found -1"),
        (["--set", "tilt_db=1e6"], "tilt_db: expected 0 to 60"),
        (["--set", 'source_weights={"fan":-1}'], "source_weights.fan: expected a number, 0 or more, found -1"),
        (["-o", "speech/mixed"], "lies in speech, which is read"),
    ],
)
def test_numbers_of_a_mix_are_refused_by_name(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus(tmp_path / "made"))
    command = ["data", "mix", "--speech", "speech", "--noise", "noise", "-o", "mixed", "--set", "room_share=0"]
    assert main([*command, *options]) == 2
    said = capsys.readouterr().err
    assert words in said and len(said.splitlines()) == 1
    assert not (tmp_path / "made" / "mixed").exists()


@pytest.mark.parametrize("own", [{"seed": 1.5}, {"hours": True}, {"count": 1.5}])
def test_a_table_of_a_mix_says_whole_numbers(own: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(own))
    with pytest.raises(ValueError, match=f"a.json: mix.{next(iter(own))}: expected"):
        read_plan(tmp_path / "a.json")


@pytest.mark.parametrize("command", ["split", "balance", "cut"])
def test_no_corpus_is_written_into_the_one_that_is_read(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", command, str(folder), "-o", str(folder / "out")]) == 2
    assert "which is read; choose a folder outside of it" in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        *("data split x -o", "data mix --speech", "data check", "evaluate -o", "export -o", "convert x -o"),
        *("train", "train x -w", "stream", "record 1 -o", "live --record"),
    ],
)
def test_an_empty_name_is_not_the_working_folder(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), ""])
    assert "an empty name" in capsys.readouterr().err
