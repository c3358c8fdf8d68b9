"""Find out whether a container is cut short, by what its own headers announce."""

from __future__ import annotations

import io
import re
from typing import BinaryIO

from frcrn.audio import mpeg

# libsndfile's log of a header that announces more bytes than the file has
_ANNOUNCED = re.compile(r"^\s*(?:data|SSND|Data Size|Riff size|riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_PAGE = 65_307  # the largest page there is


def cut_short(stream: BinaryIO) -> str | None:
    """Say what is missing at the end of an ogg or mp3 stream; None where nothing is, and for other containers."""
    stream.seek(0)
    head = stream.read(4)
    if head == b"OggS":
        return None if _ogg_is_whole(stream) else "its last ogg page is missing"
    found = mpeg.layout(stream)
    return f"its last frame ends {found.missing} bytes later" if found and found.missing else None


def dump_cut_short(container: str, frames: int, size: int) -> str | None:
    """Say what is missing of a MIDI sample dump, of which libsndfile makes up what is not there; None of others."""
    if container != "SDS" or 2 * frames <= size:  # a sample takes two bytes or more
        return None
    return f"its header announces {frames} samples, {size} bytes are there"


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
