"""The datasets that a trainer is given, as ours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SECONDS = 1.0
"""Of one example in training, as in the released recipe."""
SPOKEN = ("noisy", "clean")
"""The columns that hold waves."""


def as_rows(dataset: Any, name: str, rate: int, seed: int) -> Any:
    """Return a dataset of examples; the one that was given stays as it is. None stays None."""
    from frcrn.data import Blend, HFRows, Mixing, build
    from frcrn.data.segments import Recordings, Segments

    if dataset is None or isinstance(dataset, (Segments, Recordings, Mixing, Blend)):
        return dataset
    if isinstance(dataset, (str, os.PathLike)):
        dataset = {"kind": "dns", "folder": os.fspath(dataset), "seconds": SECONDS}
    if isinstance(dataset, Mapping) and "kind" in dataset:
        return build(dict(dataset), sample_rate=rate, seed=seed, where=name)
    rows = HFRows(unwrapped(dataset), sample_rate=rate, seconds=SECONDS, seed=seed)
    if not len(rows):
        raise ValueError(f"{name}: expected at least one row, found none")
    return rows


def uncut(dataset: Any) -> Any:
    """Return the recordings of a dataset of segments, whole; what is mixed as it is asked for stays as it is."""
    from frcrn.data.segments import Segments

    return dataset.whole() if isinstance(dataset, Segments) else dataset


def unwrapped(dataset: Any) -> Any:
    """Return what a ModelScope dataset, alone or the only one of a dict, stands for.

    Its own `to_hf_dataset` is not called: that resets the format of the caller's dataset.
    """
    if isinstance(dataset, Mapping) and len(dataset) == 1:
        return unwrapped(next(iter(dataset.values())))
    return dataset.ds_instance if hasattr(dataset, "ds_instance") else dataset


def examples_of(dataset: Any, rate: int) -> Iterator[dict[str, Any]]:
    """Yield a dataset's rows whole, waves [T] at `rate`; `clean` may be missing, other columns stay as they are."""
    from frcrn.data.hf import cell_wave
    from frcrn.data.segments import Recordings, Segments

    ours = isinstance(dataset, (str, os.PathLike, Segments, Recordings))
    if ours or (isinstance(dataset, Mapping) and "kind" in dataset):
        rows = as_rows(dataset, "dataset", rate, 0)
        yield from (rows[0, index] for index in range(len(rows)))
        return
    found = undecoded(unwrapped(dataset))
    if not (hasattr(found, "__iter__") or hasattr(found, "__getitem__")):
        raise ValueError(f"dataset: expected rows with the column noisy, found {type(found).__name__}")
    for row in found:
        if not isinstance(row, Mapping) or row.get("noisy") is None:
            columns = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
            raise ValueError(f"dataset: expected rows with the column noisy, found {columns}")
        yield {name: cell_wave(value, rate, Path()) if name in SPOKEN else value for name, value in row.items()}


def undecoded(dataset: Any) -> Any:
    """Return a view of a dataset whose audio comes as it is stored, so that no decoder of the dataset's is needed."""
    encoded = [
        name for name, kind in (getattr(dataset, "features", None) or {}).items() if type(kind).__name__ == "Audio"
    ]
    if not encoded:
        return dataset
    from datasets import Audio

    for column in encoded:
        dataset = dataset.cast_column(column, Audio(decode=False))
    return dataset.with_format(None)
