"""Folders and object stores alike, by their URL: listing, fetching, storing."""

from __future__ import annotations

import glob
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from frcrn.audio import MissingPackage
from frcrn.files import replacing

STORES = (
    "file",
    "s3",
    "s3a",
    "gs",
    "gcs",
    "hdfs",
    "webhdfs",
    "http",
    "https",
    "abfs",
    "abfss",
    "az",
    "hf",
    "oss",
    "memory",
)
"""What a row may name; any other kind only where its manifest or table is there, too."""
PIECE = 1 << 20
"""Bytes read at once where a file may have no end."""
HASHES = ("ETag", "etag", "Content-MD5", "md5Hash", "crc32c", "blob_id")
TIMES = ("mtime", "LastModified", "Last-Modified", "last_modified", "modificationTime", "updated", "created")
"""What stores call the hash of a file's content, and the time when it was written."""


class Found(NamedTuple):
    """A listed file: its URL, its name below the place, its bytes, and its `stamp_of`."""

    url: str
    name: str
    size: int
    stamp: str


class Place:
    """A file or folder named by a URL such as s3://bucket/folder, or by a path."""

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        try:
            from fsspec.core import filesystem, url_to_fs
        except ImportError:
            raise MissingPackage('--ray needs fsspec and Ray: pip install "frcrn[ray]"') from None
        _, mark, _ = self.url.partition("://")
        if mark and "::" in self.url:  # one of them reads a file of references, which may hold code
            raise ValueError(f"{self.url}: names several stores with ::; accepted is the URL of one")
        try:
            self.system, path = url_to_fs(self.url) if mark else _local(filesystem("file"), self.url)
        except (ImportError, ValueError, OSError, TypeError) as error:
            raise ValueError(f"{self.url}: {error}") from None
        self.path = path.rstrip("/") or path
        protocol = self.system.protocol
        self.local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def __truediv__(self, name: str) -> Place:
        return Place(f"{self.url.rstrip('/')}/{name}")

    def files(self) -> list[Found]:
        """List the file, the files that match a pattern, or all files at any depth, sorted by name."""
        with self._named():
            return self._listed()

    def _listed(self) -> list[Found]:
        self.system.invalidate_cache()
        if glob.has_magic(self.path):
            root, found = self._fixed_part(), self.system.glob(self.path, detail=True)
        elif self.system.isfile(self.path):
            root, found = self.path.rpartition("/")[0], {self.path: self.system.info(self.path)}
        else:
            root, found = self.path, self.system.find(self.path, detail=True)
        listed = [self._found(path, root, facts) for path, facts in found.items() if facts["type"] == "file"]
        return sorted(each for each in listed if not _hidden(each.name))

    def file(self) -> Found | None:
        """Return the file of exactly this name; None where there is none. Nothing is listed for that."""
        with self._named():
            self.system.invalidate_cache()
            facts = self.system.info(self.path)
        return self._found(self.path, self.path.rpartition("/")[0], facts) if facts["type"] == "file" else None

    def read(self, most: int | None = None) -> bytes:
        """Return a whole file; of one that is larger than `most`, a beginning that is larger, too."""
        with self._named():
            content: bytes = self.system.cat_file(self.path) if most is None else self._beginning(most)
            return content

    def _beginning(self, most: int) -> bytes:
        content = io.BytesIO()
        with self.system.open(self.path, "rb") as file:
            while content.tell() <= most and (piece := file.read(PIECE)):
                content.write(piece)
        return content.getvalue()

    def fetch(self, folder: Path) -> Path:
        """Return a local file with the content: itself where it is local, else a copy in `folder`."""
        if self.local:
            return Path(self.path)
        copy = folder / str(self.path).rpartition("/")[2]
        with self._named():
            self.system.get_file(self.path, str(copy))
        return copy

    def store(self, content: Path | bytes) -> None:
        """Write a whole file: renamed into place where it is local, else sent and its size compared."""
        if self.local:
            self._store_here(content)
            return
        with self._named():
            if isinstance(content, bytes):
                self.system.pipe_file(self.path, content)
            else:
                self.system.put_file(str(content), self.path)
            self.system.invalidate_cache(self.path)
            sent, there = size_of(content), self.system.info(self.path)["size"]
        if sent != there:
            raise OSError(f"{self.url}: {sent} bytes were sent, {there} are there")

    def remove(self) -> None:
        """Remove a file, if it is there."""
        with self._named():
            if self.system.exists(self.path):
                self.system.rm_file(self.path)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what goes wrong with a store, of which each package has classes of its own, into an OSError."""
        try:
            yield
        except Exception as error:
            if self.local:
                raise
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
            raise kind(f"{self.url}: {' '.join(str(error).split()) or type(error).__name__}") from error

    def _store_here(self, content: Path | bytes) -> None:
        target = Path(self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as beside:
            if isinstance(content, bytes):
                beside.write_bytes(content)
            else:
                shutil.copyfile(content, beside)

    def _fixed_part(self) -> str:
        parts = self.path.split("/")
        return "/".join(parts[: next(number for number, part in enumerate(parts) if glob.has_magic(part))])

    def _found(self, path: str, root: str, facts: dict[str, Any]) -> Found:
        name = path[len(root) :].lstrip("/")
        url = path if self.local else self.system.unstrip_protocol(path)
        return Found(url, name, int(facts.get("size") or 0), stamp_of(url, facts))


def _local(system: Any, path: str) -> tuple[Any, str]:
    """Open a path as it stands: in one that holds :: or a scheme, fsspec would see stores."""
    return system, system._strip_protocol(path)


def named_in_row(name: str, folder: str) -> str:
    """Return the URL of a file that a row of a manifest or a table names; relative names start at its folder."""
    scheme, mark, _ = name.partition("://")
    if not mark:
        return name if os.path.isabs(name) or not folder else f"{folder}/{name}"
    if scheme not in (*STORES, folder.partition("://")[0]):
        raise ValueError(f"{name}: found a store of the kind {scheme}; accepted in rows are {', '.join(STORES)}")
    return name


def stamp_of(url: str, facts: dict[str, Any]) -> str:
    """Return what changes with a file's content: its hash and size, else its URL, time and size.

    It is empty where the store tells neither: then nobody knows whether the file is still the same.
    """
    mark = next((str(facts[key]) for key in HASHES if facts.get(key)), "")
    when = next((f"{url} {facts[key]}" for key in TIMES if facts.get(key)), "")
    return f"{mark or when}-{facts.get('size')}".replace('"', "") if mark or when else ""


def size_of(content: Path | bytes) -> int:
    """Return how many bytes a file or a string of bytes holds."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def expanded(url: str) -> Iterator[str]:
    """Yield the URLs that a range in braces stands for, as in shard-{000..011}.tar."""
    head, opening, rest = url.partition("{")
    inside, closing, tail = rest.partition("}")
    first, dots, last = inside.partition("..")
    if not (opening and closing and dots and first.isdigit() and last.isdigit()):
        yield url
        return
    for number in range(int(first), int(last) + 1):
        yield from expanded(f"{head}{number:0{len(first)}}{tail}")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
