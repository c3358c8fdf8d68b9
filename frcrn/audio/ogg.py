"""Ogg pages: read them, write them, and put right the granule positions of Opus files that clocks have shaken.

A page's granule position counts the samples up to its end. Programs that copy Opus from containers with rounded time
stamps write positions that do not agree with the packets; libsndfile then stops in the middle of a good file.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import count
from typing import BinaryIO, NamedTuple

from frcrn.audio.nameless import nameless, put

MAGIC = b"OggS\0"
FIRST, LAST, CONTINUED = 2, 4, 1
"""A page's flags: the first of its stream, the last one, one that begins within a packet."""

_RATE = 48_000  # Opus counts at this rate whatever it was made from
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# milliseconds times 2 of an Opus frame, by the upper five bits of a packet's first byte (RFC 6716, table 2)
_HALF_MS = (20, 40, 80, 120) * 3 + (20, 40) * 2 + (5, 10, 20, 40) * 4
_NO_POSITION = -1
_PIECE = 1 << 20
MOST_TRIES = 10_000
"""Things in a file that look like a page and are none, before no more pages are searched for."""


class Page(NamedTuple):
    """One page: `lacing` holds the lengths of the pieces of packets in `body`."""

    flags: int
    position: int
    serial: int
    number: int
    lacing: bytes
    body: bytes

    def encoded(self) -> bytes:
        """Return the page as it stands in a file."""
        counters = self.serial.to_bytes(4, "little") + self.number.to_bytes(4, "little")
        head = MAGIC + bytes([self.flags]) + self.position.to_bytes(8, "little", signed=True) + counters
        tail = bytes([len(self.lacing)]) + self.lacing + self.body
        return head + _checksum(head + bytes(4) + tail).to_bytes(4, "little") + tail


def pages(stream: BinaryIO) -> Iterator[Page]:
    """Yield the pages from the beginning; ends at the first thing that is no whole page."""
    stream.seek(0)
    yield from _pages_here(stream)


def _pages_here(stream: BinaryIO) -> Iterator[Page]:
    while len(head := _exactly(stream, 27)) == 27 and head[:5] == MAGIC:
        lacing = _exactly(stream, head[26])
        body = _exactly(stream, sum(lacing))
        if len(lacing) < head[26] or len(body) < sum(lacing):
            return
        position = int.from_bytes(head[6:14], "little", signed=True)
        serial, number = (int.from_bytes(head[at : at + 4], "little") for at in (14, 18))
        yield Page(head[5], position, serial, number, lacing, body)


def pieces(page: Page) -> Iterator[tuple[bytes, bool]]:
    """Yield the parts of packets on a page, and whether each ends there."""
    start = end = 0
    for length in page.lacing:
        end += length
        if length < 255:
            yield page.body[start:end], True
            start = end
    if start < end or page.lacing[-1:] == b"\xff":
        yield page.body[start:end], False


def spans(stream: BinaryIO) -> list[tuple[int, int]]:
    """Return where the recordings of a file begin and end, which radio stations send one after the other.

    Between them there may be what is no page, and the last page of one may be cut short.
    """
    size = stream.seek(0, io.SEEK_END)
    found: list[tuple[int, int]] = []
    tried = count()
    at = last = start = end = 0
    first = True
    while at != size:
        stream.seek(at)
        if len(head := _exactly(stream, 27)) < 27 or head[:5] != MAGIC or head[5] > 7:
            if not end or (at := _next_page(stream, last + 1, tried)) < 0:
                break
            head, first = _exactly(stream, 27), False
        if head[5] & FIRST and not first:  # several streams that belong together begin together
            found.append((start, min(end, at)))
            start = at
        last, first = at, bool(head[5] & FIRST)
        at = end = at + 27 + head[26] + sum(_exactly(stream, head[26]))
    return [*found, (start, min(end, size))] if end else []


def _next_page(stream: BinaryIO, start: int, tried: Iterator[int]) -> int:
    """Go to the first whole page from a place on, and return where it is; -1 where none is found."""
    for at in _places(stream, start):
        if next(tried) >= MOST_TRIES:
            return -1
        stream.seek(at)
        page = next(_pages_here(stream), None)
        stream.seek(at)
        if page is not None and _exactly(stream, len(encoded := page.encoded())) == encoded:
            return stream.seek(at)
    return -1


def _places(stream: BinaryIO, start: int) -> Iterator[int]:
    """Yield where something looks like a page, from a place on."""
    held = b""
    while True:
        stream.seek(start + len(held))
        if not (piece := stream.read(_PIECE)):
            return
        held += piece
        found = held.find(MAGIC)
        while found >= 0:
            yield start + found
            found = held.find(MAGIC, found + 1)
        kept = held[1 - len(MAGIC) :]
        start, held = start + len(held) - len(kept), kept


def steadied(stream: BinaryIO) -> BinaryIO | None:
    """Return a copy of an Opus file in which positions agree with packets; None where they do, or it is another file.

    A file with missing pages, or with several streams, is left as it is.
    """
    stream.seek(0)
    if b"OpusHead" not in stream.read(64):
        return None
    lengths = _page_lengths(stream)
    if lengths is None or _agree(stream, lengths):
        return None
    copy = nameless()
    for page in _moved(pages(stream), lengths):
        put(copy, page.encoded())
    copy.seek(0)
    return copy


def packet_length(packet: bytes) -> int:
    """Return the samples at 48 kHz that an Opus packet holds."""
    if not packet:
        return 0
    frame = _HALF_MS[packet[0] >> 3] * _RATE // 2000
    code = packet[0] & 3
    count = (1, 2, 2)[code] if code < 3 else packet[1] & 63 if len(packet) > 1 else 0
    return frame * count


def _page_lengths(stream: BinaryIO) -> list[int] | None:
    """The samples of the packets that end on each page; None where pages are missing or streams are mixed."""
    lengths: list[int] = []
    packets, start, serial = 0, b"", None
    for expected, page in enumerate(pages(stream)):
        serial = page.serial if serial is None else serial
        if page.serial != serial or page.number != expected:
            return None
        lengths.append(0)
        for piece, ends in pieces(page):
            start = (start + piece)[:2]  # a packet's first two bytes say how long it is
            if ends:
                lengths[-1] += packet_length(start) if packets >= 2 else 0  # the first two packets are headers
                packets, start = packets + 1, b""
    return lengths


def _agree(stream: BinaryIO, lengths: list[int]) -> bool:
    """Tell whether each page's position follows from the one before; the first may be later, the last one earlier."""
    before: int | None = None
    for page, length in zip(pages(stream), lengths, strict=True):
        if not length:
            continue
        follows = page.position >= length if before is None else page.position == before + length
        if not follows and not (page.flags & LAST and page.position <= (before or 0) + length):
            return False
        before = page.position
    return True


def _moved(source: Iterable[Page], lengths: list[int]) -> Iterator[Page]:
    """Count positions anew from the packets; the last page's own stays where it cuts the end."""
    total = offset = 0
    for page, length in zip(source, lengths, strict=True):
        if length and not total:
            offset = _offset(page.position, length)
        total += length
        position = total if length else min(page.position, 0)
        if page.flags & LAST and length:
            position = max(total - length, min(total, page.position - offset))
        yield page._replace(position=position)


def _offset(position: int, length: int) -> int:
    """The position of a stream's first sample, where it is no clock's error: the stream was cut out of a longer one."""
    first = position - length
    return 0 if -_RATE // 50 <= first <= _RATE else first


def _exactly(stream: BinaryIO, count: int) -> bytes:
    """Read so many bytes, fewer only at the end: an unbuffered file may give less at once."""
    data = stream.read(count)
    while len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data


def _checksum(data: bytes) -> int:
    """CRC-32 as Ogg has it, bits from the left and no inversion: zlib's of mirrored bytes, mirrored."""
    mirrored = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
