"""Evaluation: rows, intervals, going on after an interruption, sources of clips, harm."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frcrn.cli import main
from frcrn.evaluation import side_effects
from frcrn.evaluation.evaluate import Options, digest_of, evaluate, open_pairs, run
from frcrn.evaluation.metrics import word_errors
from frcrn.evaluation.metrics.pool import KILLED, Scorers
from frcrn.evaluation.metrics.scores import Scores, score, si_sdr
from frcrn.evaluation.metrics.word_errors import Recogniser
from frcrn.evaluation.scores_csv import Journal
from frcrn.evaluation.statistics import Row, describe, interval, paired_difference, summarise
from frcrn.evaluation.systems import EnhancedFolder, Network, Unprocessed, open_system
from frcrn.models.checkpoint import fingerprint
from tests import networks
from tests.fakes import Gain, Normalise
from tests.made_audio import RATE, noise, save, speech

NAMES = ("snr", "si_sdr")
CLEAN = [speech(0.6, seed) for seed in range(6)]
PAIRS = [(f"clip {seed}", wave + noise(0.6, seed + 50), wave) for seed, wave in enumerate(CLEAN)]


class Counting(Unprocessed):
    """Passes clips through, notes which, and may be interrupted at one of them."""

    def __init__(self, stop: str | None = None) -> None:
        self.seen: list[str] = []
        self.stop = stop

    def enhance(self, name: str, noisy: np.ndarray, rate: int) -> np.ndarray:
        if name == self.stop:
            raise KeyboardInterrupt
        self.seen.append(name)
        return noisy


LONG = speech(1.5, 20)
NOISY = LONG + noise(1.5, 21)


def quick(system: object, pairs: object = PAIRS, folder: Path | None = None, **options: object) -> object:
    return run(system, pairs, Options(names=NAMES, workers=1, **options), folder)


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 there")
def test_names_that_are_no_utf_8_are_scored(tmp_path: Path) -> None:
    for side in ("noisy", "clean"):
        save(tmp_path / side / "raw.wav", LONG if side == "clean" else NOISY)
        (tmp_path / side / "raw.wav").rename(tmp_path / side / os.fsdecode(b"raw\xff.wav"))
    pairs = open_pairs(tmp_path)
    report = quick(EnhancedFolder(tmp_path / "clean"), pairs, tmp_path / "out")
    assert [row.name for row in report.rows] == ["raw\udcff"] and (tmp_path / "out" / "summary.json").is_file()


def test_each_row_holds_what_score_gives_for_the_enhanced_clip() -> None:
    done = []
    report = evaluate(Gain(0.5), PAIRS, names=NAMES, workers=2, progress=lambda n, total: done.append((n, total)))
    assert [row.name for row in report.rows] == [name for name, _, _ in PAIRS]
    for row, (_, noisy, clean) in zip(report.rows, PAIRS, strict=True):
        expected = score(clean, 0.5 * noisy, RATE, (*NAMES, "speech_level", "speech_lost"))
        for name, value in expected.values.items():
            assert row.scores.values[name] == pytest.approx(value, abs=1e-4)
        assert row.input_snr == pytest.approx(
            10 * math.log10((clean @ clean) / ((noisy - clean) @ (noisy - clean))), 1e-4
        )
        assert row.seconds == 0.6
    assert done == [(n, 6) for n in range(1, 7)]


def test_the_summary_is_the_mean_of_the_rows_and_the_model_keeps_its_mode() -> None:
    model = Gain(1.0).train()
    report = evaluate(model, iter(PAIRS), names=NAMES, workers=1)
    values = [si_sdr(noisy, clean) for _, noisy, clean in PAIRS]
    found = report.summary["metrics"]["si_sdr"]
    assert found["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    assert found["median"] == pytest.approx(np.median(values), abs=1e-3)
    assert found["low"] < found["mean"] < found["high"] and found["count"] == 6 and found["failed"] == 0
    assert report.summary["clips"] == 6 and report.summary["real_time_factor"] > 0
    assert model.training


@pytest.mark.parametrize("level", [None, -25.0])
def test_the_trainer_gives_the_numbers_of_an_evaluation(level: float | None, tmp_path: Path) -> None:
    from frcrn.training import Trainer

    pytest.importorskip("accelerate")
    # what this network makes of a wave depends on how loud it is fed
    model = Normalise(level_dbfs=level) if level else networks.tiny(causal=True)
    pairs = [(f"{seed}", speech(1.5, seed) + noise(1.5, seed), speech(1.5, seed)) for seed in range(2)]
    data = Examples(pairs)
    recipe = {
        "train": {"max_steps": 1},
        "loss": {"si_snr": {}},
        "evaluation": {"every": 1, "clips": 2, "best": "si_snr"},
    }
    trainer = Trainer(recipe, work_dir=tmp_path / "run", model=model, train_data=data, valid_data=data)
    trained = trainer.evaluate()
    found = evaluate(model, pairs, names=("pesq", "stoi", "si_snr"), workers=1).summary["metrics"]
    assert {name: trained[name] for name in found.keys() & trained.keys()} == pytest.approx(
        {name: found[name]["mean"] for name in ("pesq", "stoi", "si_snr", "speech_level", "speech_lost")}, rel=1e-5
    )
    noisy = evaluate(Unprocessed(), pairs, names=("si_snr",), workers=1).summary["metrics"]["si_snr"]["mean"]
    assert trained["si_snr_noisy"] == pytest.approx(noisy, rel=1e-5)


class Examples:
    """Pairs as a trainer takes them."""

    def __init__(self, pairs: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, at: tuple[int, int]) -> dict[str, torch.Tensor]:
        _, noisy, clean = self.pairs[at[1]]
        return {"noisy": torch.from_numpy(noisy), "clean": torch.from_numpy(clean)}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = quick(Counting(), folder=tmp_path / "whole")
    stopped = Counting(stop="clip 5")
    with pytest.raises(KeyboardInterrupt):
        quick(stopped, folder=tmp_path / "parts")
    kept = len((tmp_path / "parts" / "scores.csv").read_text().splitlines()) - 1
    assert 0 < kept < 5
    resumed = Counting()
    report = quick(resumed, folder=tmp_path / "parts")
    assert resumed.seen == [name for name, _, _ in PAIRS[kept:]]
    assert [row.scores for row in report.rows] == [row.scores for row in whole.rows]
    tables = [list(csv.DictReader((tmp_path / part / "scores.csv").open())) for part in ("whole", "parts")]
    for row in (*tables[0], *tables[1]):
        del row["processing"]
    assert tables[0] == tables[1]
    assert not list(tmp_path.rglob(".*"))


def test_a_second_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    first = quick(Counting(), folder=tmp_path, probes=2)
    again = Counting()
    assert quick(again, folder=tmp_path, probes=2).summary == first.summary
    assert again.seen == []
    assert quick(again, PAIRS[:4], folder=tmp_path).summary["clips"] == 4
    assert again.seen == [] and len((tmp_path / "scores.csv").read_text().splitlines()) == 5


def test_a_line_that_was_cut_off_is_scored_again(tmp_path: Path) -> None:
    quick(Counting(), folder=tmp_path)
    text = (tmp_path / "scores.csv").read_text()
    (tmp_path / "scores.csv").write_text(text[: text.rindex("clip 4") + 20])
    again = Counting()
    report = quick(again, folder=tmp_path)
    assert again.seen == ["clip 4", "clip 5"] and len(report.rows) == 6


def test_rows_are_on_disk_at_once_and_a_torn_line_never_hurts(tmp_path: Path) -> None:
    rows = [
        Row(f"clip {n}, \n", 1.5, "ab", math.nan, 0.1, Scores({"snr": 1 / 3}, {"stoi": 'why, "\ndc80"'}))
        for n in range(3)
    ]
    with Journal(tmp_path, {"model": "x"}, ("snr", "stoi")) as journal:
        for row in rows:
            journal.add(row)
            text = (tmp_path / "scores.csv").read_text()
            assert row.name.strip() in text
    for cut in range(text.rindex("clip 2") - 1, len(text)):
        (tmp_path / "scores.csv").write_text(text[:cut])
        with Journal(tmp_path, {"model": "x"}, ("snr", "stoi")) as again:
            assert [row.scores for row in list(again.rows.values())[:2]] == [row.scores for row in rows[:2]]
            assert set(again.rows) == {row.name for row in rows[:2]}


def test_another_model_metric_or_clip_is_not_mixed_in(tmp_path: Path) -> None:
    quick(Network(Gain(0.5)), folder=tmp_path)
    with pytest.raises(ValueError, match="scores of another run: its model is"):
        quick(Network(Gain(0.6)), folder=tmp_path)
    with pytest.raises(ValueError, match="its metrics is"):
        run(Network(Gain(0.5)), PAIRS, Options(names=("lsd",), workers=1), tmp_path)
    changed = [("clip 0", PAIRS[0][1] * 1.001, PAIRS[0][2])]
    with pytest.raises(ValueError, match="clip 0: the clip has changed"):
        quick(Network(Gain(0.5)), changed, folder=tmp_path)
    assert quick(Network(Gain(0.6)), folder=tmp_path, fresh=True).summary["clips"] == 6


def test_scores_of_unknown_origin_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("mine\n")
    with pytest.raises(ValueError, match=r"scores.csv that no run.json explains"):
        quick(Counting(), folder=tmp_path)
    assert (tmp_path / "scores.csv").read_text() == "mine\n"


def test_failures_are_counted_and_listed_never_dropped(tmp_path: Path) -> None:
    pairs = [
        ("clip 0", NOISY, LONG),
        ("silent", 0 * CLEAN[0], 0 * CLEAN[0]),
        ("short", PAIRS[0][1][:1600], CLEAN[0][:1600]),
        ("uneven", PAIRS[0][1], CLEAN[0][:-1]),
    ]
    report = run(Unprocessed(), pairs, Options(names=("stoi", "snr"), workers=1), tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == json.loads(json.dumps(report.summary))
    assert summary["clips"] == 4 and summary["failed_clips"] == 3
    assert summary["metrics"]["stoi"] | {"mean": 0, "median": 0} == {
        "mean": 0, "median": 0, "low": None, "high": None, "count": 1, "failed": 3
    }  # fmt: skip
    reasons = {(each["clip"], each["metric"]): each["reason"] for each in summary["failed"]}
    assert "silent" in reasons["silent", "stoi"] and "0.4 s" in reasons["short", "stoi"]
    assert reasons["uneven", "snr"] == "the noisy clip has 9600 samples, the clean one 9599"
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["clip"] for row in rows] == ["clip 0", "silent", "short", "uneven"]
    assert json.loads(rows[3]["failures"])["snr"].startswith("the noisy clip")


def test_no_clips_or_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="no clips to score"):
        quick(Unprocessed(), [])
    with pytest.raises(ValueError, match="clip 0: two clips have this name"):
        quick(Unprocessed(), [PAIRS[0], PAIRS[0]])


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=60), st.floats(-3, 3), st.floats(0.1, 5))
def test_the_interval_lies_around_the_mean_and_moves_with_the_values(
    values: list[float], by: float, scale: float
) -> None:
    low, high = interval(values)
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9 or np.ptp(values) > 0
    moved = interval(np.array(values) * scale + by)
    np.testing.assert_allclose(moved, [low * scale + by, high * scale + by], atol=1e-6)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = [low < 2.0 < high for low, high in (interval(random.normal(2.0, 1.0, 40)) for _ in range(300))]
    assert 0.89 < np.mean(hits) < 0.98
    assert all(math.isnan(bound) for bound in interval([1.0]))
    assert describe([])["mean"] is None


def test_a_paired_difference_uses_the_shared_clips_only() -> None:
    found = paired_difference({"a": 1.0, "b": 2.0, "c": 9.0}, {"a": 1.5, "b": 2.5, "d": 0.0})
    assert (found["mean"], found["low"], found["high"], found["count"]) == (0.5, 0.5, 0.5, 2)


def test_the_data_hash_knows_each_clip_but_not_their_order() -> None:
    rows = [Row(f"{n}", 1.0, f"{n * 7}", 0.0, 0.0, Scores()) for n in range(3)]
    assert digest_of(rows) == digest_of(rows[::-1]) != digest_of(rows[:2])
    assert digest_of([rows[0]._replace(digest="x"), *rows[1:]]) != digest_of(rows)


@pytest.mark.parametrize(("gain", "flagged"), [(1.0, 0), (0.7, 0), (0.3, 6)])
def test_over_suppression_is_detected_and_counted(gain: float, flagged: int) -> None:
    pairs = [(name, clean, clean) for name, _, clean in PAIRS]
    assert len(quick(Network(Gain(gain)), pairs).summary["over_suppressed"]) == flagged


def test_harm_says_what_speech_lost_and_noise_kept() -> None:
    with Scorers(("pesq", "speech_level"), workers=1) as scorers:
        found = side_effects.measure(
            Network(Gain(0.5)), [*PAIRS[:2], ("silent", 0 * CLEAN[0], 0 * CLEAN[0])], scorers, RATE
        )
    half = pytest.approx(-20 * math.log10(2), abs=1e-3)
    assert found["clips"] == found["noise_alone"]["clips"] == 2
    assert found["clean_speech"]["speech_level"]["mean"] == half
    assert found["clean_speech"]["removed_db"]["mean"] == half
    assert found["noise_alone"]["remaining_db"]["mean"] == half
    assert found["clean_speech"]["pesq"]["mean"] > 4.5


def test_harm_is_measured_on_clean_speech_and_on_noise_alone() -> None:
    class Noting(Unprocessed):
        def enhance(self, name: str, noisy: np.ndarray, rate: int) -> np.ndarray:
            heard.append(noisy)
            return noisy

    heard: list[np.ndarray] = []
    with Scorers(("snr",), workers=1) as scorers:
        side_effects.measure(Noting(), PAIRS[:1], scorers, RATE)
    _, noisy, clean = PAIRS[0]
    np.testing.assert_array_equal(heard, [clean, noisy - clean])


def dns(root: Path, layout: str) -> Path:
    for number, (_, noisy, clean) in enumerate(PAIRS[:3]):
        names = {
            "same": (f"p{number}.wav", f"p{number}.flac"),
            "id": (f"street_snr5_fileid_{number}.wav", f"clean_fileid_{number}.wav"),
            "nested": (f"a/p{number}.wav", f"a/p{number}.wav"),
        }[layout]
        save(root / "noisy" / names[0], noisy)
        save(root / "clean" / names[1], clean)
    return root


@pytest.mark.parametrize("layout", ["same", "id", "nested"])
def test_folders_match_by_name_or_file_id(layout: str, tmp_path: Path) -> None:
    root = dns(tmp_path / "set", layout)
    pairs = open_pairs(root)
    assert len(pairs) == 3 and pairs.unmatched == ()
    for pair, (_, noisy, clean) in zip(pairs, PAIRS, strict=False):
        np.testing.assert_allclose(pair.noisy, noisy, atol=1e-4)
        np.testing.assert_allclose(pair.clean, clean, atol=1e-4)
    two = open_pairs(root / "noisy", root / "clean")
    assert [pair.name for pair in two] == [pair.name for pair in pairs]
    assert pairs[-1].name == pairs[2].name and [pair.name for pair in pairs[:2]] == [pairs[0].name, pairs[1].name]
    with pytest.raises(IndexError):
        pairs[3]


def test_files_without_a_partner_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = dns(tmp_path, "same")
    save(root / "noisy" / "lonely.wav", CLEAN[0])
    pairs = open_pairs(root)
    assert len(pairs) == 3 and [Path(path).name for path in pairs.unmatched] == ["lonely.wav"]
    assert "1 files have no partner" in caplog.text
    assert quick(Unprocessed(), pairs).summary["unmatched"] == list(pairs.unmatched)


def test_other_rates_and_channels_are_brought_to_one(tmp_path: Path) -> None:
    wave = np.stack([speech(0.5, 1, 48000), speech(0.5, 1, 48000)], axis=1)
    save(tmp_path / "noisy" / "a.wav", wave, 48000)
    save(tmp_path / "clean" / "a.wav", wave[:, 0], 48000)
    pair = open_pairs(tmp_path)[0]
    assert pair.noisy.shape == pair.clean.shape == (8000,)
    assert si_sdr(pair.noisy, pair.clean) > 60


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "found nothing"),
        (lambda root: root.mkdir(), "expected the folders noisy and clean"),
        (lambda root: save(root, CLEAN[0], format="WAV"), "found a file"),
        (lambda root: [save(root / kind / f"{kind}.wav", CLEAN[0]) for kind in ("noisy", "clean")], "no file matches"),
        (lambda root: [(root / kind).mkdir(parents=True) for kind in ("noisy", "clean")], "no audio files"),
        (
            lambda root: [save(root / kind, CLEAN[0]) for kind in ("noisy/a.wav", "noisy/a.flac", "clean/a.wav")],
            "have the same name",
        ),
    ],
    ids=["nothing", "empty", "a file", "no match", "no audio", "twice"],
)
def test_what_is_no_set_is_refused_in_one_sentence(make: object, said: str, tmp_path: Path) -> None:
    make(tmp_path / "place")
    with pytest.raises(ValueError, match=said):
        open_pairs(tmp_path / "place")


def test_a_hugging_face_set_on_disk_is_the_same_clips(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [
        {"name": name, "noisy": {"array": noisy.tolist()}, "clean": {"array": clean.tolist()}}
        for name, noisy, clean in PAIRS
    ]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "set"))
    pairs = open_pairs(tmp_path / "set")
    assert [pair.name for pair in pairs] == [name for name, _, _ in PAIRS]
    np.testing.assert_allclose(pairs[4].clean, CLEAN[4], atol=1e-6)
    datasets.DatasetDict(
        train=datasets.Dataset.from_list(rows), test=datasets.Dataset.from_list(rows[:2])
    ).save_to_disk(str(tmp_path / "dict"))
    assert len(open_pairs(tmp_path / "dict", split="test")) == 2
    with pytest.raises(ValueError, match="expected one of train, test"):
        open_pairs(tmp_path / "dict")


def test_enhanced_files_are_found_by_name_and_brought_to_length(tmp_path: Path) -> None:
    for name, noisy, _ in PAIRS[:2]:
        save(tmp_path / f"{name}.wav", noisy[:-100])
    save(tmp_path / "clip 2.wav", CLEAN[2][:-3000])
    folder = open_system(f"theirs={tmp_path}")
    assert isinstance(folder, EnhancedFolder) and folder.label == "theirs"
    report = quick(folder, PAIRS[:4], probes=2)
    assert [bool(row.scores.failures) for row in report.rows] == [False, False, True, True]
    assert "6600 samples, the noisy clip has 9600" in report.rows[2].scores.failures["snr"]
    assert "no enhanced file for the clip clip 3" in report.rows[3].scores.failures["snr"]
    assert report.summary["harm"] is None
    before = folder.fingerprint()
    save(tmp_path / "clip 0.wav", CLEAN[0])
    assert folder.fingerprint() != before


def test_the_fingerprint_knows_the_weights() -> None:
    assert fingerprint(Gain(0.5)) == fingerprint(Gain(0.5)) != fingerprint(Gain(0.25))


def test_a_network_that_returns_nan_fails_by_name() -> None:
    report = quick(Network(Gain(math.nan)), PAIRS[:1])
    assert "NaN" in report.rows[0].scores.failures["snr"]


@pytest.mark.parametrize(
    ("said", "heard", "errors"), [("a", "a b c", 2), ("a b", "b", 1), ("a b c", "a x c", 1), ("", "a", 1)]
)
def test_word_errors_count_insertions_deletions_and_substitutions(said: str, heard: str, errors: int) -> None:
    assert word_errors.word_errors(said.split(), heard.split()) == errors


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The cat, the DOG_and 3.5!", "the cat the dog and 3 5"),
        ("don\u2019t \u2018rock\u2019 rock 'n' roll", "don't rock rock n roll"),
        ("cafe\u0301 na\u200cme", "caf\xe9 name"),
        ("हिन्दी में बात करें।", "हिन्दी में बात करें"),
        ("நன்றி வணக்கம்", "நன்றி வணக்கம்"),
        ("你好，abc世界", "你 好 abc 世 界"),
        ("สวัสดี", "ส วั ส ดี"),
        ("안녕 하세요", "안녕 하세요"),
        ("\uff76\uff9e\uff77\u3001\uff21\uff42 \uff11", "\u30ac \u30ad ab 1"),
    ],
)
def test_words_are_those_of_their_script(text: str, found: str) -> None:
    assert word_errors.words(text) == found.split()


def test_a_clip_whose_scoring_was_killed_is_scored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        killed = lambda self, clean, enhanced, names: Scores(failures=dict.fromkeys(names, KILLED))  # noqa: E731
        patch.setattr(Scorers, "_score", killed)
        assert quick(Counting(), PAIRS[:2], tmp_path).summary["failed_clips"] == 2
    system = Counting()
    assert quick(system, PAIRS[:2], tmp_path).summary["failed_clips"] == 0
    assert system.seen == [name for name, _, _ in PAIRS[:2]]


def distance(one: list[str], other: list[str]) -> int:
    """Levenshtein's recursion."""
    if not one or not other:
        return len(one) + len(other)
    same = distance(one[1:], other[1:]) + (one[0] != other[0])
    return min(same, distance(one[1:], other) + 1, distance(one, other[1:]) + 1)


@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abc"), max_size=5))
def test_word_errors_are_the_edit_distance(one: list[str], other: list[str]) -> None:
    assert word_errors.word_errors(one, other) == distance(one, other)


def test_word_errors_are_counted_with_any_recogniser() -> None:
    def hears(wave: np.ndarray, rate: int) -> str:
        return "Hello, WORLD" if abs(wave).max() > 0.05 else "hello old world"

    pairs = [("a", CLEAN[0], CLEAN[0]), ("b", 0.01 * CLEAN[1], CLEAN[1]), ("c", CLEAN[2], CLEAN[2])]
    options = Options(names=("snr",), workers=1, recogniser=hears, transcripts={"c": "hello big wide world"})
    found = run(Unprocessed(), pairs, options)
    assert [row.scores.values["wer"] for row in found.rows] == [0.0, 0.5, 0.5]
    assert found.summary["metrics"]["wer"]["pooled"] == pytest.approx(3 / 8)


@pytest.mark.parametrize(
    ("table", "code", "said"),
    [
        ("clip,text\n0.wav,hello\n", 2, "no row for any clip; they are called like 0"),
        ("clip,text\n0,hello\n0,goodbye\n", 2, "expected one text for the clip 0, found two"),
        ("clip,text\n0,hello\n", 0, "1 of 2 clips are not in it, such as 1"),
        ("\ufeffclip,text\r\n0,hello\r\n1,hello\r\n", 0, ""),
    ],
    ids=["other names", "two texts", "one is missing", "as a spreadsheet saves it"],
)
def test_transcripts_are_those_of_the_clips(
    table: str,
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for side in ("noisy", "clean"):
        for number in range(2):
            save(tmp_path / "pairs" / side / f"{number}.wav", speech(0.5, number))
    (tmp_path / "said.csv").write_text(table, encoding="utf-8")
    monkeypatch.setattr(word_errors, "open_recogniser", lambda name: lambda wave, rate: "hello")
    words = ["--wer", "any", "--transcripts", str(tmp_path / "said.csv"), "--metrics", "snr", "--workers", "1"]
    assert main(["evaluate", "-m", "noisy", "--data", str(tmp_path / "pairs"), *words, "--probes", "0"]) == code
    error = capsys.readouterr().err
    assert said in error if said else "frcrn:" not in error


def test_a_recogniser_is_opened_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert word_errors.open_recogniser("os.path:basename") == word_errors.Named("os.path:basename", os.path.basename)
    with pytest.raises(ValueError, match="accepted are pocketsphinx and module:function"):
        word_errors.open_recogniser("whisperer")
    with pytest.raises(ValueError, match="nowhere"):
        word_errors.open_recogniser("nowhere:function")
    (tmp_path / "half_written.py").write_text("def recognise(wave, rate)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="half_written:recognise.*SyntaxError"):
        word_errors.open_recogniser("half_written:recognise")


class Says:
    """Hears the same in every clip."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, wave: np.ndarray, rate: int) -> str:
        return self.text


def says(text: str, wave: object = None, rate: int = 0) -> str:
    return text


def saying(text: str) -> Recogniser:
    return lambda wave, rate: text


def says_word(wave: np.ndarray, rate: int) -> str:
    return "word"


def says_words(wave: np.ndarray, rate: int) -> str:
    return "two words"


def named(text: str) -> Recogniser:
    recogniser = partial(says, text)
    recogniser.name = text
    return recogniser


SMALL, LARGE = Says("word"), Says("two words")


def test_recognisers_of_the_command_line_are_known_by_what_was_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for side in ("noisy", "clean"):
        save(tmp_path / "pairs" / side / "a.wav", CLEAN[0])
    (tmp_path / "said.csv").write_text("clip,text\na,word\n")
    rest = ["--metrics", "snr", "--workers", "1", "--probes", "0", "--transcripts", str(tmp_path / "said.csv")]
    begin = ["evaluate", "-m", "noisy", "-d", str(tmp_path / "pairs"), "-o", str(tmp_path / "out"), *rest, "--wer"]
    assert main([*begin, f"{__name__}:SMALL"]) == main([*begin, f"{__name__}:SMALL"]) == 0
    assert main([*begin, f"{__name__}:LARGE"]) == 2
    assert f"its recogniser is {__name__}:SMALL, this one's is {__name__}:LARGE" in capsys.readouterr().err


@pytest.mark.parametrize("recogniser", [says_word, named("a"), word_errors.Named("b", SMALL)])
def test_a_recogniser_that_is_known_goes_on(recogniser: Recogniser, tmp_path: Path) -> None:
    for _ in range(2):
        quick(Counting(), PAIRS[:2], tmp_path, recogniser=recogniser)
    with pytest.raises(ValueError, match="its recogniser is .*, this one's is .*says_words;"):
        quick(Counting(), PAIRS[:2], tmp_path, recogniser=says_words)


@pytest.mark.parametrize("make", [Says, saying, lambda text: partial(says, text), lambda text: Says(text).__call__])
def test_a_recogniser_without_a_name_is_never_taken_for_another(
    make: Callable[[str], Recogniser], tmp_path: Path
) -> None:
    quick(Counting(), PAIRS[:2], tmp_path, recogniser=make("word"))
    with pytest.raises(ValueError, match="has no attribute `name` to be known by; choose another folder or start"):
        quick(Counting(), PAIRS[:2], tmp_path, recogniser=make("two words"))


def fails(error: BaseException) -> Recogniser:
    def recognise(wave: np.ndarray, rate: int) -> str:
        raise error

    return recognise


@pytest.mark.parametrize(
    ("recognise", "said"),
    [
        (lambda wave, rate: None, "expected text, found None"),
        (lambda wave, rate: b"word", "expected text, found b'word'"),
        (lambda wave, rate: ["two", "words"], r"expected text, found \['two', 'words'\]"),
        (fails(RuntimeError("out of memory")), "failed with RuntimeError: out of memory"),
        (fails(ValueError("odd")), "failed with ValueError: odd"),
        (fails(SystemExit(0)), "failed with SystemExit: 0"),
    ],
)
def test_a_recogniser_that_finds_no_text_is_named_with_the_clip(
    recognise: Recogniser, said: str, tmp_path: Path
) -> None:
    """And what was scored before stays."""
    calls = iter([says_word] * 10 + [recognise])
    recogniser = word_errors.Named("mine", lambda wave, rate: next(calls)(wave, rate))
    with pytest.raises(ValueError, match=f"^clip 5: recogniser mine:? {said}$"):
        quick(Counting(), PAIRS, tmp_path, recogniser=recogniser)
    assert [line.split(",")[0] for line in (tmp_path / "scores.csv").read_text().splitlines()] == ["clip", "clip 0"]


def test_what_is_no_recogniser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="recogniser: expected a function of samples and their rate, found 5"):
        evaluate(Unprocessed(), PAIRS[:1], names=NAMES, recogniser=5)
    with pytest.raises(ValueError, match="recogniser 'math:pi': expected a function of samples and their rate"):
        word_errors.open_recogniser("math:pi")


def test_a_signal_while_a_recogniser_works_ends_the_command() -> None:
    with pytest.raises(SystemExit):
        quick(Counting(), PAIRS[:1], recogniser=fails(SystemExit(143)))


def test_summaries_hold_plain_numbers() -> None:
    rows = [
        Row("a", 1.0, "x", math.nan, 0.5, Scores({"snr": 1.0})),
        Row("b", 1.0, "y", 0.0, 0.5, Scores({}, {"snr": "why"})),
    ]
    summary = summarise(rows, ("snr",))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["real_time_factor"] == 0.5 and summary["failed"] == [{"clip": "b", "metric": "snr", "reason": "why"}]


def bent(text: str) -> str:
    head, row, *rest = text.splitlines()
    return "\n".join([head, row.rstrip(",") + ",[5]", *rest]) + "\n"


TABLES = {
    "other columns": lambda text: text.replace("clip,", "run,", 1),
    "words for numbers": lambda text: text.replace("0.6", "much"),
    "reasons that are none": bent,
    "a cell without an end": lambda text: text + "x" * 200_000 + "\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_scores_that_are_none_are_refused_by_name(name: str, tmp_path: Path) -> None:
    run(Unprocessed(), PAIRS[:2], Options(names=NAMES, workers=1), tmp_path)
    table = tmp_path / "scores.csv"
    table.write_text(TABLES[name](table.read_text()))
    with pytest.raises(ValueError, match="scores.csv") as caught:
        run(Unprocessed(), PAIRS[:2], Options(names=NAMES, workers=1), tmp_path)
    assert "\n" not in str(caught.value)


def test_harm_that_was_not_measured_is_measured(tmp_path: Path) -> None:
    options = Options(names=NAMES, workers=1, probes=1)
    harm = run(Unprocessed(), PAIRS[:2], options, tmp_path).summary["harm"]
    path = tmp_path / "summary.json"
    for change in ({"clean_speech": {}}, {"noise_alone": {"remaining_db": "<script>"}}, {"clean_speech": 5}):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"harm": harm | change}))
        assert run(Unprocessed(), PAIRS[:2], options, tmp_path).summary["harm"] == harm


@pytest.mark.parametrize("name", ["scores.csv", "run.json", "summary.json", "report.html"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_scores_are_written_where_they_were_asked_for(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "out").mkdir()
    if kind == "link":
        (tmp_path / "out" / name).symlink_to(tmp_path / "victim")
    else:
        os.mkfifo(tmp_path / "out" / name)
    with pytest.raises(ValueError, match=f"{name}: is a link, a pipe or a device"):
        run(Unprocessed(), PAIRS[:1], Options(names=NAMES, workers=1), tmp_path / "out")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_recogniser_of_the_working_folder_comes_after_installed_packages(tmp_path: Path) -> None:
    """What lies in a folder of downloads is not run because somebody stands there."""
    for name in ("pocketsphinx", "soxr", "pesq"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')")
    (tmp_path / "mine.py").write_text("def hear(wave, rate):\n    return 'word'\n")
    for part in ("noisy", "clean"):
        save(tmp_path / "data" / part / "a.wav", speech(1.0, 3))
    start = "import sys; del sys.path[0]; from frcrn.cli import main; sys.exit(main(sys.argv[1:]))"
    rest = ["--data", "data", "--metrics", "si_sdr", "--workers", "1", "--probes", "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for recogniser in ("pocketsphinx", "mine:hear"):
        command = [sys.executable, "-c", start, "evaluate", "-m", "noisy", "--wer", recogniser, *rest]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert not (tmp_path / "ran").exists(), done.stderr
        assert recogniser == "pocketsphinx" or done.returncode == 0, done.stderr
