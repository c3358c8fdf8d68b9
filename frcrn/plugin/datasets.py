"""The datasets that a trainer is given, as ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

SECONDS = 1.0
"""Of one example, as in the released recipe."""


def as_rows(dataset: Any, name: str, rate: int, seed: int) -> Any:
    """Return a dataset of examples; the one that was given stays as it is. None stays None."""
    from frcrn.data import Blend, HFRows, Mixing, build
    from frcrn.data.segments import Segments

    if dataset is None or isinstance(dataset, (Segments, Mixing, Blend)):
        return dataset
    if isinstance(dataset, (str, os.PathLike)):
        dataset = {"kind": "dns", "folder": os.fspath(dataset), "seconds": SECONDS}
    if isinstance(dataset, Mapping) and "kind" in dataset:
        return build(dict(dataset), sample_rate=rate, seed=seed, where=name)
    rows = HFRows(unwrapped(dataset), sample_rate=rate, seconds=SECONDS, seed=seed)
    if not len(rows):
        raise ValueError(f"{name}: expected at least one row, found none")
    return rows


def unwrapped(dataset: Any) -> Any:
    """Return what a ModelScope dataset, alone or the only one of a dict, stands for.

    Its own `to_hf_dataset` is not called: that resets the format of the caller's dataset.
    """
    if isinstance(dataset, Mapping) and len(dataset) == 1:
        return unwrapped(next(iter(dataset.values())))
    return dataset.ds_instance if hasattr(dataset, "ds_instance") else dataset
