"""The pipeline: what comes out of it for everything that may go in."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils.data import IterableDataset

pytest.importorskip("modelscope")

from frcrn.audio import AudioError
from frcrn.models.base import Enhancer
from frcrn.models.checkpoint import CheckpointError
from frcrn.plugin.datasets import examples_of
from frcrn.plugin.pipeline import FRCRNPipeline
from tests import networks
from tests.fakes import CausalGain, Gain, Normalise, Smooth
from tests.made_audio import save, speech
from tests.plugin_parts import ROOT, TASK, closed_network, tiny_directory

STEP = 1 / 32768
Pipe = Callable[..., Any]

MASKED = np.ma.masked_array(np.zeros(400, np.float32), [True] * 3 + [False] * 397)


def pipeline(**options: Any) -> Any:
    from modelscope.pipelines import pipeline

    import frcrn.plugin  # noqa: F401

    return pipeline(TASK, **{"device": "cpu", **options})


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_directory(folder / "causal")
    tiny_directory(folder / "offline", causal=False)
    return folder


@pytest.fixture(scope="module")
def causal(directories: Path) -> Any:
    return pipeline(model=str(directories / "causal"))


@pytest.fixture(scope="module")
def offline(directories: Path) -> Any:
    return pipeline(model=str(directories / "offline"))


@pytest.fixture
def with_network(causal: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Enhancer], Any]:
    """Give the pipeline a network whose answer is known."""

    def put(network: Enhancer) -> Any:
        monkeypatch.setattr(causal, "network", network.eval())
        return causal

    return put


def samples(result: dict[str, Any]) -> np.ndarray:
    """The waves in a result: [T], or [C, T] where there are several channels."""
    whole = np.frombuffer(result["output_pcm"], "<i2").astype(np.float32) / 32768
    channels = whole.reshape(-1, result["channels"]).T
    return channels[0] if result["channels"] == 1 else channels


def wav(wave: np.ndarray, rate: int = 16000, subtype: str = "FLOAT") -> bytes:
    """Container bytes of [T] or [C, T]."""
    file = io.BytesIO()
    soundfile.write(file, wave.T, rate, subtype=subtype, format="WAV")
    return file.getvalue()


# What the stock pipeline does to sound


@pytest.mark.parametrize("level", [0.001, 0.3])
def test_loudness_stays(with_network: Pipe, level: float) -> None:
    ans = with_network(Gain(1.0, level_dbfs=-25.0))
    wave = level * np.random.default_rng(0).uniform(-1, 1, 8000).astype(np.float32)
    assert_allclose(samples(ans(wave)), wave, atol=STEP)


@pytest.mark.parametrize("network", [Gain(1.0, level_dbfs=-25.0), Normalise(level_dbfs=-25.0), networks.tiny()])
def test_silence_stays_silence(with_network: Pipe, network: Enhancer) -> None:
    assert not samples(with_network(network)(np.zeros(5000, np.float32))).any()


def test_a_sample_that_is_no_number_is_named_or_repaired_alone(with_network: Pipe) -> None:
    ans = with_network(Gain(1.0))
    wave = speech(0.5, seed=1)
    broken = wave.copy()
    broken[1234] = np.nan
    with pytest.raises(AudioError, match="sample 1234 .*nan"):
        ans(wav(broken))
    with pytest.raises(AudioError, match="sample 1234 .*nan"):
        ans(broken)
    wave[1234] = 0
    assert_allclose(samples(ans(wav(broken), repair=True)), wave, atol=STEP)


def test_nothing_wraps_around(with_network: Pipe) -> None:
    ans = with_network(Gain(3.0))
    wave = speech(0.5, seed=2)
    wave[[1000, 2000, 3000]] = (1.0, -1.0, 0.99)
    out = samples(ans(wave))
    assert (out * wave >= 0).all(), "a sample changed its sign"
    assert out[1000] > 0.99 and out[2000] < -0.99


@pytest.mark.parametrize("length", [1, 27, 639, 28000, 40001])
def test_as_many_samples_come_out_as_went_in(offline: Any, length: int) -> None:
    wave = 0.1 * np.ones(length, np.float32)
    assert len(samples(offline(wave))) == length


def test_above_two_minutes_the_network_still_sees_more_than_a_second_at_once(with_network: Pipe) -> None:
    network = Smooth(reach=20)
    ans = with_network(network)
    wave = 0.2 * np.random.default_rng(3).uniform(-1, 1, 121 * 16000 + 7123).astype(np.float32)
    out = samples(ans(wave))
    whole = np.convolve(wave, np.ones(41) / 41, "same")
    assert_allclose(out, whole, atol=2 * STEP)
    assert out[-2000:].any()
    seen = [piece.shape[1] for piece in network.seen]
    assert min(seen) >= 5 * 16000, "context is lost in short pieces"
    assert max(seen) <= 30 * 16000, "the memory that it takes grows with the recording"


def test_all_channels_are_heard(with_network: Pipe) -> None:
    ans = with_network(Gain(0.5))
    wave = np.stack([np.zeros(6000), speech(0.375, seed=3)]).astype(np.float32)
    assert_allclose(samples(ans(wav(wave))), 0.25 * wave[1], atol=STEP)
    kept = ans(wav(wave), keep_format=True)
    assert kept["channels"] == 2
    assert_allclose(samples(kept), 0.5 * wave, atol=STEP)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_the_rate_is_kept_where_it_is_asked_for(with_network: Pipe, rate: int) -> None:
    ans = with_network(Gain(1.0))
    time = np.arange(rate // 2 + 13) / rate
    wave = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    kept, usual = ans((wave, rate), keep_format=True), ans((wave, rate))
    assert (kept["sample_rate"], len(samples(kept))) == (rate, len(wave))
    assert_allclose(samples(kept)[200:-200], wave[200:-200], atol=2e-3)
    assert (usual["sample_rate"], len(samples(usual))) == (16000, round(len(wave) * 16000 / rate))


@pytest.mark.parametrize("causal_network", [True, False])
def test_the_edges_do_not_spike(with_network: Pipe, causal_network: bool) -> None:
    # with a mask of one the network gives back what it gets, if its windows are undone right
    ans = with_network(networks.with_mask_of_one(networks.tiny(causal=causal_network)))
    wave = speech(0.4, seed=4)
    assert_allclose(samples(ans(wave)), wave, atol=2e-4)


# What it takes


def test_every_kind_of_input_says_the_same(with_network: Pipe, tmp_path: Path) -> None:
    ans = with_network(Gain(0.5))
    wave = np.round(speech(0.3, seed=5) * 32768) / 32768
    path = save(tmp_path / "in.wav", wave)
    wanted = ans(wave.astype(np.float32))["output_pcm"]
    kinds = {
        "str": str(path),
        "Path": path,
        "bytes": path.read_bytes(),
        "bytearray": bytearray(path.read_bytes()),
        "file": io.BytesIO(path.read_bytes()),
        "float64": wave,
        "int16": (wave * 32768).astype(np.int16),
        "tensor": torch.from_numpy(wave.astype(np.float32)),
        "tensor with gradient": torch.from_numpy(wave.astype(np.float32)).requires_grad_(),
        "row": wave[None].astype(np.float32),
        "pair": (wave.astype(np.float32), 16000),
        "pair of tensor": (torch.from_numpy(wave), 16000.0),
    }
    for kind, given in kinds.items():
        assert ans(given)["output_pcm"] == wanted, kind


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("no/such.wav", "no/such.wav: cannot be read: No such file"),
        (ROOT, "is a directory"),
        (b"RIFF", "damaged or truncated wav"),
        (b"hello", "found text"),
        (b"", "is empty"),
        (None, "expected a path, an http address.*found NoneType"),
        (3, "found int"),
        ({"noisy": 1}, "found dict"),
        (np.zeros(0, np.float32), "at least one sample"),
        (np.zeros((2, 3, 4), np.float32), r"shape \[2, 3, 4\]"),
        (np.zeros((16000, 2), np.float32), r"expected \[time\] or \[channels, time\]"),
        (np.array(["a"]), "wave of type"),
        ((np.zeros(10, np.float32),), r"expected a pair \(wave, rate\)"),
        ((16000, np.zeros(10, np.float32)), r"expected a pair \(wave, rate\)"),
        ((np.zeros(10, np.float32), 0), "sample rate 0"),
        ((np.zeros(10, np.float32), -8000), "sample rate -8000"),
        ((np.zeros(10, np.float32), 16000.5), "sample rate 16000.5"),
        ((np.zeros(10, np.float32), "16000"), r"expected a pair \(wave, rate\)"),
        ("ftp://host/x.wav", "kind ftp; accepted are http"),
        (memoryview(b"hello there")[::2], "found text|damaged|not recognised|cannot"),
        ({"path": {"path": "a.wav"}}, "expected a row with array"),
        (torch.eye(3).to_sparse(), "one after another"),
        (MASKED, r"an array in which 3 are masked; its filled\(0\)"),
        ((MASKED, 16000), "3 are masked"),
        ({"array": MASKED, "sampling_rate": 16000}, "3 are masked"),
        (torch.empty(400, device="meta"), "one after another"),
        (SimpleNamespace(read=lambda size: "text"), "gives text"),
    ],
)
def test_strange_input_is_one_plain_sentence(with_network: Pipe, given: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message) as error:
        with_network(Gain())(given)
    assert "\n" not in str(error.value)


# Files


def test_one_input_is_written_to_a_file_or_not_at_all(with_network: Pipe, tmp_path: Path) -> None:
    ans = with_network(Gain(0.5))
    wave = speech(0.2, seed=6)
    result = ans((wave, 16000), output_path=tmp_path / "out.wav")
    written, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert rate == 16000 and soundfile.info(tmp_path / "out.wav").subtype == "PCM_16"
    assert written.tobytes() == result["output_pcm"]
    assert ans(wave, output_path=None)["output_pcm"] == result["output_pcm"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]


def test_the_format_of_a_file_is_kept_where_it_is_asked_for(with_network: Pipe, tmp_path: Path) -> None:
    ans = with_network(Gain(1.0))
    source = tmp_path / "in.flac"
    soundfile.write(source, np.stack([speech(0.3, seed=7, rate=44100)] * 2).T, 44100, subtype="PCM_24")
    ans(source, output_path=tmp_path / "out.flac", keep_format=True)
    kept, was = soundfile.info(tmp_path / "out.flac"), soundfile.info(source)
    assert (kept.samplerate, kept.channels, kept.frames, kept.subtype) == (44100, 2, was.frames, "PCM_24")


def test_a_list_goes_to_a_folder_with_its_names(with_network: Pipe, tmp_path: Path) -> None:
    ans = with_network(Gain(0.5))
    first = save(tmp_path / "a.wav", speech(0.2, seed=8))
    second = save(tmp_path / "b.flac", speech(0.3, seed=9))
    results = ans([str(first), second, speech(0.1, seed=10)], output_path=tmp_path / "out" / "deep")
    assert sorted(path.name for path in (tmp_path / "out" / "deep").iterdir()) == ["0002.wav", "a.wav", "b.flac"]
    assert soundfile.info(tmp_path / "out" / "deep" / "b.flac").format == "FLAC"
    lengths = [soundfile.info(tmp_path / "out" / "deep" / name).frames for name in ("a.wav", "b.flac", "0002.wav")]
    assert [len(samples(result)) for result in results] == lengths == [3200, 4800, 1600]


def test_names_of_one_file_on_a_disk_that_folds_case_are_refused(with_network: Pipe, tmp_path: Path) -> None:
    """Hard links stand for such a disk."""
    one, other = (
        save(tmp_path / "x" / "A.wav", speech(0.1, seed=1)),
        save(tmp_path / "y" / "a.wav", speech(0.1, seed=1)),
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "some").write_bytes(b"")
    (tmp_path / "out" / "SOME").hardlink_to(tmp_path / "out" / "some")
    with pytest.raises(AudioError, match="a.wav: would be written to the same file as .*A.wav"):
        with_network(Gain(0.5))([one, other], output_path=tmp_path / "out")


def test_what_would_be_lost_is_refused_before_anything_is_written(with_network: Pipe, tmp_path: Path) -> None:
    ans = with_network(Gain(0.5))
    one, other = (save(tmp_path / folder / "a.wav", speech(0.1, seed=1)) for folder in ("x", "y"))
    with pytest.raises(AudioError, match="y/a.wav: would be written to the same file as .*x/a.wav"):
        ans([one, other], output_path=tmp_path / "out")
    with pytest.raises(AudioError, match="would be overwritten by its own result"):
        ans([one], output_path=tmp_path / "x")
    with pytest.raises(AudioError, match="out.wav: is the name of a file; many inputs need a folder"):
        ans([one, other], output_path=tmp_path / "out.wav")
    with pytest.raises(AudioError, match="a.wav: is the name of a file"):
        ans([other], output_path=one)
    for given in (one, [one, other]):
        with pytest.raises(ValueError, match="output_path '.*': a path cannot hold the character of code 0"):
            ans(given, output_path=f"{tmp_path}/out\0")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.wav")) == ["x/a.wav", "y/a.wav"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [{}, {"bytes": True}, {"array": np.zeros(1600, np.float32), "sampling_rate": 16000}])
def test_a_row_s_own_recording_is_not_overwritten(more: dict[str, Any], with_network: Pipe, tmp_path: Path) -> None:
    ans, path = with_network(Gain(0.5)), save(tmp_path / "a.wav", speech(0.1, seed=1))
    before = path.read_bytes()
    row = {"path": str(path), **more} | ({"bytes": before} if "bytes" in more else {})
    for given in (row, [row], iter([row])):
        with pytest.raises(AudioError, match="a.wav: would be overwritten by its own result"):
            ans(given, output_path=tmp_path)
    with pytest.raises(AudioError, match="a.wav: would be overwritten by its own result"):
        ans(row, output_path=path)
    assert path.read_bytes() == before


def test_a_recording_is_not_replaced_by_its_own_result(with_network: Pipe, tmp_path: Path) -> None:
    ans, path = with_network(Gain(0.5)), save(tmp_path / "a.wav", speech(0.1, seed=1))
    (tmp_path / "link.wav").symlink_to(path)
    before = path.read_bytes()
    with path.open("rb") as file:
        for given in (path, str(path), tmp_path / "link.wav", file):
            for written in (path, tmp_path / "link.wav"):
                with pytest.raises(AudioError, match="wav: would be overwritten by its own result; .* name"):
                    ans(given, output_path=written)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["list", "array", "series", "column", "rows"])
def test_all_that_can_be_seen_twice_is_looked_at_before_anything_is_written(
    kind: str, with_network: Pipe, tmp_path: Path
) -> None:
    ans, names = with_network(Gain(0.5)), [str(tmp_path / "monday" / "a.wav"), str(tmp_path / "a.wav")]
    for seed, name in enumerate(names):
        save(Path(name), speech(0.1, seed=seed))
    before = Path(names[1]).read_bytes()
    given: Any = names
    if kind == "array":
        given = np.array(names, dtype=object)
    elif kind == "series":
        given = pytest.importorskip("pandas").Series(names)
    elif kind in ("column", "rows"):
        rows = pytest.importorskip("datasets").Dataset.from_list([{"path": name, "bytes": None} for name in names])
        given = rows["path"] if kind == "column" else rows
    with pytest.raises(AudioError, match="a.wav is an input, too"):
        ans(given, output_path=tmp_path)
    assert Path(names[1]).read_bytes() == before


class Once:
    """Inputs that are gone once they were seen, and of which it is known how many they are."""

    def __init__(self, names: list[str]) -> None:
        self.left = iter(names)

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[str]:
        yield from self.left


class OnceForTorch(Once, IterableDataset[str]):
    """The same; torch gives it a `__getitem__` that always fails."""


@pytest.mark.parametrize("kind", [Once, OnceForTorch])
def test_what_can_be_seen_only_once_is_not_seen_before(kind: type[Once], with_network: Pipe, tmp_path: Path) -> None:
    names = [str(save(tmp_path / name, speech(0.1, seed=1))) for name in ("a.wav", "b.wav")]
    with_network(Gain(0.5))(kind(names), output_path=tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["a.wav", "b.wav"]


def test_a_dataset_without_an_end_of_its_own_is_seen_as_far_as_it_is_long(with_network: Pipe, tmp_path: Path) -> None:
    names = [str(save(tmp_path / name, speech(0.1, seed=1))) for name in ("a.wav", "b.wav")]

    class Around:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> str:
            if index == 2:
                raise KeyError(index)
            return names[index]

    with pytest.raises(KeyError):
        with_network(Gain(0.5))(Around(), output_path=tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["a.wav", "b.wav"]


def test_a_result_does_not_take_the_place_of_another_input(with_network: Pipe, tmp_path: Path) -> None:
    ans, path = with_network(Gain(0.5)), save(tmp_path / "0000.wav", speech(0.1, seed=1))
    before = path.read_bytes()
    with path.open("rb") as file, pytest.raises(AudioError, match="0000.wav: would be overwritten by its own result"):
        ans([file], output_path=tmp_path)
    latest = tmp_path / "today" / "latest.wav"
    latest.parent.mkdir()
    latest.symlink_to(path)
    monday = save(tmp_path / "monday" / "0000.wav", speech(0.1, seed=2))
    with pytest.raises(AudioError, match="0000.wav is an input, too"):
        ans(iter([latest, monday]), output_path=tmp_path)
    with pytest.raises(AudioError, match="0000.wav is an input, too"):
        ans([before, (np.zeros(1600, np.float32), 16000), {"path": str(path), "bytes": before}], output_path=tmp_path)
    assert path.read_bytes() == before


def test_a_link_in_the_output_folder_leads_nowhere_else(with_network: Pipe, tmp_path: Path) -> None:
    ans, mine = with_network(Gain(0.5)), save(tmp_path / "mine.wav", speech(0.1, seed=1))
    one, before = save(tmp_path / "a.wav", speech(0.1, seed=2)), mine.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").symlink_to(mine)
    for given in (one, [one], iter([one])):
        with pytest.raises(AudioError, match="a.wav would be written elsewhere, as a link there leads"):
            ans(given, output_path=tmp_path / "out")
    assert mine.read_bytes() == before


def test_an_empty_name_is_not_the_working_folder(
    with_network: Pipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="output_path: expected a file or folder, found an empty name"):
        with_network(Gain(0.5))(speech(0.1, seed=1), output_path="")
    assert not list(tmp_path.iterdir())


def test_a_bad_file_in_a_list_is_named(with_network: Pipe, tmp_path: Path) -> None:
    good, bad = save(tmp_path / "good.wav", speech(0.1, seed=1)), tmp_path / "bad.wav"
    bad.write_text("no sound")
    with pytest.raises(AudioError, match="bad.wav: found text"):
        with_network(Gain())([good, bad], output_path=tmp_path / "out")


# Many inputs


@pytest.mark.parametrize("name", ["causal", "offline"])
def test_a_batch_gives_what_its_clips_give_alone(name: str, request: pytest.FixtureRequest) -> None:
    ans = request.getfixturevalue(name)
    stereo = (np.stack([speech(0.3, seed=1), speech(0.3, seed=2)]), 16000)
    clips = [speech(seconds, seed=number) for number, seconds in enumerate([0.5, 0.5, 0.31, 0.5, 0.2])] + [stereo]
    for options in ({}, {"keep_format": True}):
        alone = [samples(ans(clip, **options)) for clip in clips]
        together = ans(clips, batch_size=4, **options)
        for wanted, found in zip(alone, together, strict=True):
            assert_allclose(samples(found), wanted, atol=2 * STEP)


@pytest.mark.parametrize(("level", "rate"), [(None, 44100), (None, 8000), (-25.0, 16000), (-25.0, 48000)])
def test_a_longer_neighbour_changes_nothing(with_network: Pipe, level: float | None, rate: int) -> None:
    ans = with_network(networks.tiny(causal=True, level_dbfs=level))
    clips = [
        (speech(seconds, seed=1, rate=rate) * gain, rate) for seconds, gain in ((0.3, 0.2), (0.7, 1.0), (0.3, 1.0))
    ]
    alone = [ans(clip, keep_format=True) for clip in clips]
    for wanted, found in zip(alone, ans(clips, keep_format=True, batch_size=3), strict=True):
        assert_allclose(samples(found), samples(wanted), atol=1.01 * STEP)


def test_a_batch_is_one_call_of_the_network(with_network: Pipe) -> None:
    network = Gain(0.5)
    ans = with_network(network)
    ans([speech(0.2, seed=number) for number in range(6)], batch_size=4)
    assert [len(wave) for wave in network.seen] == [4, 2]
    network.seen.clear()
    ans([speech(0.2, seed=number) for number in range(3)])
    assert [len(wave) for wave in network.seen] == [1, 1, 1]


def test_a_generator_is_taken_one_by_one(with_network: Pipe, tmp_path: Path) -> None:
    ans, taken = with_network(Gain(0.5)), []

    def clips() -> Any:
        for number in range(3):
            taken.append(number)
            yield speech(0.1, seed=number)

    results = ans(clips())
    assert taken == []
    assert len(samples(next(results))) == 1600
    assert taken == [0]
    assert len(list(results)) == 2
    assert len(ans(clips(), output_path=tmp_path / "out")) == len(list((tmp_path / "out").iterdir())) == 3


def test_columns_and_views_are_many_inputs(with_network: Pipe) -> None:
    pandas = pytest.importorskip("pandas")
    ans, waves = with_network(Gain(0.5)), [speech(0.1, seed=number) for number in range(3)]
    columns = [dict(enumerate(waves)).values(), pandas.Series(waves)]
    for many in columns:
        results = list(ans(many, batch_size=np.int64(2)))
        for wave, result in zip(waves, results, strict=True):
            assert_allclose(samples(result), 0.5 * wave, atol=STEP)
    for other in (pandas.Series([0.1, 0.2]), set(map(str, range(2)))):
        with pytest.raises(AudioError, match=f"found {type(other).__name__}"):
            ans(other)


def test_an_empty_list_gives_an_empty_list(causal: Any) -> None:
    assert causal([]) == []


def test_a_dataset_of_the_framework_is_taken_too(with_network: Pipe, tmp_path: Path) -> None:
    from modelscope.msdatasets import MsDataset

    paths = [str(save(tmp_path / f"{number}.wav", speech(0.1, seed=number))) for number in range(2)]
    results = list(with_network(Gain(0.5))(MsDataset.load(paths, target="file")))
    assert [len(samples(result)) for result in results] == [1600, 1600]


# Choices


def test_passes_are_those_of_the_pipeline_or_of_the_call(directories: Path, causal: Any) -> None:
    wave = speech(0.5, 3)
    twice = pipeline(model=str(directories / "causal"), passes=2)
    one, two = samples(causal(wave, passes=1)), samples(causal(wave, passes=2))
    assert np.abs(one - two).max() > 2 * STEP
    assert_array_equal(samples(twice(wave)), two)
    assert_array_equal(samples(twice(wave, passes=1)), one)
    live = pipeline(model=str(directories / "causal"), stream_mode=True)
    assert_allclose(samples(live(wave, last=True, passes=1)), one, atol=STEP)
    with pytest.raises(ValueError, match="passes: a stream of chunks has none"):
        live(wave, passes=2)


def test_strength_and_its_kin_reach_the_enhancer(with_network: Pipe) -> None:
    ans = with_network(Gain(0.0))
    wave = speech(0.3, seed=11)
    assert_allclose(samples(ans(wave, strength=0.25)), 0.75 * wave, atol=STEP)
    assert_allclose(samples(ans(wave, max_attenuation_db=20.0)), 0.1 * wave, atol=STEP)
    assert_allclose(samples(ans(wave, residual=True)), wave, atol=STEP)
    assert not samples(ans(wave)).any()


def test_more_removed_than_16_bits_hold_is_said(with_network: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    ans, wave = with_network(Gain(-1.0)), speech(0.3, seed=11)
    ans(0.9 * wave / np.abs(wave).max(), residual=True)
    assert "output_pcm: clipped" in caplog.text


def test_a_choice_for_the_pipeline_holds_for_every_call(directories: Path) -> None:
    ans = pipeline(model=str(directories / "causal"), strength=0.0, keep_format=True)
    wave = np.round(speech(0.2, seed=12, rate=8000) * 32768) / 32768
    result = ans((wave, 8000))
    assert result["sample_rate"] == 8000
    assert_array_equal(samples(result), wave.astype(np.float32))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strengh": 1.0}, TypeError, "unknown option 'strengh'; accepted: strength"),
        ({"strength": 1.5}, ValueError, "strength 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size 0"),
        ({"max_attenuation_db": -3}, ValueError, "max_attenuation_db -3"),
        ({"max_attenuation_db": "3"}, ValueError, "max_attenuation_db 3: accepted are numbers"),
        ({"batch_size": "2"}, ValueError, "batch_size '2': expected a whole number"),
        ({"batch_size": 1.5}, ValueError, "batch_size 1.5"),
        *(
            ({name: wrong}, ValueError, f"{name} {wrong!r}: accepted are True and False")
            for name, wrong in (("residual", "no"), ("keep_format", "no"), ("repair", "false"), ("repair", 1))
        ),
        ({"output_path": 5}, ValueError, "output_path: expected a path, found int"),
    ],
)
def test_a_wrong_option_is_refused(causal: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        causal([speech(0.1, seed=1)], **options)


def test_scripts_that_ask_for_quiet_get_it(directories: Path) -> None:
    quiet = {"disable_update": True, "disable_progress_bar": True, "disable_log": True}
    ans = pipeline(model=str(directories / "causal"), **quiet)
    assert ans(speech(0.1, seed=1), disable_pbar=True)["channels"] == 1


def test_an_unknown_keyword_for_the_model_is_refused(directories: Path) -> None:
    with pytest.raises(Exception, match="causual"):
        pipeline(model=str(directories / "offline"), causual=True)


def test_a_keyword_changes_the_model(directories: Path) -> None:
    ans = pipeline(model=str(directories / "offline"), causal=True)
    assert ans.network.lookahead == 0


def test_precision(directories: Path, causal: Any) -> None:
    wave = speech(0.5, seed=13)
    half = pipeline(model=str(directories / "causal"), precision="bf16")
    assert half.network.dtype == torch.bfloat16
    assert_allclose(samples(half(wave)), samples(causal(wave)), atol=0.02)
    with pytest.raises(ValueError, match="choose fp32 or bf16"):
        pipeline(model=str(directories / "causal"), precision="fp16")


# A stream


@pytest.mark.parametrize("size", [1, 37, 64, 5000])
def test_a_stream_gives_what_the_whole_gives(directories: Path, causal: Any, size: int) -> None:
    live = pipeline(model=str(directories / "causal"), stream_mode=True)
    wave = speech(0.5 if size == 5000 else 0.05, seed=14)
    content = (wave * 32768).round().astype("<i2").tobytes()
    whole = causal(np.frombuffer(content, "<i2").astype(np.int16))["output_pcm"]
    for _ in range(2):  # the end of one sound is the beginning of the next
        chunks = [content[start : start + size] for start in range(0, len(content), size)]
        out = b"".join(live(chunk)["output_pcm"] for chunk in chunks[:-1]) + live(chunks[-1], last=True)["output_pcm"]
        difference = np.frombuffer(out, "<i2").astype(int) - np.frombuffer(whole, "<i2")
        assert np.abs(difference).max() <= 1


def test_a_stream_takes_waves_and_generators_and_whole_files(directories: Path, causal: Any, tmp_path: Path) -> None:
    live = pipeline(model=str(directories / "causal"), stream_mode=True)
    wave = speech(0.4, seed=15)
    whole = samples(causal(wave))
    out = [samples(live(chunk)) for chunk in np.split(wave, 4)] + [samples(live.flush())]
    assert_allclose(np.concatenate(out), whole, atol=2 * STEP)
    parts = list(live(iter(np.split(torch.from_numpy(wave), 4))))
    assert len(parts) == 5
    assert_allclose(np.concatenate([samples(part) for part in parts]), whole, atol=2 * STEP)
    pcm = (wave * 32768).round().astype("<i2")
    for view in (memoryview(wave), memoryview(pcm), memoryview(pcm.tobytes())):
        assert_allclose(samples(live(view, last=True)), whole, atol=20 * STEP)
    path = save(tmp_path / "in.wav", wave)
    assert live(path)["output_pcm"] == causal(path)["output_pcm"]


def test_a_stream_refuses_what_it_cannot_do(directories: Path, causal: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="looks .* ahead and cannot stream"):
        pipeline(model=str(directories / "offline"), stream_mode=True)
    live = pipeline(model=str(directories / "causal"), stream_mode=True)
    with pytest.raises(ValueError, match="residual"):
        live(b"\0\0", residual=True)
    with pytest.raises(ValueError, match="keep_format: a stream of chunks has none"):
        live(b"\0\0", keep_format=True)
    with pytest.raises(ValueError, match="output_path"):
        live(b"\0\0", output_path=tmp_path / "out.wav")
    with pytest.raises(ValueError, match="stream_mode=True"):
        causal.flush()
    with pytest.raises(ValueError, match="last: .* stream_mode=True"):
        causal(speech(0.1, seed=1), last=True)


def test_the_strength_of_a_stream_is_the_pipelines(directories: Path) -> None:
    live = pipeline(model=str(directories / "causal"), stream_mode=True, strength=0.0)
    wave = np.round(speech(0.1, seed=16) * 32768) / 32768
    out = np.concatenate([samples(live(wave.astype(np.float32))), samples(live.flush())])
    assert_array_equal(out, wave.astype(np.float32))


# How it behaves


def test_eight_threads_get_what_eight_calls_in_turn_get(causal: Any, offline: Any) -> None:
    for ans in (causal, offline):
        clips = [speech(0.1 + 0.02 * number, seed=number) for number in range(8)]
        start = threading.Barrier(8)

        def several(clip: np.ndarray, ans: Any = ans, start: threading.Barrier = start) -> list[bytes]:
            start.wait()
            return [ans(clip)["output_pcm"] for _ in range(3)]

        with ThreadPoolExecutor(8) as threads:
            at_once = list(threads.map(several, clips))
        assert at_once == [[ans(clip)["output_pcm"]] * 3 for clip in clips]


def test_nothing_is_printed_and_nothing_asked_of_the_network(
    directories: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directories.parent)
    with closed_network() as tried:
        # the form owner/name, which the framework takes for one of the hub's
        ans = pipeline(model=f"{directories.name}/causal")
        ans([speech(0.2, seed=1), speech(3.0, seed=2)], batch_size=2)
    assert tried == []
    assert capfd.readouterr().out == ""


def test_the_repository_is_a_model_directory(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="frcrn"):
        ans = pipeline(model=str(ROOT))
    assert len(samples(ans(speech(0.5, seed=1)))) == 8000
    said = [record.message for record in caplog.records if "no trained weights" in record.message]
    assert bool(said) != ans.network.trained


@pytest.mark.parametrize("part", [[], None, "x", ["x"]])
def test_a_pipeline_that_is_no_object_is_refused_in_one_sentence(directories: Path, tmp_path: Path, part: Any) -> None:
    folder = Path(shutil.copytree(directories / "causal", tmp_path / "other"))
    about = json.loads((folder / "configuration.json").read_text())
    (folder / "configuration.json").write_text(json.dumps(about | {"pipeline": part}))
    with pytest.raises(CheckpointError, match="other: expected an object under 'pipeline' of its configuration, found"):
        pipeline(model=str(folder))


def test_a_directory_for_another_framework_is_refused(directories: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(directories / "causal", tmp_path / "other"))
    about = json.loads((folder / "configuration.json").read_text())
    (folder / "configuration.json").write_text(json.dumps(about | {"framework": "tensorflow"}))
    with pytest.raises(CheckpointError, match="the configuration's framework has to be pytorch"):
        FRCRNPipeline(str(folder), device="cpu")


@pytest.mark.parametrize("given", [5, None, len, [None]])
def test_what_is_no_dataset_is_named(given: Any) -> None:
    with pytest.raises(ValueError, match="dataset: expected rows with the column noisy, found [a-zA-Z_]+$"):
        list(examples_of(given, 16000))


def test_a_missing_directory_is_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closed_network() as tried:
        for name in (str(tmp_path / "gone"), "./gone", "gone", "a/b/gone"):
            with pytest.raises(ValueError, match=f"{name}: no such model directory"):
                pipeline(model=name)
        with pytest.raises(ValueError, match="gone: expected a model directory, found nothing"):
            pipeline(model=tmp_path / "gone", pipeline_name="frcrn-ans-16k")
    assert tried == []
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the framework's attempts
    with closed_network(), pytest.raises(ValueError, match="owner/gone: no such model directory here"):
        pipeline(model="owner/gone")


def test_a_causal_fake_is_batched_with_silence_behind_it(with_network: Pipe) -> None:
    network = CausalGain(0.5)
    waves = [speech(0.2, seed=1), speech(0.1, seed=2)]
    results = with_network(network)(waves, batch_size=2)
    for wave, result in zip(waves, results, strict=True):
        assert_allclose(samples(result), 0.5 * wave, atol=STEP)
    assert all(len(frame) == 2 for frame in network.seen)


def test_this_repository_stands_for_one_model_for_recordings_and_another_for_streams() -> None:
    recordings, streams = (pipeline(model=str(ROOT), stream_mode=mode).network for mode in (False, True))
    assert recordings.lookahead > 0 and streams.lookahead == 0
