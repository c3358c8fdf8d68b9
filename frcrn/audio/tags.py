"""Titles, artists, covers: what a recording says of itself, read from mp3, flac, ogg and opus."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from frcrn.audio import ogg
from frcrn.audio.mpeg import after_tag

COMMENT, PICTURE = 4, 6
"""Kinds of metadata block in flac."""
PICTURE_KEY = b"METADATA_BLOCK_PICTURE"
NAMES = {
    b"TIT2": b"TITLE",
    b"TPE1": b"ARTIST",
    b"TALB": b"ALBUM",
    b"TRCK": b"TRACKNUMBER",
    b"TCON": b"GENRE",
    b"TPE2": b"ALBUMARTIST",
    b"TCOM": b"COMPOSER",
    b"TDRC": b"DATE",
    b"TYER": b"DATE",
    b"TPOS": b"DISCNUMBER",
    b"TCOP": b"COPYRIGHT",
}
"""Frames of ID3 and what Vorbis comments call the same."""
_MOST_BLOCKS = 1024
"""Of metadata in flac."""
_MOST_FRAMES = 10_000
"""Of ID3."""
_MOST_COMMENTS = 100_000
_MOST_HEADERS = 1 << 26
"""Bytes of the header packets of an ogg file, pictures among them."""
_MOST_WORDS = 1 << 16
"""Bytes of the description of a picture."""
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
_PROGRAM = b"ENCODER="


class Tags(NamedTuple):
    """What a recording says of itself; `id3` and `id3v1` as they stand in an mp3 file, for another mp3 file."""

    comments: list[bytes] = []
    """KEY=value in UTF-8, as in flac, ogg and opus."""
    pictures: list[bytes] = []
    """As flac stores them."""
    id3: bytes = b""
    id3v1: bytes = b""


def tags_of(stream: BinaryIO) -> Tags:
    """Read the tags of an mp3, flac, ogg or opus file; none from others."""
    stream.seek(0)
    head = stream.read(4)
    if head == b"fLaC":
        return _from_flac(stream)
    if head == b"OggS":
        return _from_ogg(stream)
    if head[:3] == b"ID3" or head[:1] == b"\xff":
        return _from_mp3(stream)
    return Tags()


def comments_in(packet: bytes) -> list[bytes]:
    """Read a list of Vorbis comments, without what names the encoder; empty where it is torn."""
    at = 4 + int.from_bytes(packet[:4], "little")
    count = int.from_bytes(packet[at : at + 4], "little")
    found, at = [], at + 4
    if count > _MOST_COMMENTS:
        return []
    for _ in range(count):
        size = int.from_bytes(packet[at : at + 4], "little")
        entry, at = packet[at + 4 : at + 4 + size], at + 4 + size
        if at > len(packet):
            return []
        if not entry.upper().startswith(_PROGRAM):
            found.append(entry)
    return found


def flac_blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, body) of the metadata blocks; the stream is left where the sound begins."""
    stream.seek(4)
    for _ in range(_MOST_BLOCKS):
        if len(head := stream.read(4)) < 4:
            return
        yield head[0] & 0x7F, stream.read(int.from_bytes(head[1:], "big"))
        if head[0] & 0x80:
            return


def header_packets(stream: BinaryIO) -> list[bytes]:
    """Return the header packets of an ogg file: two of Opus, three of Vorbis; none of others, or of huge ones."""
    packets: list[bytes] = []
    part, total, wanted = bytearray(), 0, 3
    for page in ogg.pages(stream):
        total += len(page.body)
        if total > _MOST_HEADERS:
            return []
        for piece, ends in ogg.pieces(page):
            part += piece
            if ends:
                packets.append(bytes(part))
                part.clear()
                wanted = 2 if packets[0].startswith(b"OpusHead") else 3 if packets[0][1:7] == b"vorbis" else 0
        if len(packets) >= wanted:
            return packets[:wanted]
    return []


def _from_flac(stream: BinaryIO) -> Tags:
    comments: list[bytes] = []
    pictures: list[bytes] = []
    for kind, body in flac_blocks(stream):
        comments += comments_in(body) if kind == COMMENT else []
        pictures += [body] if kind == PICTURE and is_picture(body) else []
    return Tags(comments, pictures)


def _from_ogg(stream: BinaryIO) -> Tags:
    packets = header_packets(stream)
    if len(packets) < 2:
        return Tags()
    every = comments_in(packets[1][8 if packets[1].startswith(b"OpusTags") else 7 :])
    keyed = [entry.partition(b"=") for entry in every]
    pictures = [value for key, _, value in keyed if key.upper() == PICTURE_KEY]
    return Tags(
        [entry for entry in every if not entry.upper().startswith(PICTURE_KEY)],
        [picture for text in pictures if is_picture(picture := _from_base64(text))],
    )


def _from_base64(text: bytes) -> bytes:
    """Return what a text stands for; nothing where it is none."""
    import base64

    try:
        return base64.b64decode(text + b"==")
    except ValueError:
        return b""


def _from_mp3(stream: BinaryIO) -> Tags:
    end = after_tag(stream)
    stream.seek(0)
    id3 = stream.read(end)
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 128))
    tail = stream.read(128)
    frames = list(itertools.islice(_id3_frames(id3), _MOST_FRAMES))
    comments = [NAMES[kind] + b"=" + _text(body) for kind, body in frames if kind in NAMES]
    pictures = [picture for kind, body in frames if kind == b"APIC" and (picture := _picture(body))]
    return Tags(comments, pictures, id3, tail if tail[:3] == b"TAG" else b"")


def _id3_frames(tag: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the frames of ID3 2.3 and 2.4; none of tags that are stored in unusual ways."""
    if len(tag) < 20 or tag[3] not in (3, 4) or tag[5] & 0xC0:
        return
    at = 10
    while at + 10 <= len(tag) and tag[at : at + 4].isalnum():
        shift = 7 if tag[3] == 4 else 8
        size = sum(byte << shift * place for byte, place in zip(tag[at + 4 : at + 8], (3, 2, 1, 0), strict=True))
        if not tag[at + 9]:  # neither compressed nor encrypted
            yield tag[at : at + 4], tag[at + 10 : at + 10 + size]
        at += 10 + size


def _text(body: bytes) -> bytes:
    encoding = _ENCODINGS[body[0]] if body and body[0] < 4 else "latin-1"
    return body[1:].decode(encoding, "replace").rstrip("\0").replace("\0", "; ").encode()


def _picture(body: bytes) -> bytes | None:
    """An APIC frame -> a picture as flac stores it."""
    mime, _, rest = body[1:].partition(b"\0")
    if not rest or body[0] > 3:
        return None
    wide = body[0] in (1, 2)
    ends = range(1, min(len(rest), _MOST_WORDS), 1 + wide)
    end = next((at for at in ends if not any(rest[at : at + 1 + wide])), None)
    return None if end is None else picture_block(mime, rest[end + 1 + wide :], rest[0])


def picture_block(mime: bytes, data: bytes, kind: int = 3) -> bytes:
    """Return a picture as flac stores it, its size in pixels left open."""
    counted: list[Any] = [kind, mime, b"", 0, 0, 0, 0, data]
    return b"".join(
        part.to_bytes(4, "big") if isinstance(part, int) else len(part).to_bytes(4, "big") + part for part in counted
    )


def is_picture(block: bytes) -> bool:
    """Tell whether the lengths in a picture agree with its size: decoders of flac refuse a file where they do not."""
    at = 4
    for _ in ("type", "description"):
        at += 4 + int.from_bytes(block[at : at + 4], "big")
    at += 16
    return at + 4 <= len(block) == at + 4 + int.from_bytes(block[at : at + 4], "big")


def picture_parts(block: bytes) -> tuple[int, bytes, bytes]:
    """A picture as flac stores it -> (kind, MIME type, data)."""
    length = int.from_bytes(block[4:8], "big")
    at = 8 + length
    data = at + 4 + int.from_bytes(block[at : at + 4], "big") + 20
    return int.from_bytes(block[:4], "big"), block[8:at], block[data:]
