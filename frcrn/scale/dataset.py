"""Enhance a column of a Ray Dataset, for those who have a pipeline of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import numpy as np

from frcrn.audio import checked_rate
from frcrn.inference.one_file import Settings
from frcrn.scale.cluster import imported, pool, unwarned
from frcrn.scale.rows import content_named
from frcrn.scale.sounds import Model, enhanced_bytes
from frcrn.visible import visible

REASONS = "error"
"""The column for why rows fail."""


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
    struct of `array` and `sampling_rate`, or an array [T] or [C, T] at `rate`, of floats or integers as for `enhance`.
    Rows come as they are done, unless `ray.data.DataContext.get_current().execution_options.preserve_order` is set.

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
    chosen, rate = Settings(**settings), None if rate is None else checked_rate(rate)
    if (names := dataset.columns()) is not None:
        check_columns(names, column)
    with unwarned():
        return dataset.map_batches(
            Cells,
            fn_constructor_args=(chosen, column, rate),
            batch_size=batch_size,
            batch_format="pandas",
            **pool(ray, chosen, actors),
        )


def check_columns(names: Collection[str], column: str) -> None:
    """Refuse rows without the audio column, or with one in the place of the reasons."""
    if column not in names:
        raise ValueError(f"column {column!r}: expected one of {', '.join(names)}")
    if REASONS in names:
        raise ValueError(f"column {REASONS!r}: is where the reasons of rows that fail go; rename the one that is there")


class Cells:
    """What an actor does with a batch of rows."""

    def __init__(self, settings: Settings, column: str, rate: int | None) -> None:
        self.settings, self.column, self.rate = settings, column, rate
        self.model = cache(settings.open)

    def __call__(self, batch: Any) -> Any:
        """Enhance the cells of a table, in order."""
        check_columns(batch.columns, self.column)
        done = [self.cell(cell) for cell in batch[self.column]]
        return batch.assign(**{self.column: [cell for cell, _ in done], REASONS: [error for _, error in done]})

    def cell(self, cell: Any) -> tuple[Any, str | None]:
        """Return the clean form of a cell, or None and why there is none."""
        try:
            return enhanced_cell(cell, self.rate, self.settings, self.model), None
        except Exception as error:  # noqa: BLE001 - the other rows go on
            text, name = str(error) or type(error).__name__, _path(cell)
            return None, visible(text if name in text else f"{name}: {text}")


def enhanced_cell(cell: Any, rate: int | None, settings: Settings, model: Model) -> Any:
    """Return the clean form of whatever a cell holds, in the same form; a path gives bytes."""
    if isinstance(cell, Mapping) and cell.get("array") is not None:
        own = cell.get("sampling_rate")
        return {**cell, "array": _wave(cell["array"], rate if own is None else own, settings, model)}
    if isinstance(cell, Mapping):
        return {**cell, "bytes": _file(cell.get("bytes"), _path(cell), settings, model)}
    if cell is None or isinstance(cell, str):
        return _file(None, _path(cell), settings, model)
    if isinstance(cell, bytes | bytearray | memoryview):
        return _file(cell, "", settings, model)
    return _wave(cell, rate, settings, model)


def _path(cell: Any) -> str:
    """The path that a cell names; empty where it names none."""
    path = cell.get("path") if isinstance(cell, Mapping) else cell
    return path if isinstance(path, str) else ""


def _file(content: Any, path: str, settings: Settings, model: Model) -> bytes:
    """The clean form of a file's bytes, which are read where there is only its path."""
    if content is None and not path:
        raise ValueError("expected audio, found an empty cell")
    content = content_named(path, "") if content is None else content
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ValueError(f"expected bytes, found {type(content).__name__}")
    return enhanced_bytes(bytes(content), path, settings, model)[0]


def _wave(wave: Any, rate: Any, settings: Settings, model: Model) -> Any:
    if not np.iterable(wave):
        raise ValueError(f"expected audio, found {type(wave).__name__}")
    if rate is None:
        raise ValueError("expected a sample rate beside the array, or rate=")
    if settings.mono or settings.normalise is not None or settings.track is not None:
        raise ValueError("mono, normalise and track are for audio files, not for arrays")
    names = ("strength", "max_attenuation_db", "residual", "repair", "band", "passes")
    options = {name: getattr(settings, name) for name in names}
    return model().enhance(_samples(wave), checked_rate(rate), **options)


def _samples(wave: Any) -> Any:
    """[T] or [C, T], which pandas has as an array of arrays, and others as a list."""
    try:
        values = np.asarray(wave)
        return np.stack([np.asarray(channel) for channel in values]) if values.dtype == object else values
    except ValueError:
        raise ValueError("expected channels of the same length") from None
