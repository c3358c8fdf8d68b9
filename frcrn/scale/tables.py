"""Rows of Parquet and Arrow files, as Hugging Face datasets keep them: audio cells are replaced, all else stays.

A cell is the bytes of an audio file, or a struct of `bytes` and `path` as the datasets' Audio is stored, in which other
fields may be. The schema with its features stays, so what was saved by `save_to_disk` can be loaded by `load_from_disk`
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from frcrn.scale.shards import Enhance, Part
from frcrn.texts import from_json
from frcrn.visible import visible

ROWS = 64
"""Rows held in memory at once."""


def enhanced_table(source: Path, target: Path, enhance: Enhance, folder: str) -> Iterator[Part]:
    """Write the clean form of a table; yield what became of each audio cell. A cell that fails is empty."""
    import pyarrow

    with _reader(source) as (schema, batches), _writer(target, schema) as append:
        places = audio_places(schema)
        if not places:
            raise ValueError(f"{source}: expected a column with audio (bytes, or bytes and path), found none")
        number = 0
        for batch in batches:
            columns = list(batch.columns)
            for place in places:
                clean = []
                for row, cell in enumerate(cells(columns[place])):
                    member = f"{schema.field(place).name}[{number + row}]"
                    content, part = enhanced_cell(*cell, member, enhance, folder)
                    clean.append(content)
                    yield part
                columns[place] = with_bytes(columns[place], clean)
            number += batch.num_rows
            append(pyarrow.RecordBatch.from_arrays(columns, schema=schema))


def enhanced_cell(
    content: bytes | None, name: str, member: str, enhance: Enhance, folder: str
) -> tuple[bytes | None, Part]:
    """Return the clean form of one cell, None where it fails, and what became of it."""
    from frcrn.scale.rows import content_named

    try:
        if content is None and not name:
            raise ValueError("expected audio, found an empty cell")
        content = content_named(name, folder) if content is None else content
        clean, seconds = enhance(content, name)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        return None, Part(member, error=visible(f"{member}: {error}"))
    return clean, Part(member, seconds)


def cells(column: Any) -> Iterator[tuple[bytes | None, str]]:
    """Yield the bytes of each cell of a column, and its path where it has one."""
    if not _is_struct(column.type):
        yield from ((cell.as_py(), "") for cell in column)
        return
    parts = column.flatten()
    content, path = (parts[column.type.get_field_index(name)] for name in ("bytes", "path"))
    yield from ((each.as_py(), str(name.as_py() or "")) for each, name in zip(content, path, strict=True))


def with_bytes(column: Any, clean: Sequence[bytes | None]) -> Any:
    """Return a column with other bytes, in which a cell without bytes is empty; what else a struct holds stays."""
    import pyarrow

    kind = column.type
    if not _is_struct(kind):
        return pyarrow.array(clean, kind)
    parts, place = column.flatten(), kind.get_field_index("bytes")
    parts[place] = pyarrow.array(clean, kind[place].type)
    empty = pyarrow.array([content is None for content in clean], pyarrow.bool_())
    return pyarrow.StructArray.from_arrays(parts, fields=list(kind), mask=empty)


def audio_places(schema: Any) -> list[int]:
    """Return where the columns with audio are: those whose features say so, else all that may be."""
    types = feature_types(schema)
    places = [place for place, field in enumerate(schema) if holds_audio(field.type)]
    said = [place for place in places if types.get(schema.field(place).name) == "Audio"]
    return said or [place for place in places if types.get(schema.field(place).name, "Value") == "Value"]


def feature_types(schema: Any) -> dict[str, str]:
    """Return what the features that the datasets keep in a schema call their columns, such as Audio or Image."""
    try:
        features = from_json((schema.metadata or {})[b"huggingface"].decode())["info"]["features"]
        return {name: feature["_type"] for name, feature in features.items() if "_type" in feature}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def holds_audio(kind: Any) -> bool:
    """Say whether the cells of a column are bytes, or structs of bytes and path."""
    if not _is_struct(kind):
        return _is_bytes(kind)
    places = [kind.get_field_index(name) for name in ("bytes", "path")]
    return min(places) >= 0 and _is_bytes(kind[places[0]].type)


def _is_struct(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_struct(kind))


def _is_bytes(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _reader(path: Path) -> AbstractContextManager[tuple[Any, Iterator[Any]]]:
    from contextlib import contextmanager

    import pyarrow
    import pyarrow.parquet as parquet

    @contextmanager
    def reading() -> Iterator[tuple[Any, Iterator[Any]]]:
        if _is_parquet(path):
            with parquet.ParquetFile(path) as file:
                yield file.schema_arrow, file.iter_batches(ROWS)
        else:
            with pyarrow.memory_map(str(path)) as file, pyarrow.ipc.open_stream(file) as stream:
                yield stream.schema, _sliced(stream)

    return reading()


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


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
        file = parquet.ParquetWriter(path, schema) if _is_parquet(path) else None
        with file or pyarrow.OSFile(str(path), "wb") as sink:
            stream = file or pyarrow.ipc.new_stream(sink, schema)
            yield stream.write_batch
            if file is None:
                stream.close()

    return writing()
