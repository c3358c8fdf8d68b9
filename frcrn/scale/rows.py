"""Recordings that rows of strangers name: by their name alone nothing else of a machine is opened for a row."""

from __future__ import annotations

from pathlib import Path

from frcrn.audio import ACCEPTED, is_audio_name, is_media_name
from frcrn.scale.places import Place, named_in_row

MOST = 1 << 31
"""Bytes of a recording that is read whole for a cell; no cell of a table could hold more."""
NO_RECORDING = f"expected a recording; accepted are {ACCEPTED}"


def is_recording(name: str) -> bool:
    """Tell by its name whether a file is one recording."""
    return is_audio_name(name) or is_media_name(name)


def in_store(path: str) -> str:
    """Return what a row names in its store; what a web address asks for, after its path, is no part of the name."""
    scheme, mark, rest = path.partition("://")
    return path if not mark else rest.partition("?")[0] if scheme in ("http", "https") else rest


def content_named(path: str, folder: str) -> bytes:
    """Return what the recording holds that a cell names; relative names start at the folder of its table."""
    full = named_in_row(path, folder)
    if not is_recording(in_store(path)):
        raise ValueError(f"{full}: {NO_RECORDING}")
    place = Place(full)
    size = _size_here(Path(place.path), full) if place.local else 0
    content = b"" if size > MOST else place.read(MOST)
    if max(size, len(content)) > MOST:
        raise ValueError(f"{full}: larger than {MOST >> 20} MB, the most accepted for a cell")
    return content


def _size_here(path: Path, name: str) -> int:
    """The bytes of a regular file; a device would have no end, and a pipe might have no beginning."""
    if not path.exists():
        raise ValueError(f"{name}: cannot be read: no such file")
    if not path.is_file():
        raise ValueError(f"{name}: expected a file, found a {'folder' if path.is_dir() else 'device or pipe'}")
    return path.stat().st_size
