"""Strange sound: files of every kind, rate and width, headers that are cut or lie, samples that are no numbers."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import soundfile

from frcrn.audio import ogg

Bytes = Callable[[], bytes]
"""A file, made when it is asked for."""

RATES = (
    1,
    7,
    999,
    1000,
    4000,
    8000,
    11_025,
    16_000,
    22_050,
    44_100,
    48_000,
    96_000,
    192_000,
    200_000,
    384_000,
    768_000,
)
RATES += (768_001, 2**31 - 1)
CHANNELS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 127, 128, 129, 255, 256, 1024)
KINDS = [
    (container, subtype)
    for container in soundfile.available_formats()
    if container not in ("RAW", "SD2")  # the one says nothing of itself, the other in another file
    for subtype in soundfile.available_subtypes(container)
]
BASES = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("NIST", "PCM_16"),
    ("VOC", "PCM_16"),
    ("SDS", "PCM_16"),
    ("AVR", "PCM_16"),
    ("MAT5", "DOUBLE"),
    ("IRCAM", "FLOAT"),
]
"""Whose headers are cut and changed."""
EXTENSIONS = {"WAVEX": "wav", "VORBIS": "ogg", "OPUS": "opus", "SVX": "iff", "PAF": "paf"}
LIES = (0, 0x7FFF_FFFF, 0xFFFF_FFFF)


def tone(length: int, rate: int, channels: int) -> np.ndarray:
    """[T, C], each channel another tone."""
    time = np.arange(length)[:, None] / rate
    wave = 0.3 * np.sin(2 * np.pi * (20 + 0.01 * rate * (1 + np.arange(channels) % 9)) * time)
    return wave.astype(np.float32)


@cache
def made(container: str, subtype: str, rate: int = 16_000, channels: int = 1, length: int = 1500) -> bytes:
    """A file; empty where libsndfile refuses to write it."""
    if subtype == "VORBIS" and (rate > 200_000 or channels > 255):
        return b""  # libsndfile itself would crash
    file = io.BytesIO()
    try:
        soundfile.write(file, tone(length, rate, channels), rate, subtype, None, container)
    except (soundfile.LibsndfileError, ValueError, TypeError, AssertionError, OverflowError):
        return b""
    return file.getvalue()


def suffix(container: str, subtype: str) -> str:
    return "." + EXTENSIONS.get(subtype, EXTENSIONS.get(container, container)).lower()


def kinds() -> Iterator[tuple[str, Bytes]]:
    """Every container and sample format at four rates and widths, together at every rate and width."""
    rates, channels = itertools.cycle(RATES), itertools.cycle(CHANNELS)
    for container, subtype in KINDS:
        for rate, width in ((16_000, 1), (next(rates), 1), (next(rates), next(channels)), (48_000, next(channels))):
            length = min(1500, max(40, rate // 30)) if width < 9 else 40

            def file(
                kind: tuple[str, ...] = (container, subtype), shape: tuple[int, ...] = (rate, width, length)
            ) -> bytes:
                return made(*kind, *shape)

            yield f"{container} {subtype} {rate} Hz {width} channels{suffix(container, subtype)}", file
    for rate, width in itertools.product(RATES, CHANNELS):  # every rate with every width, in one kind of file
        yield f"each {rate} Hz {width} channels.wav", lambda shape=(rate, width, 40): made("WAV", "PCM_16", *shape)


def header_of(container: str, subtype: str) -> int:
    """How many bytes of a file are looked at closely."""
    return {"OGG": 160, "NIST": 96, "MAT5": 160}.get(container, 96)


def cuts() -> Iterator[tuple[str, Bytes]]:
    """Each kind, cut off at every byte of its header, and a few bytes before its end."""
    for container, subtype in BASES:
        for length in (*range(header_of(container, subtype)), -1, -2, -3, -4, -100, -500):
            name = f"{container} {subtype} cut at {length}{suffix(container, subtype)}"
            yield name, lambda kind=(container, subtype), length=length: made(*kind)[:length]


def lies() -> Iterator[tuple[str, Bytes]]:
    """Each kind, every whole number of its header in turn something else: sizes, rates, widths, counts."""
    for container, subtype in BASES:
        for at, value in itertools.product(range(4, header_of(container, subtype) - 4, 2), LIES):
            name = f"{container} {subtype} says {value:x} at {at}{suffix(container, subtype)}"
            yield name, lambda kind=(container, subtype), at=at, value=value: lied(made(*kind), at, value)


def lied(content: bytes, at: int, value: int) -> bytes:
    """The same file with another number, in the order of bytes of its kind; the checksums of Ogg are made right."""
    order = "big" if content[:4] in (b"FORM", b".snd", b"caff", b"fLaC") or content[:2] == b"2B" else "little"
    changed = content[:at] + value.to_bytes(4, order) + content[at + 4 :]
    pages = list(ogg.pages(io.BytesIO(changed))) if content[:4] == b"OggS" else []
    return b"".join(page.encoded() for page in pages) or changed


def granules() -> Iterator[tuple[str, Bytes]]:
    """Ogg files whose pages say that they end elsewhere."""
    values = (-(2**63), -(2**40), -2, -1, 0, 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1)
    for subtype, number, value in itertools.product(("VORBIS", "OPUS"), range(4), values):
        yield (
            f"OGG {subtype} page {number} ends at {value}.ogg",
            lambda subtype=subtype, number=number, value=value: moved(
                made("OGG", subtype, 48_000, 1, 60_000), number, value
            ),
        )


def moved(content: bytes, number: int, position: int) -> bytes:
    pages = list(ogg.pages(io.BytesIO(content)))
    return b"".join(
        page._replace(position=position if page.number == number else page.position).encoded() for page in pages
    )


def xing() -> Iterator[tuple[str, Bytes]]:
    """MP3 files whose first frame announces other lengths, other flags, other places."""
    for field, value in itertools.product(range(0, 28, 4), (*LIES, 2, 40, 1000)):
        yield f"MP3 info {value:x} at {field}.mp3", lambda field=field, value=value: informed(field, value)


def informed(field: int, value: int) -> bytes:
    content = made("MP3", "MPEG_LAYER_III", 44_100, 2, 20_000)
    at = max(content.find(b"Xing"), content.find(b"Info")) + 4 + field
    return content[:at] + value.to_bytes(4, "big") + content[at + 4 :]


def damaged(count: int = 150) -> Iterator[tuple[str, Bytes]]:
    """Files with bytes changed at random."""
    for number in range(count):
        kind = BASES[number % len(BASES)]
        yield (
            f"damaged {number} {' '.join(kind)}{suffix(*kind)}",
            lambda kind=kind, number=number: noisy(made(*kind), number),
        )


def noisy(content: bytes, seed: int) -> bytes:
    chance, changed = random.Random(seed), bytearray(content)
    for _ in range(chance.choice((1, 3, 20))):
        changed[chance.randrange(chance.choice((64, len(changed))))] = chance.randrange(256)
    return bytes(changed)


def odd() -> Iterator[tuple[str, Bytes]]:
    """No samples, values that are none, names that lie, and what is no sound at all."""
    for kind in BASES:
        yield f"empty {' '.join(kind)}{suffix(*kind)}", lambda kind=kind: made(*kind, length=0)
        yield f"one sample {' '.join(kind)}{suffix(*kind)}", lambda kind=kind: made(*kind, length=1)
        yield f"{' '.join(kind)} twice{suffix(*kind)}", lambda kind=kind: 2 * made(*kind)
    for (name, value), subtype in itertools.product(VALUES.items(), ("FLOAT", "DOUBLE")):
        yield f"{name} {subtype}.wav", lambda value=value, subtype=subtype: holding(value, subtype)
    for kind, extension in itertools.product(BASES, (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff")):
        yield f"{' '.join(kind)} called{extension}", lambda kind=kind: made(*kind)
    for name, content in NO_SOUND.items():
        for extension in (".wav", ".mp3", ".opus", ".txt", ""):
            yield f"{name}{extension}", lambda content=content: content


def holding(value: float, subtype: str) -> bytes:
    """A wav file with a value in its middle, and all of it where the value is denormal."""
    wave = np.full((400, 1), value) if 0 < abs(value) < 1e-30 else tone(400, 16_000, 1).astype(np.float64)
    wave[200] = value
    file = io.BytesIO()
    soundfile.write(file, wave.astype(np.float32 if subtype == "FLOAT" else np.float64), 16_000, subtype, None, "WAV")
    return file.getvalue()


VALUES = {
    "nan": np.nan,
    "infinity": np.inf,
    "less than infinity": -np.inf,
    "denormal": 1e-42,
    "denormal double": 1e-310,
}
VALUES |= {"largest": 3.4028e38, "smallest": -3.4028e38, "beyond float": 1e300, "loud": 1e6, "too loud": 1e20}
NO_SOUND = {
    "nothing": b"",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "text": b"This is no sound at all.\n" * 50,
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "zip": b"PK\x03\x04" + bytes(500),
    "random": random.Random(0).randbytes(5000),
    "tag of 256 MiB": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(500),
    "tags without end": b"ID3\x04\x00\x00\x00\x00\x00\x00" * 5000,
    "headers of frames": b"\xff\xfb\x90\x00" * 5000,
    "pages": b"OggS" * 2000,
    "chunks": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\x00\x00\x00\x00" * 20_000,
    "chunks in AIFF": b"FORM\x00\x10\x00\x00AIFF" + b"NAME\x00\x00\x00\x00" * 20_000,
    "boxes": b"\x00\x00\x00\x18ftypmp42" + bytes(12) + b"\x00\x00\x00\x08moov" * 2000,
    "matroska": b"\x1aE\xdf\xa3" + b"\x01\xff\xff\xff\xff\xff\xff\xff" * 500,
}


def files() -> dict[str, Bytes]:
    """Return all of them by their names."""
    every = itertools.chain(kinds(), cuts(), lies(), granules(), xing(), damaged(), odd())
    return {name.replace("/", "-"): file for name, file in every}
