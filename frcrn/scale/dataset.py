"""Enhance a column of a Ray Dataset, for those who have a pipeline of their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from frcrn.inference.one_file import Settings
from frcrn.scale.cluster import imported, pool, unwarned
from frcrn.scale.places import Place, named_in_row
from frcrn.scale.sounds import Model, enhanced_bytes


def enhance_dataset(
    dataset: Any,
    *,
    column: str = "audio",
    rate: int | None = None,
    batch_size: int = 16,
    actors: int | None = None,
    **settings: Any,
) -> Any:
    """Return a Ray Dataset whose audio column is enhanced; rows that fail have null there and a reason in `error`.

    A cell is the bytes of an audio file, a struct of `bytes` and `path`, a path or URL (whose clean form is bytes), a
    struct of `array` and `sampling_rate`, or an array [T] or [C, T] at `rate`.

    Args:
        dataset: a `ray.data.Dataset`.
        column: the column with audio.
        rate: the sample rate of arrays that come without one.
        batch_size: rows given to an actor at once.
        actors: the most processes; None is one a core of the cluster.
        **settings: as for `enhance_file`.

    Example:
        >>> clean = frcrn.enhance_dataset(ray.data.read_parquet("s3://speech/rows"), column="audio")
    """
    ray = imported()
    if not isinstance(dataset, ray.data.Dataset):
        raise ValueError(f"dataset: expected a ray.data.Dataset, found {type(dataset).__name__}")
    chosen = Settings(**settings)
    names = dataset.columns()
    if names is not None and column not in names:
        raise ValueError(f"column {column!r}: expected one of {', '.join(names)}")
    with unwarned():
        return dataset.map_batches(
            Cells,
            fn_constructor_args=(chosen, column, rate),
            batch_size=batch_size,
            batch_format="pandas",
            **pool(ray, chosen, actors),
        )


class Cells:
    """What an actor does with a batch of rows."""

    def __init__(self, settings: Settings, column: str, rate: int | None) -> None:
        self.settings, self.column, self.rate = settings, column, rate
        self.model = cache(settings.open)

    def __call__(self, batch: Any) -> Any:
        """Enhance the cells of a table, in order."""
        done = [self.cell(cell) for cell in batch[self.column]]
        return batch.assign(**{self.column: [cell for cell, _ in done], "error": [error for _, error in done]})

    def cell(self, cell: Any) -> tuple[Any, str | None]:
        """Return the clean form of a cell, or None and why there is none."""
        try:
            return enhanced_cell(cell, self.rate, self.settings, self.model), None
        except Exception as error:  # noqa: BLE001 - the other rows go on
            return None, str(error) or type(error).__name__


def enhanced_cell(cell: Any, rate: int | None, settings: Settings, model: Model) -> Any:
    """Return the clean form of whatever a cell holds, in the same form; a path gives bytes."""
    if cell is None:
        raise ValueError("expected audio, found an empty cell")
    if isinstance(cell, str):
        return enhanced_bytes(Place(named_in_row(cell, "")).read(), cell, settings, model)[0]
    if isinstance(cell, bytes | bytearray | memoryview):
        return enhanced_bytes(bytes(cell), "", settings, model)[0]
    if not isinstance(cell, Mapping):
        return _wave(cell, rate, settings, model)
    if cell.get("array") is not None:
        return {**cell, "array": _wave(cell["array"], cell.get("sampling_rate") or rate, settings, model)}
    name = cell.get("path") or ""
    content = cell["bytes"] if cell.get("bytes") is not None else Place(named_in_row(name, "")).read()
    return {**cell, "bytes": enhanced_bytes(content, name, settings, model)[0]}


def _wave(wave: Any, rate: int | None, settings: Settings, model: Model) -> Any:
    if rate is None:
        raise ValueError("expected a sample rate beside the array, or rate=")
    if settings.mono or settings.normalise is not None or settings.track is not None:
        raise ValueError("mono, normalise and track are for audio files, not for arrays")
    samples = (
        np.stack([np.asarray(row, np.float32) for row in wave]) if np.ndim(wave[0]) else np.asarray(wave, np.float32)
    )
    names = ("strength", "max_attenuation_db", "residual", "repair", "band", "passes")
    return model().enhance(samples, int(rate), **{name: getattr(settings, name) for name in names})
