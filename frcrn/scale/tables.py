"""Rows of Parquet and Arrow files, as Hugging Face datasets keep them: audio cells are replaced, all else stays.

A cell is the bytes of an audio file, or a struct of `bytes` and `path` as the datasets' Audio is stored. The schema
with its features stays, so what was saved by `save_to_disk` can be loaded by `load_from_disk` again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from frcrn.scale.shards import Enhance, Part

ROWS = 64
"""Rows held in memory at once."""


def enhanced_table(source: Path, target: Path, enhance: Enhance, folder: str) -> Iterator[Part]:
    """Write the clean form of a table; yield what became of each audio cell. A cell that fails is empty."""
    with _reader(source) as (schema, batches), _writer(target, schema) as append:
        columns = audio_columns(schema)
        if not columns:
            raise ValueError(f"{source}: expected a column with audio (bytes, or bytes and path), found none")
        number = 0
        for batch in batches:
            values = batch.to_pydict()
            for column in columns:
                for row, cell in enumerate(values[column]):
                    values[column][row], part = enhanced_cell(cell, f"{column}[{number + row}]", enhance, folder)
                    yield part
            number += batch.num_rows
            append(values)


def enhanced_cell(cell: Any, member: str, enhance: Enhance, folder: str) -> tuple[Any, Part]:
    """Return the clean form of one cell, None where it fails, and what became of it."""
    try:
        content, name = _content(cell, folder)
        clean, seconds = enhance(content, name)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        return None, Part(member, error=f"{member}: {error}")
    return ({"bytes": clean, "path": cell["path"]} if isinstance(cell, dict) else clean), Part(member, seconds)


def _content(cell: Any, folder: str) -> tuple[bytes, str]:
    """The bytes of a cell and a name for them."""
    from frcrn.scale.places import Place, named_in_row

    if cell is None:
        raise ValueError("expected audio, found an empty cell")
    if not isinstance(cell, dict):
        return cell, ""
    name = cell["path"] or ""
    if cell["bytes"] is not None:
        return cell["bytes"], name
    return Place(named_in_row(name, folder)).read(), name


def audio_columns(schema: Any) -> list[str]:
    """Return the columns whose cells are bytes, or structs of bytes and path."""
    import pyarrow

    def audio(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return {"bytes", "path"} <= {field.name for field in kind}
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    return [field.name for field in schema if audio(field.type)]


def _reader(path: Path) -> AbstractContextManager[tuple[Any, Iterator[Any]]]:
    from contextlib import contextmanager

    import pyarrow
    import pyarrow.parquet as parquet

    @contextmanager
    def reading() -> Iterator[tuple[Any, Iterator[Any]]]:
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path) as file:
                yield file.schema_arrow, file.iter_batches(ROWS)
        else:
            with pyarrow.memory_map(str(path)) as file, pyarrow.ipc.open_stream(file) as stream:
                yield stream.schema, _sliced(stream)

    return reading()


def _sliced(stream: Any) -> Iterator[Any]:
    for batch in stream:
        for start in range(0, batch.num_rows, ROWS):
            yield batch.slice(start, ROWS)


def _writer(path: Path, schema: Any) -> AbstractContextManager[Any]:
    from contextlib import contextmanager

    import pyarrow
    import pyarrow.parquet as parquet

    @contextmanager
    def writing() -> Iterator[Any]:
        file = parquet.ParquetWriter(path, schema) if path.suffix == ".parquet" else None
        with file or pyarrow.OSFile(str(path), "wb") as sink:
            stream = file or pyarrow.ipc.new_stream(sink, schema)
            yield lambda values: stream.write_batch(pyarrow.RecordBatch.from_pydict(values, schema=schema))
            if file is None:
                stream.close()

    return writing()
