"""Find out whether a container is cut short, by what its own headers announce."""

from __future__ import annotations

import io
import re
from typing import BinaryIO

# libsndfile's log of a header that announces more bytes than the file has
_ANNOUNCED = re.compile(r"^\s*(?:data|SSND|Data Size|Riff size|riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_PAGE = 65_307  # the largest page there is


def cut_short(stream: BinaryIO) -> str | None:
    """Say what is missing at the end of an ogg or mp3 stream; None where nothing is, and for other containers."""
    stream.seek(0)
    head = stream.read(4)
    if head == b"OggS":
        return None if _ogg_is_whole(stream) else "its last ogg page is missing"
    if head[:3] == b"ID3" or head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xfa", b"\xff\xf2"):
        return _missing_mp3(stream)
    return None


def log_of_missing(log: str) -> str | None:
    """Say what is missing by libsndfile's log of the header; None where nothing is."""
    for announced, found in _ANNOUNCED.findall(log):
        if int(announced) > int(found) and not _placeholder(int(announced)):
            return f"its header announces {announced} bytes, {found} are there"
    return None


def _placeholder(size: int) -> bool:
    """Recognise what programs put for a size that they cannot know, writing to a pipe."""
    return size >= 2**32 - 2**12 or 2**31 - 2**13 <= size <= 2**31


def _ogg_is_whole(stream: BinaryIO) -> bool:
    """Tell whether the last page is complete and marked as the last of its stream."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 2 * _OGG_PAGE))
    tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27:
        return False
    segments = page[27 : 27 + page[26]]
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(segments)


def _missing_mp3(stream: BinaryIO) -> str | None:
    """Compare the bytes with those that the Xing header in the first frame announces, where it has one."""
    start = _after_id3(stream)
    found = stream.seek(0, io.SEEK_END) - start
    stream.seek(start)
    frame = stream.read(4096)
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or not frame[place + 7] & 2:
        return None
    field = place + (12 if frame[place + 7] & 1 else 8)
    announced = int.from_bytes(frame[field : field + 4], "big")
    # taggers count these bytes with and without the header's own frame, so a hundredth is left to them
    return f"its header announces {announced} bytes, {found} are there" if found < announced * 0.99 else None


def _after_id3(stream: BinaryIO) -> int:
    """The offset of what follows a leading ID3 tag; its size is stored seven bits a byte."""
    stream.seek(0)
    head = stream.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
