"""Training data in tar shards and streams: the same rows, resumed exactly."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from frcrn.data import HFRows, StreamedRows, build
from frcrn.training.batches import BatchOrder, batches
from tests.training_runs import recipe, trainer


def flac(wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 16000, format="FLAC")
    return file.getvalue()


def pairs(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    waves = [0.1 * random.standard_normal((2, 1000 + 300 * number)).astype("f") for number in range(count)]
    return [{"noisy": {"bytes": flac(a), "path": None}, "clean": {"bytes": flac(b), "path": None}} for a, b in waves]


def test_shards_are_rows_wherever_they_lie(tmp_path: Path) -> None:
    """The same segments as of the same rows in a dataset, and other members do not matter."""
    datasets = pytest.importorskip("datasets")
    rows = pairs(5)
    for shard, part in enumerate((rows[:2], rows[2:])):
        with tarfile.open(tmp_path / f"s-{shard}.tar", "w") as tar:
            for number, row in enumerate(part):
                members = {f"{number}.{name}.flac": row[name]["bytes"] for name in ("noisy", "clean")}
                for name, content in {**members, f"{number}.json": b"{}"}.items():
                    info = tarfile.TarInfo(f"deep/{name}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    config = {"kind": "shards", "paths": [f"{tmp_path}/s-*.tar"], "seconds": 0.05}
    shards = build(config, sample_rate=16000, seed=3)
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    saved = build({"kind": "hf", "path": str(tmp_path / "saved"), "seconds": 0.05}, sample_rate=16000, seed=3)
    assert len(shards) == len(saved) > 5  # type: ignore[arg-type]
    for index in range(len(saved)):  # type: ignore[arg-type]
        assert_close(shards[2, index], saved[2, index], rtol=0, atol=0)


def test_a_shard_without_pairs_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("a.noisy.wav"))
    for paths, message in (([f"{tmp_path}/x.tar"], "expected noisy and clean of a"), ([f"{tmp_path}/y"], "found none")):
        with pytest.raises(ValueError, match=message):
            build({"kind": "shards", "paths": paths}, sample_rate=16000, seed=0)


def streamed(count: int = 8) -> StreamedRows:
    datasets = pytest.importorskip("datasets")
    rows = datasets.IterableDataset.from_generator(lambda: iter(pairs(count)))
    return StreamedRows(rows.shuffle(seed=1, buffer_size=4), count, seconds=0.05, seed=5)


def test_a_stream_goes_on_where_it_was() -> None:
    """In any number of processes, from any place, across epochs."""

    def taken(start: int, part: int = 0, parts: int = 1, size: int = 4) -> Any:
        data = streamed()
        order = BatchOrder(len(data), size, seed=0, start=start, part=part, parts=parts, in_order=data.in_order)
        return batches(data, order, 0)

    whole = [batch for _, batch in zip(range(6), taken(0), strict=False)]
    resumed = [batch for _, batch in zip(range(3), taken(12), strict=False)]
    assert_close(resumed, whole[3:], rtol=0, atol=0)
    halves = [next(taken(12, part, 2, 2)) for part in (0, 1)]
    both = {key: torch.cat([half[key] for half in halves]) for key in halves[0]}
    assert_close(both, whole[3], rtol=0, atol=0)
    assert not torch.equal(whole[0]["noisy"], whole[2]["noisy"])  # the next epoch is mixed anew


def test_a_stream_that_is_too_short_is_named() -> None:
    rows = streamed(3)
    rows.length = 4
    with pytest.raises(ValueError, match="expected at least 4 rows in the stream, found 3"):
        rows[0, 3]


def test_a_stream_in_place_of_rows_is_sent_to_its_own_class() -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.IterableDataset.from_generator(lambda: iter(pairs(2)))
    with pytest.raises(ValueError, match="found a streaming one; give it to StreamedRows"):
        HFRows(rows, sample_rate=16000)


def test_a_trainer_takes_a_stream(tmp_path: Path) -> None:
    values = recipe(max_steps=3, batch_size=2)
    assert trainer(tmp_path / "run", values, train_data=streamed()).train().step == 3
