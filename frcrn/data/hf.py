"""Rows of Hugging Face datasets with `noisy`, `clean` and perhaps `duration`, whole or cut by `to_segment`."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from frcrn.audio import MissingPackage, read, resample
from frcrn.audio.arrays import samples_of
from frcrn.audio.resampling import resampled_length
from frcrn.config import require
from frcrn.data.identity import of_recordings
from frcrn.data.segments import Segments, common_length
from frcrn.data.speech_activity import Wave
from frcrn.files import native

STREAMING = "dataset: expected a dataset with a length, found a streaming one; give it to StreamedRows"
COLUMNS = ("noisy", "clean")
LOADERS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json"}


@dataclass(frozen=True)
class HfConfig:
    """A dataset on disk (saved by `save_to_disk`, or csv, json, parquet), cut into segments."""

    path: str
    seconds: float = 1.0
    split: str | None = None
    """Which split of several; null where there is one."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(self.seconds > 0, "seconds", "more than 0", self.seconds)


class HFRows(Segments):
    """A dataset in memory as segments; the caller's object stays as it is.

    A cell is an array, a dict with `array`, a path, bytes, or a row of `Audio(decode=False)`. A DatasetDict with one
    split stands for that split.
    """

    def __init__(
        self, dataset: Any, *, sample_rate: int = 16000, seconds: float = 1.0, seed: int = 0, folder: str | Path = ""
    ) -> None:
        """Take the rows of `dataset`; relative paths in them start at `folder`."""
        rows = _Rows(bare(one_split(dataset, None)), sample_rate, Path(folder))
        super().__init__(rows, round(seconds * sample_rate), seed)


def open_hf(config: HfConfig, sample_rate: int, seed: int) -> Segments:
    """Open a dataset on disk as segments."""
    dataset, folder = open_rows(config)
    return HFRows(dataset, sample_rate=sample_rate, seconds=config.seconds, seed=seed, folder=folder)


def open_rows(config: HfConfig) -> tuple[Any, Path]:
    """Open a dataset on disk: its rows, audio undecoded, and the folder where relative paths in them start."""
    # in a relative path with :: fsspec, which opens it, may see a store that runs code
    path = Path(config.path).absolute()
    return bare(one_split(_load(path), config.split)), path if path.is_dir() else path.parent


def _load(path: Path) -> Any:
    if not path.exists():
        raise ValueError(f"{path}: expected a saved dataset or a csv, json or parquet file, found nothing")
    try:
        import datasets
    except ImportError:
        raise MissingPackage('Hugging Face datasets need `pip install "frcrn[modelscope]"`') from None
    if path.is_dir():
        try:
            return datasets.load_from_disk(str(path))
        except FileNotFoundError:
            raise ValueError(f"{path}: expected a folder written by save_to_disk, found something else") from None
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise ValueError(
            f"{path}: expected one of {', '.join(LOADERS)} or a folder, found {path.suffix or 'no extension'}"
        )
    options = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
    return datasets.load_dataset(loader, data_files=str(path), **options)


def one_split(dataset: Any, wanted: str | None) -> Any:
    """Return the wanted (or only) split of a DatasetDict, and anything else as it is; unwraps a MsDataset."""
    dataset = dataset.to_hf_dataset() if hasattr(dataset, "to_hf_dataset") else dataset
    if not isinstance(dataset, Mapping):
        return dataset
    if wanted is None and len(dataset) == 1:
        return next(iter(dataset.values()))
    if wanted not in dataset:
        found = f"{wanted!r}" if wanted else "none named"
        raise ValueError(f"split: expected one of {', '.join(map(str, dataset))}, found {found}")
    return dataset[wanted]


def bare(dataset: Any) -> Any:
    """Return a view of the dataset whose audio cells come undecoded and whose numbers come as numpy arrays."""
    names = getattr(dataset, "column_names", None)
    if names is None:
        if hasattr(dataset, "__iter__") and not (hasattr(dataset, "__len__") or hasattr(dataset, "__next__")):
            raise ValueError(STREAMING)
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise ValueError(f"dataset: expected rows with the columns noisy and clean, found {type(dataset).__name__}")
        names = list(as_row(dataset[0])) if len(dataset) else None
    missing = [column for column in COLUMNS if column not in (names or ())]
    if missing:
        raise ValueError(
            f"dataset: expected the columns noisy and clean, found {', '.join(map(str, names or ())) or 'no rows'}"
        )
    if not hasattr(dataset, "features"):
        return dataset
    if not hasattr(dataset, "__len__"):
        raise ValueError(STREAMING)
    encoded = [column for column in COLUMNS if type(dataset.features[column]).__name__ == "Audio"]
    if not encoded:
        return dataset.with_format("numpy")
    from datasets import Audio

    for column in encoded:
        dataset = dataset.cast_column(column, Audio(decode=False))
    return dataset.with_format(None)


def as_row(row: Any) -> Mapping[str, Any]:
    """Return a row, or refuse what is none."""
    if not isinstance(row, Mapping):
        raise ValueError(f"dataset: expected rows with the columns noisy and clean, found {type(row).__name__}")
    if not set(COLUMNS) <= row.keys():
        raise ValueError(f"dataset: expected the columns noisy and clean, found {', '.join(map(str, row)) or 'none'}")
    return row


class _Rows:
    def __init__(self, dataset: Any, rate: int, folder: Path) -> None:
        self.dataset, self.rate, self.folder = dataset, rate, folder
        self.lengths = np.array([self._length(row) for row in range(len(dataset))], np.int64)

    def _length(self, number: int) -> int:
        row = as_row(self.dataset[number])
        noisy, clean = (cell_length(row[column], self.rate, self.folder) for column in COLUMNS)
        return common_length(noisy, clean, f"dataset: row {number}")

    def identity(self) -> str:
        """Return a hash of the lengths and of what some cells hold."""
        cells = [(length, column) for length in self.lengths.tolist() for column in COLUMNS]
        return of_recordings(cells, self._opened)

    def _opened(self, number: int) -> BinaryIO:
        row, column = divmod(number, len(COLUMNS))
        content, _ = _unwrapped(self.dataset[row][COLUMNS[column]], self.folder)
        if isinstance(content, Path):
            return content.open("rb")
        return io.BytesIO(content if isinstance(content, bytes | bytearray) else samples_of(content).tobytes())

    def pair(self, row: int, start: int, stop: int) -> tuple[Wave, Wave]:
        cells = self.dataset[row]
        noisy, clean = (cell_wave(cells[column], self.rate, self.folder) for column in COLUMNS)
        stop = min(stop, len(noisy), len(clean))
        return noisy[start:stop], clean[start:stop]


def _unwrapped(cell: Any, folder: Path) -> tuple[Any, int | None]:
    """Return an array with its rate (None: not said), or bytes or a path for the decoder."""
    if isinstance(cell, Mapping):
        if cell.get("array") is not None:
            rate = cell.get("sampling_rate")
            return cell["array"], None if rate is None else int(rate)
        cell = cell["bytes"] if cell.get("bytes") is not None else cell.get("path")
    if isinstance(cell, str | os.PathLike):
        return folder / os.fspath(cell), None
    if cell is None:
        raise ValueError("dataset: expected audio in every row, found an empty cell")
    return cell, None


def cell_length(cell: Any, rate: int, folder: Path) -> int:
    """Return the samples of a cell at `rate`, from the header where it is a file."""
    content, found = _unwrapped(cell, folder)
    if not isinstance(content, Path | bytes | bytearray):
        if not (shape := np.shape(content)):
            raise ValueError(f"dataset: expected audio in every row, found {type(content).__name__}")
        return resampled_length(shape[-1], found or rate, rate)
    try:
        info = soundfile.info(native(content) if isinstance(content, Path) else io.BytesIO(content))
    except (soundfile.LibsndfileError, OSError):
        return len(cell_wave(cell, rate, folder))
    return int(resampled_length(info.frames, info.samplerate, rate))


def cell_wave(cell: Any, rate: int, folder: Path) -> Wave:
    """Return a cell's mono samples [T] at `rate`."""
    content, found = _unwrapped(cell, folder)
    if isinstance(content, Path | bytes | bytearray):
        samples, found, _ = read(content)
    else:
        samples = np.atleast_2d(samples_of(content))
    return resample(samples.mean(axis=0, dtype=np.float32), found or rate, rate)
