"""DNS folders, Hugging Face rows and blends: the same segments however the clips are stored."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frcrn.data import Blend, HFRows, build
from frcrn.data.blend import evenly
from frcrn.data.dns import open_folder
from frcrn.data.hf import HfConfig, cell_wave, open_rows
from frcrn.data.segments import Segments
from frcrn.training.batches import collate
from tests.made_audio import RATE, noise, save, speech

LENGTHS = (1.0, 2.3, 0.4, 3.0)


def at(rate, samples=1000):
    """A cell of an audio column."""
    return {"array": np.zeros(samples, np.float32), "sampling_rate": rate}


class Made:
    """Rows whose samples are their own numbers."""

    def __init__(self, lengths):
        self.lengths = np.array(lengths, np.int64)

    def pair(self, row, start, stop):
        wave = np.arange(self.lengths[row], dtype=np.float32)[start:stop] + 1000 * row
        return wave, -wave


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=6), samples=st.integers(1, 12), epoch=st.integers(0, 9)
)
def test_segments_are_whole_disjoint_and_of_one_length(lengths, samples, epoch):
    segments = Segments(Made(lengths), samples, seed=0)
    assert len(segments) == sum(max(length // samples, 1) for length in lengths)
    seen = []
    for index in range(len(segments)):
        example = segments[epoch, index]
        assert example["noisy"].shape == (samples,) and torch.equal(example["noisy"], -example["clean"])
        seen += example["noisy"].tolist()
    cut = [value for value in seen if value % 1000]
    assert len(set(cut)) == len(cut)


def test_epochs_shift_the_cut_and_use_the_whole_clip():
    segments = Segments(Made([25]), 10, seed=3)
    starts = {int(segments[epoch, 0]["noisy"][0]) for epoch in range(60)}
    assert starts == {0, 1, 2, 3, 4, 5}
    assert torch.equal(segments[7, 1]["noisy"], Segments(Made([25]), 10, seed=3)[7, 1]["noisy"])
    assert torch.equal(segments[7, 1]["noisy"], segments[7, 0]["noisy"] + 10)


@pytest.fixture(scope="module")
def clips():
    waves = []
    for number, seconds in enumerate(LENGTHS):
        clean = speech(seconds, number)
        waves.append((clean, noise(seconds, 50 + number)))
    return waves


@pytest.fixture(scope="module")
def dns(tmp_path_factory, clips) -> Path:
    root = tmp_path_factory.mktemp("dns")
    for number, (clean, other) in enumerate(clips):
        save(root / "clean" / f"clean_fileid_{number}.wav", clean, subtype="FLOAT")
        save(root / "noise" / f"noise_fileid_{number}.wav", other, subtype="FLOAT")
        save(root / "noisy" / f"book_x_snr5_fileid_{number}.wav", clean + other, subtype="FLOAT")
    return root


def expected(clips):
    return [torch.from_numpy(np.pad(clean, (0, max(0, RATE - len(clean))))[:RATE]) for clean, _ in clips]


@pytest.mark.parametrize("cached", [False, True])
def test_a_dns_folder_matches_files_by_id(dns, clips, tmp_path, cached):
    table = {"kind": "dns", "folder": str(dns), "seconds": 0.5, "cache": str(tmp_path / "k") if cached else None}
    data = build(table, sample_rate=RATE, seed=0)
    assert len(data) == 2 + 4 + 1 + 6
    for index, (clean, other) in ((0, clips[0]), (1, clips[0])):
        cut = slice(index * 8000, index * 8000 + 8000)
        torch.testing.assert_close(data[0, index]["clean"], torch.from_numpy(clean[cut]), atol=1e-4, rtol=0)
        torch.testing.assert_close(data[0, index]["noisy"], torch.from_numpy((clean + other)[cut]), atol=1e-4, rtol=0)


def test_a_dns_folder_without_noisy_files_adds_the_noise(dns, clips, tmp_path):
    for part in ("clean", "noise"):
        (tmp_path / part).symlink_to(dns / part)
    data = build({"kind": "dns", "folder": str(tmp_path), "seconds": 1.0}, sample_rate=RATE, seed=0)
    torch.testing.assert_close(data[0, 0]["noisy"], torch.from_numpy(clips[0][0] + clips[0][1]))


def test_leftovers_are_reported_and_not_used(dns, tmp_path, caplog):
    for part in ("clean", "noisy"):
        for path in (dns / part).iterdir():
            save(tmp_path / part / path.name, speech(1, 1))
    save(tmp_path / "clean" / "clean_fileid_77.wav", speech(1, 1))
    found = open_folder(tmp_path)
    assert len(found.pairs) == 4 and [Path(name).stem for name in found.leftovers] == ["clean_fileid_77"]
    assert "clean_fileid_77" in caplog.text


@pytest.mark.parametrize("cached", [False, True])
def test_pairs_of_different_lengths_are_told(tmp_path, caplog, cached):
    for number, seconds in enumerate((1.0, 0.7)):
        save(tmp_path / "dns" / "clean" / f"{number}.wav", speech(seconds, 1))
        save(tmp_path / "dns" / "noisy" / f"{number}.wav", speech(1.0, 1))
    table = {"kind": "dns", "folder": str(tmp_path / "dns"), "cache": str(tmp_path / "k") if cached else None}
    data = build(table, sample_rate=RATE, seed=0)
    assert data.rows.lengths.tolist() == [RATE, 0.7 * RATE]
    assert "1 of 2 pairs are cut to the shorter of their two files" in caplog.text


def test_dns_files_at_another_rate_are_resampled(tmp_path):
    wave = speech(1.0, 1, rate=48000)
    for part in ("clean", "noisy"):
        save(tmp_path / part / "a.wav", wave, rate=48000)
    data = build({"kind": "dns", "folder": str(tmp_path), "seconds": 1.0}, sample_rate=RATE, seed=0)
    assert len(data) == 1 and data[0, 0]["clean"].shape == (RATE,)
    assert float(data[0, 0]["clean"].square().mean()) == pytest.approx(float(np.mean(wave**2)), rel=0.05)


def test_a_dns_folder_splits_by_clip(dns):
    sides = [
        build({"kind": "dns", "folder": str(dns), "split": s, "valid_share": 0.5}, sample_rate=RATE, seed=0)
        for s in ("train", "valid")
    ]
    names = [{item.name for item in side.rows.pairs} for side in sides]
    assert names[0] and names[1] and not names[0] & names[1] and len(names[0] | names[1]) == 4


def hf_rows(clips, dns, form: str):
    """The clips as a dataset in one of the forms that exist."""
    datasets = pytest.importorskip("datasets")
    files = [
        (str(dns / "noisy" / f"book_x_snr5_fileid_{n}.wav"), str(dns / "clean" / f"clean_fileid_{n}.wav"))
        for n in range(4)
    ]
    rows = {"duration": [float(len(clean)) / RATE for clean, _ in clips]}
    for place, column in enumerate(("noisy", "clean")):
        waves = [(clean + other, clean)[place] for clean, other in clips]
        cells = {
            "array": [wave.tolist() for wave in waves],
            "dict": [{"array": wave.tolist(), "sampling_rate": RATE, "path": "gone.wav"} for wave in waves],
            "path": [pair[place] for pair in files],
            "audio": [{"path": pair[place], "bytes": None} for pair in files],
            "bytes": [{"path": None, "bytes": Path(pair[place]).read_bytes()} for pair in files],
            "raw bytes": [Path(pair[place]).read_bytes() for pair in files],
        }
        rows[column] = cells["audio" if form == "decoded" else form]
    dataset = datasets.Dataset.from_dict(rows)
    if form in ("audio", "bytes", "decoded"):
        for column in ("noisy", "clean"):
            dataset = dataset.cast_column(column, datasets.Audio(sampling_rate=RATE, decode=form == "decoded"))
    return dataset


@pytest.mark.parametrize("form", ["array", "dict", "path", "audio", "bytes", "raw bytes", "decoded"])
def test_hugging_face_rows_of_every_form_give_the_same(clips, dns, form):
    dataset = hf_rows(clips, dns, form)
    before = (dataset.features.copy(), dataset.format, dataset._fingerprint)
    data = HFRows(dataset)
    assert len(data) == 1 + 2 + 1 + 3
    torch.testing.assert_close(data[0, 0]["clean"], expected(clips)[0])
    torch.testing.assert_close(data[0, 3]["clean"], expected(clips)[2])
    torch.testing.assert_close(data[0, 0]["noisy"], torch.from_numpy(clips[0][0] + clips[0][1]))
    assert (dataset.features, dataset.format, dataset._fingerprint) == before


def test_segments_made_by_modelscope_are_taken_as_they_are(clips, dns):
    audio_utils = pytest.importorskip("modelscope.utils.audio.audio_utils")
    raw = hf_rows(clips, dns, "dict")
    cut = raw.map(audio_utils.to_segment, remove_columns=raw.column_names, batched=True, batch_size=2)
    assert cut.column_names == ["noisy", "clean"] and len(cut) == 1 + 2 + 0 + 3
    cut.set_format("torch")
    data = HFRows(cut)
    assert len(data) == 6 and cut.format["type"] == "torch"
    torch.testing.assert_close(data[4, 5]["clean"], torch.from_numpy(clips[3][0][2 * RATE :]))


def test_a_dict_of_one_split_stands_for_it_and_of_more_is_refused(clips, dns):
    datasets = pytest.importorskip("datasets")
    rows = hf_rows(clips, dns, "array")
    assert len(HFRows(datasets.DatasetDict(test=rows))) == 7
    with pytest.raises(ValueError, match="split: expected one of train, test, found none named"):
        HFRows(datasets.DatasetDict(train=rows, test=rows))


def test_a_modelscope_dataset_is_unwrapped(clips, dns):
    msdatasets = pytest.importorskip("modelscope.msdatasets")
    rows = hf_rows(clips, dns, "array")
    assert len(HFRows(msdatasets.MsDataset.to_ms_dataset(rows))) == 7


def test_a_streaming_dataset_is_refused(clips, dns):
    with pytest.raises(ValueError, match="found a streaming one"):
        HFRows(hf_rows(clips, dns, "array").to_iterable_dataset())


def test_plain_lists_and_other_rates_work():
    high = speech(1.0, 1, rate=48000)
    rows = [
        {
            "noisy": {"array": high, "sampling_rate": 48000},
            "clean": {"array": np.stack([high, high]), "sampling_rate": 48000},
        }
    ]
    data = HFRows(rows)
    assert len(data) == 1 and torch.allclose(data[0, 0]["noisy"], data[0, 0]["clean"], atol=1e-6)
    assert data[0, 0]["noisy"].shape == (RATE,)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ""])
def test_datasets_on_disk(clips, dns, tmp_path, suffix):
    rows = hf_rows(clips, dns, "path")
    path = tmp_path / f"set{suffix}"
    {"": rows.save_to_disk, ".csv": rows.to_csv, ".jsonl": rows.to_json}[suffix](str(path))
    data = build({"kind": "hf", "path": str(path)}, sample_rate=RATE, seed=0)
    assert len(data) == 7
    torch.testing.assert_close(data[0, 0]["clean"], expected(clips)[0])


def test_relative_paths_start_at_the_table(tmp_path):
    pytest.importorskip("datasets")
    save(tmp_path / "audio" / "a.wav", speech(1, 1))
    (tmp_path / "set.csv").write_text("noisy,clean,duration\naudio/a.wav,audio/a.wav,1.0\n")
    assert len(build({"kind": "hf", "path": str(tmp_path / "set.csv")}, sample_rate=RATE, seed=0)) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"audio": [0.0]}], "expected the columns noisy and clean, found audio"),
        ([{"noisy": None, "clean": [0.0]}], "found an empty cell"),
        ([], "found no rows"),
        (5, "expected rows with the columns noisy and clean, found int"),
        ((row for row in ()), "expected rows with the columns noisy and clean, found generator"),
        ([None], "expected rows with the columns noisy and clean, found NoneType"),
        ([{"noisy": [0.0], "clean": [0.0]}, 3], "expected rows with the columns noisy and clean, found int"),
        (
            [{"noisy": [0.0] * 9, "clean": [0.0] * 9}, {"noisy": [0.0] * 9, "clean": [0.0] * 4}],
            "row 1: the noisy wave has 9 samples, the clean one 4",
        ),
        ([{"noisy": at(8000), "clean": at(16000)}], "row 0: the noisy wave has 2000 samples, the clean one 1000"),
        ([{"noisy": [0.0], "clean": 5}], "expected audio in every row, found int"),
    ],
)
def test_strange_rows_are_refused(rows, words):
    with pytest.raises(ValueError, match=words):
        HFRows(rows)


def test_a_pair_at_two_rates_is_one_sound():
    assert HFRows([{"noisy": at(8000, 500), "clean": at(16000)}], seconds=0.01).rows.lengths.tolist() == [1000]
    assert HFRows([{"noisy": at(44100, 44101), "clean": at(16000, 16000)}]).rows.lengths.tolist() == [16000]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "dns", "folder": "nowhere"}, "nowhere: expected the folders clean and noisy"),
        ({"kind": "dns", "folder": ".", "cut": 1}, "unknown key 'cut'"),
        ({"kind": "hf", "path": "nowhere"}, "nowhere: expected a saved dataset"),
        ({"kind": "hf", "path": __file__}, "expected one of .csv"),
        ({"kind": "blend", "parts": [], "weights": []}, "parts: expected at least one"),
        ({"kind": "blend", "parts": [{"kind": "dns"}], "weights": [1]}, "parts\\[0\\]"),
        ({"kind": "blend", "parts": [{"kind": "dns"}], "weights": [0]}, "weights: expected 0 or more, not all 0"),
        ({"kind": "blend", "parts": [{"kind": "dns"}], "weights": [1, 2]}, "weights: expected 1, one a part"),
    ],
)
def test_impossible_tables_are_refused(table, words):
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match=words) as caught:
        build(table, sample_rate=RATE, seed=0)
    assert "\n" not in str(caught.value)


class Counted:
    """A dataset of its own keys."""

    def __init__(self, name, length):
        self.name, self.length = name, length

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        return {"key": (self.name, *key)}


def test_a_blend_keeps_the_ratio_and_passes_through_every_part():
    small, large = Counted("small", 7), Counted("large", 1000)
    blend = Blend([small, large], [1, 3], seed=0, length=100)
    keys = [[blend[epoch, index]["key"] for index in range(100)] for epoch in range(8)]
    for epoch in keys:
        assert Counter(key[0] for key in epoch) == {"small": 25, "large": 75}
    seen = [key for epoch in keys for key in epoch]
    assert len(set(seen)) == len(seen), "a part's own (epoch, index) must not come twice"
    passes = Counter(key[2] for key in seen if key[0] == "small")
    assert max(passes.values()) - min(passes.values()) <= 1
    assert [key[2] for key in seen if key[0] == "large"] != list(range(600))


def test_a_blend_builds_its_parts(dns):
    part = {"kind": "dns", "folder": str(dns)}
    blend = build({"kind": "blend", "parts": [part, part], "weights": [1, 1]}, sample_rate=RATE, seed=0)
    assert len(blend) == 14 and blend[0, 3]["noisy"].shape == (RATE,)
    longer = {**part, "seconds": 2.0}
    with pytest.raises(ValueError, match="expected the same seconds in all"):
        build({"kind": "blend", "parts": [part, longer], "weights": [1, 1]}, sample_rate=RATE, seed=0)


@given(weights=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(sum), length=st.integers(1, 200))
def test_parts_are_evenly_spread(weights, length):
    places = evenly(np.array(weights, float), length)
    assert len(places) == length
    exact = np.array(weights) / sum(weights)
    for part, share in enumerate(exact):
        taken = np.cumsum(places == part)
        assert np.abs(taken - share * np.arange(1, length + 1)).max() <= len(weights)
        assert abs(taken[-1] - share * length) < 1


def test_no_name_of_a_file_is_a_store_that_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = "{{ cycler.__init__.__globals__.os.mkdir('%s') }}" % (tmp_path / "ran")
    for name in ("reference::rows.csv", "rows.csv"):
        Path(name).write_text(json.dumps({"version": 1, "templates": {"u": code}, "refs": {"a": "data"}}))
    with pytest.raises((ValueError, OSError)):
        open_rows(HfConfig("reference::rows.csv"))
    assert not (tmp_path / "ran").exists()


def test_whole_numbers_are_parts_of_their_full_scale() -> None:
    wave = np.array([0, 16384, -32768], np.int16)
    for cell in (wave, {"array": wave, "sampling_rate": 16_000}, torch.from_numpy(wave)):
        assert cell_wave(cell, 16_000, Path()).tolist() == [0, 0.5, -1]
    with pytest.raises(ValueError, match="wave of type int64"):
        cell_wave(wave.tolist(), 16_000, Path())
    batch = collate([{"noisy": wave, "clean": wave.astype("f4") / 32768}])
    assert batch["noisy"].tolist() == batch["clean"].tolist() == [[0, 0.5, -1]]
