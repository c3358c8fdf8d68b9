"""Tar files of strangers: nothing in them is unpacked, and no header takes more memory than a name needs."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_HEADER = 1 << 20
"""Bytes of a name or of facts about a member, which are held in memory."""
LARGEST = 1 << 62
HEADERS = (*"LKxgX",)
"""What precedes a member: a long name, the name of a link, facts."""


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tarfile.TarFile]:
    """Give a tar file; what is none, or is packed, is refused by its name.

    A packed one could hold any amount of nothing, and be read for hours.
    """
    try:
        with tarfile.open(path, "r:", tarinfo=Header) as tar:
            yield tar
    except tarfile.TarError as error:
        raise ValueError(f"{os.fspath(path)}: expected an uncompressed tar file, found {error}") from None


class Header(tarfile.TarInfo):
    """The header of a member, and what precedes it."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """Read on, once the size can be believed."""
        refuse(self, LONGEST_HEADER if self.type.decode("latin-1") in HEADERS else LARGEST)
        try:
            found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        except (ValueError, OverflowError, RecursionError) as error:
            raise tarfile.ReadError(f"a damaged header ({error})") from None
        refuse(found, LARGEST)
        return found


def refuse(header: tarfile.TarInfo, most: int) -> None:
    """Refuse a header that claims more bytes than there can be, or fewer than none."""
    if not 0 <= header.size <= most:
        raise tarfile.ReadError(f"a header that claims {header.size} bytes")
