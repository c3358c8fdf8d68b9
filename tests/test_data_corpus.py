"""`frcrn data mix|split|balance`: what they write is whole, repeatable and as asked."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import defaultdict

import numpy as np
import pytest
import soundfile

from frcrn.cli import main
from frcrn.data import build, mixed_set
from frcrn.data.check import check
from frcrn.data.corpus import balance, split
from frcrn.data.new_folder import WRITTEN
from tests.made_audio import RATE, corpus, noise, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def mix(folder, tmp_path):
    def run(*more: str, out: str = "out", count: int = 6) -> int:
        places = ["--speech", f"{folder}/speech", "--noise", f"{folder}/noise", "-o", str(tmp_path / out)]
        always = ["--count", str(count), "--seconds", "1.5", "--set", "room_model=decay", "--set", "room_count=4"]
        return main(["data", "mix", *places, *always, "--cache", str(folder / "k"), *more])

    return run


def contents(root):
    """All but the list of when each file was written."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != WRITTEN)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_mix_writes_a_set_in_dns_form(mix, tmp_path, capsys):
    quiet = ("--set", "clip_share=0", "--set", "codec_share=0", "--set", "room_share=0", "--set", "noise_only_share=0")
    assert mix(*quiet, "--set", "clean_only_share=0", "--snr", "0", "10") == 0
    assert "6 clips" in capsys.readouterr().out
    table = rows(tmp_path / "out" / "manifest.csv")
    assert [row["fileid"] for row in table] == [str(n) for n in range(6)]
    for row in table:
        clean, other, noisy = (soundfile.read(tmp_path / "out" / row[part])[0] for part in ("clean", "noise", "noisy"))
        assert len(clean) == 24000 and soundfile.info(tmp_path / "out" / row["noisy"]).samplerate == RATE
        np.testing.assert_allclose(noisy, clean + other, atol=3 / 32768)
        assert 0 <= float(row["snr_db"]) <= 10
    report = check([tmp_path / "out"])
    assert sorted(report.snr_db) == pytest.approx(sorted(float(row["snr_db"]) for row in table), abs=0.5)
    data = build({"kind": "dns", "folder": str(tmp_path / "out"), "seconds": 1.5}, sample_rate=RATE, seed=0)
    assert len(data) == 6


def test_an_interrupted_mix_goes_on_and_ends_the_same(mix, tmp_path, monkeypatch):
    assert mix(out="whole") == 0
    write, calls = mixed_set.write, []

    def failing(path, samples, rate):
        calls.append(path)
        if len(calls) == 11:
            raise KeyboardInterrupt
        write(path, samples, rate)

    monkeypatch.setattr(mixed_set, "write", failing)
    assert mix() == 130
    done = rows(tmp_path / "out" / "manifest.csv")
    assert len(done) == 3
    assert all((tmp_path / "out" / row[part]).is_file() for row in done for part in ("clean", "noise", "noisy"))
    assert not list(tmp_path.rglob("*.part"))
    with (tmp_path / "out" / "manifest.csv").open("a") as manifest:
        manifest.write("3,clean/cle")
    calls.clear()
    calls.extend(range(100))
    assert mix() == 0
    assert len(calls) == 100 + 3 * 3
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_mix_grows_and_other_settings_need_force(mix, tmp_path, capsys):
    assert mix(count=2) == 0 and mix(count=3) == 0
    assert len(rows(tmp_path / "out" / "manifest.csv")) == 3
    before = contents(tmp_path / "out")
    assert mix("--seed", "1") == 2
    assert "holds a set mixed with other settings" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before
    assert mix(count=2) == 2
    assert "out: holds 3 clips, more than 2; --force replaces them" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before
    assert mix("--force", count=2) == 0
    assert len(rows(tmp_path / "out" / "manifest.csv")) == 2 and len(contents(tmp_path / "out")) == 2 * 3 + 2
    assert mix("--seed", "1", "--force", count=1) == 0
    assert len(rows(tmp_path / "out" / "manifest.csv")) == 1 and len(contents(tmp_path / "out")) == 5


def test_a_folder_is_the_same_by_every_name(folder, tmp_path, monkeypatch, capsys):
    def mix(root: str, count: int, end: str = "") -> int:
        places = ["--speech", f"{root}speech{end}", "--noise", f"{root}noise{end}", "-o", str(tmp_path / "out")]
        quick = ["--seconds", "0.5", "--cache", str(folder / "k"), "--set", f'rooms=["{root}rooms{end}"]']
        return main(["data", "mix", *places, *quick, "--count", str(count)])

    save(folder / "rooms" / "a.wav", noise(0.2, 1))
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    names = [("", ""), (f"{folder}/", ""), ("./", "/"), ("speech/..//", ""), (f"{tmp_path}/link/", "/")]
    assert [mix(root, number, end) for number, (root, end) in enumerate(names, 1)] == [0] * 5
    assert len(rows(tmp_path / "out" / "manifest.csv")) == 5

    noted = json.loads((tmp_path / "out" / "mix.json").read_text())
    given = {"speech": ["speech"], "noise": ["noise"], "rooms": ["rooms"]}  # as earlier versions noted them
    (tmp_path / "out" / "mix.json").write_text(json.dumps(noted | given))
    assert mix("", 6) == 0

    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert mix("", 7) == 2
    assert "other settings or recordings" in capsys.readouterr().err


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_foreign_files_are_never_touched(mix, folder, tmp_path, capsys, force):
    save(tmp_path / "out" / "precious.wav", noise(1, 1))
    before = contents(tmp_path / "out")
    assert mix(*force) == 2
    assert "found other files" in capsys.readouterr().err
    assert main(["data", "split", f"{folder}/speech", "-o", str(tmp_path / "out"), "--share", "0.5", *force]) == 2
    assert "found other files" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


def test_a_mix_whose_rooms_changed_does_not_go_on(folder, tmp_path, monkeypatch, capsys):
    save(tmp_path / "rooms" / "a.wav", noise(0.2, 1))
    command = ["data", "mix", "--speech", f"{folder}/speech", "--noise", f"{folder}/noise", "--cache", f"{folder}/k"]
    command += ["--seconds", "0.5", "--set", "room_share=1", "--set", "room_count=2", "-o", str(tmp_path / "out")]
    measured = ["--set", f'rooms=["{tmp_path}/rooms"]', "--count"]
    assert main([*command, *measured, "1"]) == 0
    save(tmp_path / "rooms" / "a.wav", noise(0.3, 2))
    assert main([*command, *measured, "2"]) == 2
    assert "holds a set mixed with other settings or recordings" in capsys.readouterr().err
    assert len(rows(tmp_path / "out" / "manifest.csv")) == 1
    assert main([*command, *measured, "2", "--force"]) == 0

    monkeypatch.setattr("frcrn.data.rooms.find_spec", lambda name: None)
    assert main([*command, "--count", "2", "--force"]) == 0
    monkeypatch.setattr("frcrn.data.rooms.make_bank", lambda *given: np.ones((2, 100), np.float32))
    monkeypatch.setattr("frcrn.data.rooms.find_spec", lambda name: "there")
    assert main([*command, "--count", "3"]) == 2
    assert "holds a set mixed with other settings or recordings" in capsys.readouterr().err


def test_no_mix_lies_in_its_rooms(folder, tmp_path, capsys):
    save(tmp_path / "rooms" / "a.wav", noise(0.2, 1))
    command = ["data", "mix", "--speech", f"{folder}/speech", "--noise", f"{folder}/noise", "--seconds", "0.5"]
    command += ["--set", f'rooms=["{tmp_path}/rooms"]', "--count", "1", "-o", str(tmp_path / "rooms" / "out")]
    assert main(command) == 2
    assert "which is read" in capsys.readouterr().err
    assert not (tmp_path / "rooms" / "out").exists()


def test_a_mix_of_recordings_that_changed_does_not_go_on(folder, tmp_path, capsys):
    save(tmp_path / "speech" / "a.wav", noise(1, 1))
    command = ["data", "mix", "--speech", str(tmp_path / "speech"), "-o", str(tmp_path / "out"), "--seconds", "0.5"]
    command += ["--set", "room_share=0", "--set", "speech_range_db=0", "--count"]
    assert main([*command, "1"]) == 0
    save(tmp_path / "speech" / "a.wav", noise(1.1, 2))
    assert main([*command, "2"]) == 2
    assert "holds a set mixed with other settings or recordings" in capsys.readouterr().err
    assert len(rows(tmp_path / "out" / "manifest.csv")) == 1


def test_a_mix_writes_again_what_was_removed(mix, tmp_path):
    assert mix() == 0
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "noisy" / "noisy_fileid_2.wav").unlink()
    assert mix() == 0
    after = contents(tmp_path / "out")
    assert sorted(row["fileid"] for row in rows(tmp_path / "out" / "manifest.csv")) == [str(n) for n in range(6)]
    assert {**before, "manifest.csv": b""} == {**after, "manifest.csv": b""}


@pytest.mark.parametrize("name", ["clean", "clean/clean_fileid_7.wav", "manifest.csv", "mix.json"])
def test_a_mix_writes_and_removes_nothing_by_a_link(mix, tmp_path, name, capsys):
    assert mix() == 0
    place, elsewhere = tmp_path / "out" / name, tmp_path / "elsewhere"
    if place.exists():
        place.rename(elsewhere)
    else:
        elsewhere.write_text("another's")
    place.symlink_to(elsewhere)
    before = contents(tmp_path)
    for more in ((), ("--seed", "5", "--force")):
        assert mix(*more, count=9) == 2
        assert "is a link" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", ['{"a', '{"my": "settings"}', "[]"])
def test_a_mix_takes_no_folder_of_others_for_its_own(mix, tmp_path, content, capsys):
    for name in ("mix.json", "manifest.csv", "clean/clean_fileid_7.wav"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(content)
    before = contents(tmp_path / "out")
    assert mix("--force") == 2
    assert "found other files" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


def test_a_mix_replaces_only_what_has_the_names_of_its_clips(mix, tmp_path):
    assert mix() == 0
    (tmp_path / "out" / "clean" / "clean_fileid_mine.wav").write_text("mine")
    assert mix("--seed", "5", "--force", count=2) == 0
    assert (tmp_path / "out" / "clean" / "clean_fileid_mine.wav").read_text() == "mine"


@pytest.mark.parametrize("name", ["noisy/noisy_fileid_1.wav", "clean/clean_fileid_7.wav"])
def test_a_mix_replaces_no_clip_that_somebody_made_or_changed(mix, tmp_path, name, capsys):
    assert mix() == 0
    save(tmp_path / "out" / name, noise(1, 1))
    (tmp_path / "out" / "noise" / "noise_fileid_1.wav").unlink()
    before = contents(tmp_path / "out")
    for more in ((), ("--seed", "5", "--force")):
        assert mix(*more, count=9) == 2
        assert f"{name}: `frcrn data mix` did not write it, or it was changed" in capsys.readouterr().err
    assert {**contents(tmp_path / "out"), "manifest.csv": b""} == {**before, "manifest.csv": b""}
    (tmp_path / "out" / name).unlink()
    assert mix("--seed", "5", "--force", count=9) == 0


def test_an_interrupted_mix_is_replaced(mix, tmp_path, monkeypatch):
    write, calls = mixed_set.write, []

    def failing(path, samples, rate):
        write(path, samples, rate)
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(mixed_set, "write", failing)
    assert mix() == 130
    for name in ("clean/clean_fileid_1.wav", "noisy/noisy_fileid_1.wav"):  # one was there, the other not yet
        place = tmp_path / "out" / name
        save(place, noise(1, 1))
        for more in ((), ("--seed", "5", "--force")):
            assert mix(*more) == 2
        place.unlink()
    assert mix("--seed", "5", "--force") == 0
    assert mix("--seed", "5", out="whole") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("row", ["mine", "7", "7,clean/a.wav", "x,clean,noise,noisy,1,1,1,0"])
def test_a_table_that_is_none_of_a_mix_is_refused(mix, tmp_path, row, capsys):
    assert mix() == 0
    with (tmp_path / "out" / "manifest.csv").open("a") as table:
        table.write(f"{row}\n")
    assert mix() == 2
    assert "manifest.csv: expected the table of a mixed set" in capsys.readouterr().err


def test_mix_reads_a_table_and_counts_hours(mix, tmp_path):
    (tmp_path / "mix.json").write_text(
        '{"kind": "mixing", "snr_db": [3, 3], "clean_only_share": 0, "noise_only_share": 0}'
    )
    assert mix("--config", str(tmp_path / "mix.json")) == 0
    assert {row["snr_db"] for row in rows(tmp_path / "out" / "manifest.csv")} == {"3.0"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x"], "--speech: expected at least one folder"),
        (["--speech", "nowhere", "-o", "x"], "nowhere: expected a folder of audio files, found nothing"),
        (["--speech", "nowhere", "-o", "x", "--set", "snr=1"], "mix: unknown key 'snr'"),
        (["--speech", "nowhere", "-o", "x", "--count", "0"], "count: expected more than 0"),
        (["--speech", "nowhere", "-o", "x", "--config", "none.json"], "none.json: No such file"),
    ],
)
def test_impossible_mixes_are_refused_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "mix", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_split_has_no_speaker_on_both_sides_and_keeps_the_share(folder, tmp_path):
    for number in range(10):
        for utterance in range(3):
            for source in ("one", "two"):
                save(tmp_path / "in" / source / f"s{number}" / f"{utterance}.wav", noise(0.2, number))
    sides = split(tmp_path / "in", tmp_path / "out", share=0.8)
    speakers = {side: {item.speaker for item in part.items} for side, part in sides.items()}
    assert len(speakers["train"]) == 16 and len(speakers["test"]) == 4 and not speakers["train"] & speakers["test"]
    for side in sides:
        assert {item.source for item in sides[side].items} == {"one", "two"}
    files = {
        side: {p.relative_to(tmp_path / "out" / side) for p in (tmp_path / "out" / side).rglob("*.wav")}
        for side in sides
    }
    assert not files["train"] & files["test"] and len(files["train"] | files["test"]) == 60
    for place in files["test"]:
        assert (tmp_path / "out" / "test" / place).read_bytes() == (tmp_path / "in" / place).read_bytes()
    again = split(tmp_path / "in", tmp_path / "again")
    assert {item.files for item in again["test"].items} == {item.files for item in sides["test"].items}
    other = split(tmp_path / "in", tmp_path / "other", seed=1)
    assert {item.files for item in other["test"].items} != {item.files for item in sides["test"].items}


def test_split_by_a_pattern_and_with_links(tmp_path, capsys):
    for number in range(12):
        save(tmp_path / "in" / f"p{number // 3}_{number}.wav", noise(0.2, number))
    arguments = ["--speaker", r"(p\d+)_", "--share", "0.7", "--link"]
    assert main(["data", "split", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *arguments]) == 0
    assert "out/test: 3 clips, 1 speakers" in capsys.readouterr().out
    people = defaultdict(set)
    for row in rows(tmp_path / "out" / "files.csv"):
        people[row["side"]].add(row["speaker"])
        path = tmp_path / "out" / row["file"]
        assert path.is_symlink() and soundfile.info(path).frames == 3200
    assert people["train"] and people["test"] and not people["train"] & people["test"]


def test_split_keeps_the_files_of_a_dns_clip_together(mix, tmp_path):
    assert mix() == 0
    assert main(["data", "split", str(tmp_path / "out"), "-o", str(tmp_path / "sides"), "--share", "0.5"]) == 0
    for side in ("train", "test"):
        ids = {
            part: {p.stem.split("_")[-1] for p in (tmp_path / "sides" / side / part).iterdir()}
            for part in mixed_set.PARTS
        }
        assert ids["clean"] == ids["noise"] == ids["noisy"] and len(ids["clean"]) == 3


def test_a_corpus_of_one_speaker_cannot_be_split(tmp_path, capsys):
    for number in range(3):
        save(tmp_path / "in" / f"a_{number}.wav", noise(0.2, number))
    assert main(["data", "split", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--speaker", "^in/(a)"]) == 2
    assert "expected speakers enough for both sides, found none for test" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_balance_gives_equal_shares(tmp_path, capsys):
    for source, count in (("de", 12), ("en", 30), ("fr", 7)):
        for number in range(count):
            save(tmp_path / "in" / source / f"{number}.wav", noise(0.5 + 0.1 * (number % 3), number))
    assert main(["data", "balance", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert "out/fr: 7 clips" in capsys.readouterr().out
    seconds = defaultdict(float)
    for row in rows(tmp_path / "out" / "files.csv"):
        assert (tmp_path / "out" / row["file"]).is_file()
        seconds[row["source"]] += float(row["seconds"])
    assert set(seconds) == {"de", "en", "fr"} and max(seconds.values()) - min(seconds.values()) <= 0.7
    parts = balance(tmp_path / "in", tmp_path / "less", hours=6 / 3600)
    assert all(part.seconds == pytest.approx(2.0, abs=0.36) for part in parts.values())
    assert main(["data", "balance", str(tmp_path / "in"), "-o", str(tmp_path / "more"), "--hours", "1"]) == 2
    most = re.search(r"expected at most ([\d.]+), .* h in fr", capsys.readouterr().err)
    assert most and not (tmp_path / "more").exists()
    assert main(["data", "balance", str(tmp_path / "in"), "-o", str(tmp_path / "more"), "--hours", most[1]]) == 0
    assert main(["data", "balance", str(tmp_path / "in"), "-o", str(tmp_path / "none"), "--seed", "-1"]) == 2
    assert "seed: expected 0 or more, found -1" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["split", "balance"])
def test_an_interruption_leaves_the_old_folder_as_it_was(tmp_path, monkeypatch, capsys, command):
    for number in range(8):
        save(tmp_path / "in" / "ab"[number % 2] / f"{number}.wav", noise(0.3, number))
    arguments = ["data", command, str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = contents(tmp_path / "out")
    assert main(arguments) == 2
    assert "holds a corpus already" in capsys.readouterr().err

    from frcrn.data import corpus as module

    place, calls = module.place, []

    def failing(*args):
        calls.append(args)
        if len(calls) > 3:
            raise KeyboardInterrupt
        place(*args)

    monkeypatch.setattr(module, "place", failing)
    assert main([*arguments, "--force", "--seed", "5"]) == 130
    assert contents(tmp_path / "out") == before
    monkeypatch.undo()
    assert main([*arguments, "--force", "--seed", "5"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_set_in_dns_form_is_not_balanced(mix, tmp_path, capsys):
    assert mix(count=1) == 0
    assert main(["data", "balance", str(tmp_path / "out"), "-o", str(tmp_path / "b")]) == 2
    assert "found a set in DNS form" in capsys.readouterr().err
