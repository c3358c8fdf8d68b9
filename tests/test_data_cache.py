"""The decoded audio in one file: whole or absent, decoded once, the same as the files, cheap to share."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import soundfile

from frcrn.audio import AudioError
from frcrn.data import cache, rooms
from frcrn.data.cache import MAGIC, AudioCache, list_folders, open_cache
from frcrn.data.speech_activity import active_frames, decibels, frame_powers
from tests.made_audio import RATE, corpus, noise, save, speech


@pytest.fixture
def folders(tmp_path):
    corpus(tmp_path, speakers=2, each=2)
    return [tmp_path / "speech", tmp_path / "noise"]


@pytest.fixture
def decoded(monkeypatch):
    """Paths decoded so far."""
    paths, decode = [], cache._decode

    def counted(path, rate):
        paths.append(path)
        return decode(path, rate)

    monkeypatch.setattr(cache, "_decode", counted)
    return paths


def test_files_come_back_as_they_are(folders, tmp_path):
    stored = open_cache(tmp_path / "k", folders, RATE)
    listing = list_folders(folders)
    assert [item.name for item in listing] == stored.names and len(stored) == 10
    assert set(stored.sources) == {"alpha", "beta", "noise"} and set(stored.folders) == {0, 1}
    for file, item in enumerate(listing):
        wave, _ = soundfile.read(item.path, dtype="float32")
        np.testing.assert_allclose(stored.wave(file), wave, atol=1e-4)
        np.testing.assert_array_equal(stored.wave(file, 100, 200), stored.wave(file)[100:200])
        np.testing.assert_array_equal(stored.activity(file), active_frames(frame_powers(wave, RATE)))
    assert stored.active_seconds() == pytest.approx([stored.activity(f).sum() * 0.02 for f in range(10)])


def test_nothing_is_decoded_twice(folders, tmp_path, decoded):
    for _ in range(3):
        open_cache(tmp_path / "k", folders, RATE)
    assert sorted(decoded) == sorted(item.path for item in list_folders(folders))


@pytest.mark.parametrize("change", ["new", "gone", "touched", "other sound"])
def test_a_changed_listing_is_decoded_again(folders, tmp_path, decoded, change):
    open_cache(tmp_path / "k", folders, RATE)
    decoded.clear()
    some = folders[1] / "noise0.wav"
    if change == "new":
        save(folders[1] / "more.wav", noise(1, 1))
    elif change == "gone":
        some.unlink()
    else:
        before = some.stat()
        save(some, noise(2, 77))
        assert some.stat().st_size == before.st_size
        os.utime(some, ns=(1, 1) if change == "touched" else (before.st_atime_ns, before.st_mtime_ns))
    stored = open_cache(tmp_path / "k", folders, RATE)
    assert decoded and stored.names == [item.name for item in list_folders(folders)]


def test_another_rate_is_resampled_and_channels_are_averaged(tmp_path):
    wave = speech(1.0, 1, rate=48000)
    save(tmp_path / "a" / "stereo.wav", np.stack([wave, 0 * wave], axis=1), rate=48000)
    stored = open_cache(tmp_path / "k", [tmp_path / "a"], RATE)
    assert stored.lengths.tolist() == [16000]
    level = decibels(np.mean(wave**2) / 4)
    assert decibels(np.mean(stored.wave(0) ** 2)) == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing_behind(folders, tmp_path, monkeypatch, failure):
    decode, calls = cache._decode, []

    def failing(path, rate):
        calls.append(path)
        if len(calls) > 4:
            raise failure
        return decode(path, rate)

    monkeypatch.setattr(cache, "_decode", failing)
    (tmp_path / "out").mkdir()
    with pytest.raises(failure):
        open_cache(tmp_path / "out" / "k", folders, RATE)
    assert not list((tmp_path / "out").iterdir())


def test_what_a_killed_run_left_of_it_goes(folders, tmp_path):
    for name in ("x.cache", rooms.bank_of(str(tmp_path / "x.cache"), 1, 0, RATE, (0.1, 0.2), "decay").name):
        (tmp_path / f".{name}.01234567.part").touch()
    (tmp_path / ".other.cache.01234567.part").touch()
    open_cache(tmp_path / "x.cache", folders, RATE)
    rooms.load_bank(str(tmp_path / "x.cache"), 1, 0, RATE, (0.1, 0.2), "decay")
    assert [path.name for path in tmp_path.glob(".*.part")] == [".other.cache.01234567.part"]


def test_what_is_no_cache_is_refused_and_kept(folders, tmp_path):
    save(tmp_path / "precious.wav", noise(1, 1))
    before = (tmp_path / "precious.wav").read_bytes()
    with pytest.raises(ValueError, match=r"precious\.wav: expected a cache"):
        open_cache(tmp_path / "precious.wav", folders, RATE)
    assert (tmp_path / "precious.wav").read_bytes() == before


def test_a_broken_file_is_named(folders, tmp_path):
    (folders[0] / "alpha" / "broken.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(AudioError, match=r"broken\.wav.*frcrn data check"):
        open_cache(tmp_path / "k", folders, RATE)


def test_folders_without_audio_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, words in ((tmp_path / "empty", "found none"), (tmp_path / "none", "found nothing")):
        with pytest.raises(ValueError, match=words):
            open_cache(tmp_path / "k", [folder], RATE)


def test_a_pickled_cache_holds_no_samples(folders, tmp_path):
    stored = open_cache(tmp_path / "k", folders, RATE)
    copy = pickle.loads(pickle.dumps(stored))
    assert len(pickle.dumps(stored)) < 1000 + 300 * len(stored) < 2 * int(stored.lengths.min())
    np.testing.assert_array_equal(copy.wave(3), AudioCache(tmp_path / "k").wave(3))


def test_a_worker_does_not_hear_what_another_run_has_written_there(folders, tmp_path):
    content = pickle.dumps(open_cache(tmp_path / "a.cache", folders, 16000))
    open_cache(tmp_path / "a.cache", folders[:1], 16000)
    with pytest.raises(ValueError, match=r"a\.cache: another run has written it anew"):
        pickle.loads(content)


def test_activity_is_where_the_speech_is():
    wave = np.concatenate([np.zeros(RATE), speech(2.0, 3), np.zeros(RATE)]).astype(np.float32)
    wave += 1e-5 * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    active = active_frames(frame_powers(wave, RATE))
    assert active[:45].sum() == 0 and active[-45:].sum() == 0 and active[50:150].mean() > 0.8
    assert not active_frames(np.zeros(50)).any()
    loud, quiet = active, active_frames(frame_powers(wave * 0.01, RATE))
    assert (loud == quiet).mean() > 0.98


@pytest.mark.parametrize("model", ["pyroomacoustics", "decay"])
def test_rooms_are_seeded_decay_as_asked_and_are_made_once(tmp_path, monkeypatch, model):
    if model == "pyroomacoustics":
        pytest.importorskip("pyroomacoustics")
    path = str(tmp_path / "k")
    bank = rooms.load_bank(path, 6, 1, RATE, (0.3, 0.5), model)
    monkeypatch.setattr(rooms, "make_bank", None)
    np.testing.assert_array_equal(rooms.load_bank(path, 6, 1, RATE, (0.3, 0.5), model), bank)
    assert (bank[:, 0] == 1).all() and np.abs(bank).max() <= 1.0 and np.isfinite(bank).all()
    for response in bank:
        left = np.cumsum((response.astype(np.float64) ** 2)[::-1])[::-1]
        fall = 10 * np.log10(left / left[0] + 1e-12)
        rt60 = 3 * (np.argmax(fall < -25) - np.argmax(fall < -5)) / RATE
        assert 0.1 < rt60 < 0.75
    monkeypatch.undo()
    assert not np.array_equal(rooms.make_bank(6, 2, RATE, (0.3, 0.5), model), bank)


def test_a_missing_room_simulator_is_named(monkeypatch):
    monkeypatch.setattr(rooms, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install \"frcrn\[train\]\""):
        rooms.make_bank(1, 0, RATE, (0.2, 0.3), "pyroomacoustics")
    assert rooms.make_bank(1, 0, RATE, (0.2, 0.3), "auto").shape[0] == 1


def test_no_sound_makes_a_cache_that_a_shell_runs(tmp_path):
    """A recipe may call its cache as it likes, and the samples in it are the stranger's, too."""
    line = b"\ntouch ran\n" + b"#" * 20_000 + b"\n"
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", np.frombuffer(line[: len(line) // 2 * 2], "<i2"), RATE, subtype="PCM_16")
    cache = open_cache(tmp_path / "profile", [tmp_path / "in"], RATE)
    assert cache.path and b"\0" in (tmp_path / "profile").read_bytes()[:16]
    samples = soundfile.read(tmp_path / "in" / "a.wav", dtype="float32")[0]
    np.testing.assert_allclose(cache.wave(0), samples, atol=2 / 32768)


BENT = [
    {"rate": 0},
    {"rate": None},
    {"lengths": [-5]},
    {"lengths": [2**62]},
    {"lengths": []},
    {"names": 5},
    {"head": -8},
]


@pytest.mark.parametrize("change", BENT)
def test_an_index_that_lies_is_refused(change, tmp_path):
    save(tmp_path / "in" / "a.wav", noise(0.3, 1))
    path = tmp_path / "k"
    open_cache(path, [tmp_path / "in"], RATE)
    content = path.read_bytes()
    size = int.from_bytes(content[-16:-8], "little")
    text = json.dumps(json.loads(content[-16 - size : -16]) | change).encode()
    path.write_bytes(content[: -16 - size] + text + len(text).to_bytes(8, "little") + MAGIC)
    with pytest.raises(ValueError, match="not a whole cache") as caught:
        open_cache(path, [tmp_path / "in"], RATE)
    assert "\n" not in str(caught.value)


def test_a_cache_of_before_there_was_a_head_is_read(tmp_path):
    save(tmp_path / "in" / "a.wav", noise(0.3, 1))
    path = tmp_path / "k"
    new = open_cache(path, [tmp_path / "in"], RATE).wave(0).copy()
    content = path.read_bytes()
    size = int.from_bytes(content[-16:-8], "little")
    index = json.loads(content[-16 - size : -16])
    text = json.dumps({key: value for key, value in index.items() if key != "head"}).encode()
    path.write_bytes(content[16 : -16 - size] + text + len(text).to_bytes(8, "little") + MAGIC)
    np.testing.assert_array_equal(open_cache(path, [tmp_path / "in"], RATE).wave(0), new)


@pytest.mark.parametrize("content", ["empty", "cut", "objects", "float64", "rows", "length", "zip"])
def test_a_damaged_bank_of_rooms_is_made_anew(content, tmp_path):
    wanted = str(tmp_path / "k"), 2, 0, RATE, (0.1, 0.2), "decay"
    bank = np.array(rooms.load_bank(*wanted))
    file = rooms.bank_of(*wanted)
    others = {"objects": bank.astype(object), "float64": bank.astype(float), "rows": bank[:1], "length": bank[:, 1:]}
    if content in others:
        np.save(file, others[content])
    else:
        file.write_bytes({"empty": b"", "cut": file.read_bytes()[:-8], "zip": b"PK\3\4 nothing"}[content])
    np.testing.assert_array_equal(rooms.load_bank(*wanted), bank)
    np.testing.assert_array_equal(np.load(file), bank)
