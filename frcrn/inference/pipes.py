"""Enhance audio from a pipe in real time: raw samples, or wav whose length nobody knows yet.

A wav header is answered by the same header. A length that it announces is kept; where it announces none (what writes to
a pipe cannot know it), neither does the answer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from frcrn.audio import AudioError, Samples, as_floats, checked_rate, like
from frcrn.audio.formats import kind_of
from frcrn.inference.network import Network
from frcrn.inference.streaming import Stream
from frcrn.inference.voice_activity import StreamLabels, write_table

BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}
"""Encodings of a raw sample, by the names that ffmpeg gives them, and their sizes."""
FORMATS = ("auto", "wav", *BYTES)

_STORED = {"u8": "u1", "s16le": "<i2", "s32le": "<i4", "f32le": "<f4", "f64le": "<f8"}
_TAGS = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}
_EXTENSIBLE = 0xFFFE
_UNKNOWN = 0xFFFFFFFF
_PLACEHOLDER = 0x7FFF0000  # from here on, a size stands for one that was not known
_MOST = 1 << 16  # bytes at once
_MOST_CHANNELS = 1024  # as in files; each takes a network's memory, whoever wrote the header


class Layout(NamedTuple):
    """How samples lie in a pipe; `fmt` is the chunk of a wav header that says so, empty where there is none."""

    encoding: str
    rate: int
    channels: int
    fmt: bytes = b""
    size: int | None = None
    """The bytes of all samples, where the header announces them."""

    @property
    def frame(self) -> int:
        """Bytes of one sample of every channel."""
        return BYTES[self.encoding] * self.channels


def decode(data: bytes, layout: Layout) -> Samples:
    """Whole frames -> [C, n]."""
    if layout.encoding == "s24le":
        high = np.pad(np.frombuffer(data, "u1").reshape(-1, 3), ((0, 0), (1, 0)))
        values: Any = np.ascontiguousarray(high).view("<i4")
    else:
        values = np.frombuffer(data, _STORED[layout.encoding])
    return as_floats(values.reshape(-1, layout.channels).T)


def encode(samples: Samples, layout: Layout) -> bytes:
    """[C, n] -> whole frames, clipped at full scale where the encoding is an integer one."""
    wave = np.ascontiguousarray(samples.T).reshape(-1)
    if layout.encoding != "s24le":
        return like(np.zeros(0, _STORED[layout.encoding]), wave).tobytes()
    rounded = (np.rint(wave.astype(np.float64) * 2**23) / 2**23).astype(np.float32)
    return np.ascontiguousarray(like(np.zeros(0, "<i4"), rounded).view("u1").reshape(-1, 4)[:, 1:]).tobytes()


class Inlet:
    """Bytes as they come: the beginning can be looked at, the rest is handed on as soon as it is there."""

    def __init__(self, source: BinaryIO, name: str) -> None:
        self.name = name
        self._read = getattr(source, "read1", source.read)  # returns what is there, and waits only for the first byte
        self._held = b""

    def peek(self, count: int) -> bytes:
        """Return the first bytes without taking them, fewer where the input ends."""
        while len(self._held) < count and (more := self._read(_MOST)):
            self._held += more
        return self._held[:count]

    def take(self, count: int) -> bytes:
        """Return the next bytes, fewer where the input ends."""
        taken = self.peek(count)
        self._held = self._held[len(taken) :]
        return taken

    def skip(self, count: int) -> None:
        """Leave bytes out, a few at once."""
        while count > 0 and (taken := len(self.take(min(count, _MOST)))):
            count -= taken

    def pieces(self, most: int | None) -> Iterator[bytes]:
        """Yield what is there as soon as it is, `most` bytes in all or up to the end."""
        left = most
        while left != 0 and (piece := self._held or self._read(_MOST)):
            self._held = piece[left:] if left is not None else b""
            piece = piece[:left]
            left = None if left is None else left - len(piece)
            yield piece


def layout_of(inlet: Inlet, form: str, rate: int | None, channels: int | None, model_rate: int) -> Layout:
    """Find out how the samples lie, by the header where there is one; raw ones are mono at the model's rate at best."""
    if form not in FORMATS:
        raise ValueError(f"format {form!r}: choose from {', '.join(FORMATS)}")
    if form == "wav" or (form == "auto" and _is_wav(inlet)):
        return _agreed(read_header(inlet), inlet, rate, channels)
    layout = Layout("s16le" if form == "auto" else form, checked_rate(rate or model_rate), channels or 1)
    if form == "auto" and 1 <= layout.channels < 1 << 15:
        layout = layout._replace(fmt=_described_as(layout))  # so that whoever reads the pipe knows what comes
    return _bounded(layout)


def _bounded(layout: Layout) -> Layout:
    if not 1 <= layout.channels <= _MOST_CHANNELS:
        raise ValueError(f"channels {layout.channels}: accepted are 1 to {_MOST_CHANNELS}")
    return layout


def _is_wav(inlet: Inlet) -> bool:
    """Tell wav from raw samples; refuse what is another kind of file, which would sound like noise."""
    head = inlet.peek(12)
    if not head:
        raise AudioError(f"{inlet.name}: is empty; expected raw samples or wav")
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        return True
    found = kind_of(head, damaged=head[:4] in (b"RIFF", b"RF64"))  # the rest of another format may be whole
    if found != "data of no known audio format" and not (found == "text" and len(head) < 12):
        raise AudioError(
            f"{inlet.name}: found {found}; accepted are wav and raw samples: decode it with ffmpeg first, or use "
            f"frcrn enhance (for samples that only look like it, name their format: {', '.join(BYTES)})"
        )
    return False


def _agreed(layout: Layout, inlet: Inlet, rate: int | None, channels: int | None) -> Layout:
    """Refuse a rate or channels that the header contradicts."""
    for what, asked, found in (("rate", rate, layout.rate), ("channels", channels, layout.channels)):
        if asked not in (None, found):
            raise ValueError(f"{inlet.name}: its header says {what} {found}, not {asked}; leave --{what} out for wav")
    return layout


def read_header(inlet: Inlet) -> Layout:
    """Take a wav header up to the first sample."""
    start = inlet.take(12)
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        raise AudioError(f"{inlet.name}: found {kind_of(start) if start else 'nothing'}; expected wav")
    layout: Layout | None = None
    long, at, end = 0, 12, 8 + int.from_bytes(start[4:8], "little")
    while len(head := inlet.take(8)) == 8:
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        at += 8
        if kind == b"data" and layout is not None:
            layout = _bounded(layout)
            known = size if 0 < size < _PLACEHOLDER else long
            if 0 < known < layout.frame:
                raise AudioError(f"{inlet.name}: its {known} bytes are no whole sample ({layout.frame} bytes)")
            if not known:
                return layout._replace(size=0 if at < end < _PLACEHOLDER and _is_chunk(inlet, end - at) else None)
            return layout._replace(size=known - known % layout.frame)
        if kind == b"fmt ":
            layout = _described(inlet.take(min(size, _MOST)), inlet.name)
            inlet.skip(size % 2)
        elif kind == b"ds64" and size >= 16:  # of RF64: the sizes that 32 bits do not hold
            long = int.from_bytes(inlet.take(16)[8:], "little")
            inlet.skip(size - 16 + size % 2)
        else:
            inlet.skip(size + size % 2)
        at += size + size % 2
    raise AudioError(f"{inlet.name}: its wav header ends before the samples begin")


def _is_chunk(inlet: Inlet, most: int) -> bool:
    """Say whether a chunk of at most so many bytes comes next, and no sound."""
    head = inlet.peek(8)
    return len(head) == 8 and head[:4].isalnum() and int.from_bytes(head[4:], "little") <= most - 8


def _described(fmt: bytes, name: str) -> Layout:
    """Read the chunk of a wav header that says how samples lie."""
    if len(fmt) < 16:
        raise AudioError(f"{name}: its wav header is cut short")
    tag, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = int.from_bytes(fmt[24:26], "little")
    encoding = _TAGS.get((tag, bits))
    if encoding is None:
        raise AudioError(f"{name}: wav of type {tag} with {bits} bits; accepted are integer and float samples (PCM)")
    layout = Layout(encoding, rate, channels, fmt)
    if not rate or not channels or frame != layout.frame:
        raise AudioError(f"{name}: its wav header says {channels} channels, {rate} Hz, {frame} bytes a sample")
    return layout


def _described_as(layout: Layout) -> bytes:
    """The chunk of a wav header for 16-bit samples."""
    return struct.pack("<HHIIHH", 1, layout.channels, layout.rate, layout.rate * layout.frame, layout.frame, 16)


def header(layout: Layout) -> bytes:
    """Return the wav header for samples that lie like this; nothing for raw ones."""
    if not layout.fmt:
        return b""
    fmt = b"fmt " + struct.pack("<I", len(layout.fmt)) + layout.fmt + bytes(len(layout.fmt) % 2)
    size = _UNKNOWN if layout.size is None else layout.size
    whole = 4 + len(fmt) + 8 + size + size % 2
    if max(size, whole) >= _PLACEHOLDER:
        size = whole = _UNKNOWN
    return b"RIFF" + struct.pack("<I", whole) + b"WAVE" + fmt + b"data" + struct.pack("<I", size)


class Passage:
    """What runs through a pipe, from its first byte to its last; `labels` is a table to write, and a name in it."""

    def __init__(
        self,
        model: Network,
        layout: Layout,
        sink: BinaryIO,
        strength: float = 1.0,
        band: str = "full",
        labels: tuple[str, str] | None = None,
    ) -> None:
        self.layout, self._sink, self._left = layout, sink, b""
        self._stream = Stream(model, layout.rate, layout.channels, strength, band)
        self._labels = labels
        self._speech = StreamLabels(self._stream) if labels else None
        self.written = 0
        # goes out with the first samples: sox goes back to the start of what it read first, and only of that
        self._header = header(layout)

    def push(self, data: bytes) -> None:
        """Take bytes in and write what is ready at once."""
        data = self._left + data
        whole = len(data) - len(data) % self.layout.frame
        self._left = data[whole:]
        if whole:
            self._write(self._stream.push(decode(data[:whole], self.layout)))

    def finish(self) -> str | None:
        """Write what is still inside, and where speech was; say what was wrong with the end of the input, if so."""
        length = self._stream.position
        self._write(self._stream.flush())
        self._put(b"")
        trouble = self._end()
        if self._labels and self._speech:
            path, name = self._labels
            write_table(path, [(name, self._speech.stretches(length))])
        return trouble

    def _end(self) -> str | None:
        """Write what a wav file ends with; say what was wrong with the end of the input, if so."""
        size = self.layout.size
        if size is not None and self.written < size:
            return f"the header announces {size} bytes of samples, {self.written} came"
        if size is not None and size % 2:
            self._put(b"\0")
        if self._left:
            return f"the last {len(self._left)} bytes are no whole sample ({self.layout.frame} bytes) and were left out"
        return None

    def _write(self, samples: Samples) -> None:
        if samples.size:
            data = encode(samples, self.layout)
            self.written += len(data)
            self._put(data)

    def _put(self, data: bytes) -> None:
        self._sink.write(self._header + data)
        self._header = b""
        self._sink.flush()


def pass_through(
    model: Network,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    name: str = "standard input",
    form: str = "auto",
    rate: int | None = None,
    channels: int | None = None,
    strength: float = 1.0,
    band: str = "full",
    vad: str | None = None,
) -> str | None:
    """Enhance everything that comes; return what was wrong with the end of the input, None where nothing was.

    Interrupted or told to end while it waits for input, it writes what is still inside before it ends. `vad` names a
    table to write at the end that tells where speech is.
    """
    inlet = Inlet(source, name)
    layout = layout_of(inlet, form, rate, channels, model.sample_rate)
    passage = Passage(model, layout, sink, strength, band, (vad, name) if vad else None)
    pieces = inlet.pieces(layout.size)
    while piece := _next(pieces, passage):
        passage.push(piece)
    problem = passage.finish()
    inlet.skip(1 << 62)  # what follows the samples of a wav, so that who writes it is not cut off
    return problem


def _next(pieces: Iterator[bytes], passage: Passage) -> bytes:
    """Wait for input; interrupted or told to end while it waits, what is inside still goes out."""
    try:
        return next(pieces, b"")
    except (KeyboardInterrupt, SystemExit):
        passage.finish()
        raise
