"""Find out whether a container is cut short, by what its own headers announce."""

from __future__ import annotations

import io
import re
from typing import BinaryIO, Literal

from frcrn.audio import mpeg

# libsndfile's log of a header that announces more bytes than the file has
_ANNOUNCED = re.compile(r"^\s*(?:data|SSND|Data Size|Riff size|riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_COUNTS: dict[bytes, tuple[int, Literal["little", "big"]]] = {
    b"RIFF": (4, "little"),
    b"FORM": (4, "big"),
    b".snd": (8, "big"),
    b"dns.": (8, "little"),
}
"""Of WAV, AIFF and AU by how they begin: where they count their bytes, all but a few."""
_OGG_PAGE = 65_307  # the largest page there is


def cut_short(stream: BinaryIO, found: mpeg.FrameLayout | None) -> str | None:
    """Say what is missing at the end of an ogg or mp3 stream, of which the frames are known, or beyond 4 GB."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b"OggS":
        return None if _ogg_is_whole(stream) else "its last ogg page is missing"
    if _outgrown(head, size):
        return f"its header counts to 4 GB, of {size} bytes; ffmpeg -ignore_length 1 reads such a wav"
    return f"its last frame ends {found.missing} bytes later" if found and found.missing else None


def changing(name: str, first: tuple[int, int], later: tuple[int, int]) -> str:
    """Say that a file goes on with another rate or another number of channels, which no decoder here follows."""
    was, now = (f"{rate} Hz with {channels} channel{'s' * (channels > 1)}" for rate, channels in (first, later))
    return f"{name}: begins at {was} and goes on at {now}; convert it to one of them, or split it"


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


def _outgrown(head: bytes, size: int) -> bool:
    """Tell whether a file is longer than its header counts in 32 bits: the count began again, or stands for none."""
    if head[:4] not in _COUNTS:
        return False
    place, order = _COUNTS[head[:4]]
    announced = int.from_bytes(head[place : place + 4], order)
    beyond = size - 8 - announced
    if announced == 0:
        return size > 2**32
    return beyond >= 2**32 and beyond % 2**32 < 2**12 or _placeholder(announced) and beyond > 2**12


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
