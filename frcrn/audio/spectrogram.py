"""Spectrograms and sounds as data URIs, for pages that carry everything with them."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.audio.reading import Samples

WINDOW = 512
COLUMNS = 320
"""At most; longer clips are looked at less often, never less finely."""
RANGE_DB = 75.0
COLOURS = 64
# From quiet to loud: near black, indigo, purple, red, orange, pale yellow.
ANCHORS = ((6, 6, 20), (45, 22, 95), (120, 30, 125), (195, 55, 95), (245, 130, 60), (252, 245, 190))

Indices = NDArray[np.uint8]


def spectrogram(wave: Samples, loudest: float) -> Indices:
    """[T] -> [128, N] colour numbers, high frequencies on top; `loudest` is the power that gets the last colour."""
    hop = max(WINDOW // 4, -(-len(wave) // COLUMNS))
    power = np.square(np.abs(np.fft.rfft(frames(wave, WINDOW, hop))[:, :-1]))
    pooled = power.reshape(len(power), -1, 2).max(axis=2).T[::-1]
    level = 10 * np.log10(np.maximum(pooled, 1e-12) / max(loudest, 1e-12))
    return np.asarray(((level / RANGE_DB + 1).clip(0, 1) * (COLOURS - 1)).round(), dtype=np.uint8)


def loudest_bin(wave: Samples) -> float:
    """[T] -> the greatest power in its spectrogram."""
    return float(np.square(np.abs(np.fft.rfft(frames(wave, WINDOW, WINDOW // 2)))).max())


def palette() -> Indices:
    """[64, 3]: red, green, blue of each colour number."""
    places = np.linspace(0, len(ANCHORS) - 1, COLOURS)
    channels = np.array(ANCHORS, dtype=float).T
    return np.stack([np.interp(places, range(len(ANCHORS)), channel) for channel in channels], axis=1).astype(np.uint8)


def png(image: Indices) -> bytes:
    """[rows, columns] colour numbers -> a PNG file."""
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 3, 0, 0, 0)
    lines = np.pad(image, ((0, 0), (1, 0)))  # each line begins with its filter, none
    pixels = zlib.compress(lines.tobytes(), 9)
    parts = ((b"IHDR", header), (b"PLTE", palette().tobytes()), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def flac(wave: Samples, rate: int) -> bytes:
    """[T] -> a 16-bit FLAC file, which every browser plays and nothing is lost in."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, wave.clip(-1, 1), rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def data_uri(kind: str, body: bytes) -> str:
    """Return bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(body).decode('ascii')}"


def frames(wave: NDArray[Any], length: int, hop: int) -> NDArray[np.float64]:
    """[T] -> Hann-windowed frames [N, length]; a clip shorter than one frame is padded to one."""
    wide = np.pad(wave.astype(np.float64), (0, max(0, length - len(wave))))
    window = np.hanning(length + 2)[1:-1]
    return np.asarray(np.lib.stride_tricks.sliding_window_view(wide, length)[::hop] * window)
