"""MP3 frames: count them, since headers that announce a length are missing, wrong, or speak of one part of several."""

from __future__ import annotations

import errno
import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from frcrn.audio.nameless import nameless, put

# kbit/s of layer III by the header's four bits, for MPEG 1 and for MPEG 2 and 2.5
BITRATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_PIECE = 1 << 20
_SEARCH = 1 << 16  # how far a first frame is looked for
_LONGEST = 2048  # bytes of a frame, and more
_MOST_TRIES = 300_000  # places at which a frame could begin and none does: some gigabytes of noise
_MOST_BETWEEN = 1 << 29  # bytes in which none could: a hole of terabytes costs nothing to make
_BEGINNING = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]|ID3")
_NO_ACCIDENT = 8  # frames in a row that are sound, of whatever kind
_ENOUGH = 200  # bytes of a frame that holds an info header and what LAME adds

_EMPTY_TAG = b"ID3\x04" + bytes(5) + b"\x0a" + bytes(10)


class Frame(NamedTuple):
    """Where a frame begins, its bytes and how it is coded."""

    start: int
    size: int
    rate: int
    kbps: int
    channels: int
    side: int
    """The bytes between the header and the data: there an info header begins."""


class FrameLayout(NamedTuple):
    """What an MP3 file holds: stretches of frames (start, end), their number, how many have each bitrate."""

    stretches: list[tuple[int, int]]
    frames: int
    kbps: Counter[int]
    info: bytes
    """The first frame where it is an info header (Xing, Info) and no sound."""
    plain: bool
    """Nothing stands between the frames."""
    missing: int
    """Bytes of the last frame that are not there."""
    kind: tuple[int, int]
    """The rate and the channels of the frames."""
    other: tuple[int, int] | None
    """Those of frames that are passed over."""

    @property
    def mean_kbps(self) -> float:
        """Return the mean bitrate."""
        return self.kbps.total() and sum(kbps * count for kbps, count in self.kbps.items()) / self.kbps.total()


def layout(stream: BinaryIO) -> FrameLayout | None:
    """Walk through the frames of a file; None where it is no MP3 of layer III, or one of free bitrate."""
    if not looks_like_mp3(stream):
        return None
    size = stream.seek(0, io.SEEK_END)
    stretches: list[tuple[int, int]] = []
    kbps: Counter[int] = Counter()
    info, end = b"", 0
    window = _Window(stream)
    for frame in _frames(window, size):
        head = window.at(frame.start, min(frame.size, 200))
        if is_info(head, frame):
            info = info or (window.at(frame.start, frame.size) if not kbps else b"")
            continue
        if stretches and frame.start == end:
            stretches[-1] = (stretches[-1][0], frame.start + frame.size)
        else:
            stretches.append((frame.start, frame.start + frame.size))
        end = frame.start + frame.size
        kbps[frame.kbps] += 1
    if not stretches:
        return None
    plain, missing = len(stretches) == 1, max(0, end - size)
    return FrameLayout(stretches, kbps.total(), kbps, info, plain, missing, (frame.rate, frame.channels), window.other)


def looks_like_mp3(stream: BinaryIO) -> bool:
    """Tell whether a file begins as MP3 files do."""
    stream.seek(0)
    head = stream.read(4)
    return head[:3] == b"ID3" or (len(head) == 4 and parsed(head, 0) is not None)


def parsed(head: bytes, start: int) -> Frame | None:
    """Read the four bytes of a frame's header; None where they are something else."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] & 6 != 2:
        return None
    version, code, rate, padding = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    kbps = BITRATES[version == 3][code]
    if version == 1 or not kbps or rate == 3 or head[3] & 3 == 2:
        return None
    hertz, channels = _RATES[version][rate], 1 if head[3] >> 6 == 3 else 2
    size = (144 if version == 3 else 72) * kbps * 1000 // hertz + padding
    side = {(True, 2): 32, (True, 1): 17, (False, 2): 17, (False, 1): 9}[version == 3, channels]
    return Frame(start, size, hertz, kbps, channels, 4 + side)


def is_info(head: bytes, frame: Frame) -> bool:
    """Tell whether a frame announces lengths and holds no sound."""
    return head[frame.side : frame.side + 4] in (b"Xing", b"Info") or head[36:40] == b"VBRI"


def compression(kbps: float, rate: int) -> float:
    """Return the level, 0 to 1, by which libsndfile means a bitrate."""
    low, high = (32, 320) if rate >= 32_000 else (8, 160) if rate >= 16_000 else (8, 64)
    return min(0.999, max(0.0, (high - kbps) / (high - low)))


def announces(kbps: float, rate: int) -> bool:
    """Tell whether a frame of a bitrate has room for the header that says how long the sound is."""
    return (144 if rate >= 32_000 else 72) * 1000 * kbps / rate >= _ENOUGH


def counted(stream: BinaryIO) -> BinaryIO | None:
    """Return a copy whose header announces the frames that are there; None where it does, or it is no MP3."""
    found = layout(stream)
    if found is None or found.missing or found.other or (_is_right(found) and not _confusing(stream)):
        return None
    copy = nameless()
    put(copy, _EMPTY_TAG if _confusing(stream) else b"")
    _pour(stream, copy, 0, after_tag(stream))
    put(copy, _header(stream, found))
    for start, end in found.stretches:
        _pour(stream, copy, start, end)
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 128))
    put(copy, tail if (tail := stream.read(128))[:3] == b"TAG" else b"")
    copy.seek(0)
    return copy


def _confusing(stream: BinaryIO) -> bool:
    """Tell whether libsndfile would take a file without a tag for another kind.

    Of a file without a name, it looks for these descriptions in the working folder before it thinks of MP3.
    """
    return not after_tag(stream) and any(os.path.lexists(name) for name in ("._", ".AppleDouble"))


def _pour(source: BinaryIO, sink: BinaryIO, start: int, end: int) -> None:
    """Copy the bytes from `start` to `end`."""
    source.seek(start)
    while start < end and (piece := source.read(min(_PIECE, end - start))):
        put(sink, piece)
        start += len(piece)


def after_tag(stream: BinaryIO, start: int = 0) -> int:
    """The offset of what follows an ID3 tag at `start`; its size is stored seven bits a byte."""
    stream.seek(start)
    head = stream.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return start
    return start + 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


class _Window:
    """Bytes of a file by their offset, read a piece at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self._start, self._held = stream, 0, b""
        self._tries = self._between = 0
        self.other: tuple[int, int] | None = None

    def at(self, start: int, count: int) -> bytes:
        """Return the bytes there, fewer at the end."""
        inside = start - self._start
        if not 0 <= inside <= len(self._held) - count:
            # the search looks one frame ahead and goes on behind that place
            self._start = max(0, start - _LONGEST)
            self.stream.seek(self._start)
            self._held, inside = self.stream.read(_PIECE), start - self._start
        return self._held[inside : inside + count]

    def beginning(self, start: int) -> int | None:
        """Return the first place from `start` on where a frame or a tag could begin; an error after too many."""
        self._tries += 1
        while self.at(start, 3):
            if self._tries > _MOST_TRIES or self._between > _MOST_BETWEEN:
                raise OSError(errno.EIO, "too much of it is neither MP3 frames nor tags")
            if found := _BEGINNING.search(self._held, start - self._start):
                return self._start + found.start()
            after = max(start + 1, self._start + len(self._held) - 2)
            self._between, start = self._between + after - start, after
        return None


def _frames(window: _Window, size: int) -> Iterator[Frame]:
    """Yield the frames; between them, tags and other things are passed over."""
    at = after_tag(window.stream)
    first: Frame | None = None
    while at < size:
        frame = parsed(window.at(at, 4), at)
        if frame is None or (first and (frame.rate, frame.channels) != (first.rate, first.channels)):
            frame = _next(window, at, size, first)
            if frame is None:
                return
        first = first or frame
        yield frame
        at = frame.start + frame.size


def _next(window: _Window, at: int, size: int, like: Frame | None) -> Frame | None:
    """Find the next frame that is followed by another: two headers in a row are no accident."""
    end = size if like else min(size, at + _SEARCH)
    while (found := window.beginning(at)) is not None and found < end:
        if window.at(found, 3) == b"ID3":
            at = max(found + 1, after_tag(window.stream, found))
            continue
        frame = parsed(window.at(found, 4), found)
        if frame and _agrees(frame, like) and _go_on(window, frame, 1):
            return frame
        if frame and window.other is None and not _agrees(frame, like) and _go_on(window, frame, _NO_ACCIDENT):
            window.other = frame.rate, frame.channels
        at = found + 1
    return None


def _go_on(window: _Window, frame: Frame, count: int) -> bool:
    """Tell whether so many frames of a kind follow one."""
    for _ in range(count):
        at = frame.start + frame.size
        after = parsed(window.at(at, 4), at)
        if after is None or not _agrees(after, frame):
            return False
        frame = after
    return True


def _agrees(frame: Frame | None, other: Frame | None) -> bool:
    return frame is not None and (other is None or frame[2::2] == other[2::2])


def _is_right(found: FrameLayout) -> bool:
    """Tell whether the info header agrees with the frames; encoders count its own frame, or not."""
    place, info = _place(found.info), found.info
    if place < 0 or len(info) < place + 16 or not info[place + 7] & 1 or not found.plain:
        return False
    frames, size = (int.from_bytes(info[at : at + 4], "big") for at in (place + 8, place + 12))
    there = sum(end - start for start, end in found.stretches)
    return 0 <= frames - found.frames <= 1 and (not info[place + 7] & 2 or abs(size - there) < 0.01 * there + len(info))


def _place(info: bytes) -> int:
    """Where in its frame the info header begins; -1 where there is none."""
    return max(info.find(b"Xing"), info.find(b"Info"))


def _header(stream: BinaryIO, found: FrameLayout) -> bytes:
    """Make an info frame that announces what is there; what an encoder noted about its own delay is kept."""
    stream.seek(found.stretches[0][0])
    head = bytearray(stream.read(4))
    head[1] |= 1  # no checksum
    head[2] = head[2] & 0x0D | _wide_enough(bytes(head)) << 4
    frame = cast(Frame, parsed(bytes(head), 0))
    size = frame.size + sum(end - start for start, end in found.stretches)
    body = b"Info" + (3).to_bytes(4, "big") + found.frames.to_bytes(4, "big") + size.to_bytes(4, "big")
    return (bytes(head).ljust(frame.side, b"\0") + body + _lame(found.info)).ljust(frame.size, b"\0")[: frame.size]


def _wide_enough(head: bytes) -> int:
    """The smallest bitrate's code whose frame holds the header."""
    codes = (code for code in range(1, 15) if _size(head, code) >= _ENOUGH)
    return next(codes, 14)


def _size(head: bytes, code: int) -> int:
    frame = parsed(bytes([head[0], head[1], head[2] & 0x0D | code << 4, head[3]]), 0)
    return frame.size if frame else 0


def _lame(info: bytes) -> bytes:
    """What LAME and ffmpeg add to an info header: among others the samples to leave out at both ends."""
    place = _place(info)
    if place < 0 or len(info) < place + 8:
        return b""
    flags = info[place + 7]
    fields = 4 * bool(flags & 1) + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    return info[place + 8 + fields : place + 8 + fields + 36]
