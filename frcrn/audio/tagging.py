"""Put tags into a file that an encoder has just written: mp3, flac, ogg and opus."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from frcrn.audio import ogg
from frcrn.audio.tags import (
    COMMENT,
    NAMES,
    PICTURE,
    PICTURE_KEY,
    Tags,
    flac_blocks,
    header_packets,
    picture_parts,
)
from frcrn.files import give_to

_VENDOR = b"frcrn"
_FRAMES = {name: frame for frame, name in reversed(NAMES.items())}


def put_tags(path: Path, tags: Tags) -> None:
    """Write the tags into the file; other kinds of file stay as they are."""
    if not any(tags):
        return
    other = path.with_suffix(".tags")  # as long as the name of what is half-written: it fits, and is swept
    try:
        with path.open("rb") as source, open(other, "xb", opener=_private) as sink:
            give_to(sink.fileno(), os.fstat(source.fileno()))
            if not _tagged(source, sink, tags):
                return
        os.replace(other, path)
    finally:
        other.unlink(missing_ok=True)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _tagged(source: BinaryIO, sink: BinaryIO, tags: Tags) -> bool:
    head = source.read(4)
    if head == b"fLaC":
        _into_flac(source, sink, tags)
    elif head == b"OggS":
        _into_ogg(source, sink, tags)
    elif head[:1] == b"\xff":
        sink.write(tags.id3 or _id3(tags))
        source.seek(0)
        shutil.copyfileobj(source, sink)
        sink.write(tags.id3v1)
    else:
        return False
    return True


def _into_flac(source: BinaryIO, sink: BinaryIO, tags: Tags) -> None:
    blocks = [(kind, body) for kind, body in flac_blocks(source) if kind not in (COMMENT, PICTURE)]
    blocks += [(COMMENT, _comments(tags.comments)), *((PICTURE, picture) for picture in tags.pictures)]
    fitting = [(kind, body) for kind, body in blocks if len(body) < 1 << 24]
    sink.write(b"fLaC")
    for number, (kind, body) in enumerate(fitting):
        last = 0x80 * (number == len(fitting) - 1)
        sink.write(bytes([kind | last]) + len(body).to_bytes(3, "big") + body)
    shutil.copyfileobj(source, sink)


def _into_ogg(source: BinaryIO, sink: BinaryIO, tags: Tags) -> None:
    packets = header_packets(source)
    if len(packets) < 2:
        source.seek(0)
        shutil.copyfileobj(source, sink)
        return
    pictures = [PICTURE_KEY + b"=" + base64.b64encode(picture) for picture in tags.pictures]
    body = _comments([*tags.comments, *pictures])
    packets[1] = b"OpusTags" + body if packets[0].startswith(b"OpusHead") else b"\x03vorbis" + body + b"\x01"
    number, seen = 0, 0
    for page in ogg.pages(source):
        if seen < len(packets):
            seen += sum(ends for _, ends in ogg.pieces(page))
            if seen == len(packets):
                for header in _header_pages(packets, page.serial):
                    sink.write(header.encoded())
                    number = header.number + 1
            continue
        sink.write(page._replace(number=number).encoded())
        number += 1


def _header_pages(packets: list[bytes], serial: int) -> Iterable[ogg.Page]:
    """The first packet alone on its page, as Ogg wants it; the others together, on as many as they need."""
    yield ogg.Page(ogg.FIRST, 0, serial, 0, bytes([len(packets[0])]), packets[0])
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets[1:])
    body, within = b"".join(packets[1:]), False
    for number, start in enumerate(range(0, len(lacing), 255), start=1):
        part = lacing[start : start + 255]
        size = sum(part)
        position = 0 if any(length < 255 for length in part) else -1
        yield ogg.Page(ogg.CONTINUED * within, position, serial, number, part, body[:size])
        body, within = body[size:], part[-1] == 255


def _comments(entries: Iterable[bytes]) -> bytes:
    every = list(entries)
    counted = b"".join(len(entry).to_bytes(4, "little") + entry for entry in every)
    return len(_VENDOR).to_bytes(4, "little") + _VENDOR + len(every).to_bytes(4, "little") + counted


def _id3(tags: Tags) -> bytes:
    """Return a tag of ID3 2.4."""
    keyed = [entry.partition(b"=") for entry in tags.comments]
    frames = [(_FRAMES[key.upper()], b"\x03" + value) for key, _, value in keyed if key.upper() in _FRAMES]
    for kind, mime, data in map(picture_parts, tags.pictures):
        frames.append((b"APIC", b"\x03" + mime + b"\0" + bytes([kind & 0xFF]) + b"\0" + data))
    body = b"".join(name + _seven(len(value)) + b"\0\0" + value for name, value in frames)
    return b"ID3\x04\0\0" + _seven(len(body)) + body if frames else b""


def _seven(size: int) -> bytes:
    """A size in seven bits a byte."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
