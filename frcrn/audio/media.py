"""Recordings of phones, cameras and meetings: the sound in m4a, mp4, mov, mkv, webm, wma, amr, read with PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from frcrn.audio.formats import ACCEPTED, MEDIA_NAMES, AudioError, kind_of, needs_media
from frcrn.audio.integrity import changing

GAP = 0.1
"""Seconds that time stamps must leave out before silence fills them; less is rounding."""
LONGEST_GAPS = 2.5 * 3600
"""Seconds that time stamps can leave out in all; more is damage, such as stamps of MPEG, which end at 26 hours."""
_BLOCK = 1 << 16
_DEMUXERS = "mov matroska asf avi mpegts flv mpeg aac amr ac3 eac3 mp3 ogg flac wav w64 aiff caf au"
_ALONE = {"format_whitelist": ",".join(_DEMUXERS.split()), "protocol_whitelist": "none"}
"""No playlist, no list of files and no session: a file that somebody sent leads to no other."""


_turns: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""The locks of the files that are viewed, by the files' identity."""
_taking = Lock()


class ByteView(io.RawIOBase):
    """A file read from a place of its own, so that several can read the same one, also from several threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._at = stream, 0
        self.name = getattr(stream, "name", None)
        with _taking:
            self._turn = _turns.setdefault(id(stream), Lock())

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read from this view's place on."""
        with self._turn:
            self._stream.seek(self._at)
            data = self._stream.read(size)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from this view's place on, as far as there is anything."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move this view's place."""
        if whence == io.SEEK_END:
            with self._turn:
                self._stream.seek(0, io.SEEK_END)  # which not every object answers
                offset += self._stream.tell()
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        """Return this view's place."""
        return self._at


@contextmanager
def spoken_of(name: str, what: str = "damaged or truncated, or of no known format ({})") -> Iterator[None]:
    """Turn what PyAV raises into an error of `name`, with PyAV's own word in the braces."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise AudioError(f"{name}: {what.format(error.strerror)}") from error


def open_container(stream: BinaryIO, name: str) -> Any:
    """Open a file of whatever kind with PyAV."""
    try:
        import av
    except ImportError:
        stream.seek(0)
        raise AudioError(needs_media(name, kind_of(stream.read(512), damaged=False))) from None
    try:
        return av.open(ByteView(stream), metadata_errors="replace", container_options=_ALONE)
    except av.error.FFmpegError as error:
        stream.seek(0)
        found = f"{kind_of(stream.read(512), damaged=False)}, damaged or truncated ({error.strerror})"
        raise AudioError(f"{name}: found {found}; accepted are {ACCEPTED}, and {MEDIA_NAMES}") from error


def chosen(container: Any, name: str, track: int | None) -> Any:
    """Return the audio track of that number, counted from 1; the first where none is named."""
    tracks = container.streams.audio
    if not tracks:
        raise AudioError(f"{name}: has no sound; expected at least one audio track")
    number = 1 if track is None else track
    if not 1 <= number <= len(tracks):
        raise AudioError(f"{name}: track {track}: the file has {len(tracks)} audio tracks, counted from 1")
    found = tracks[number - 1]
    if found.codec_context is None:
        raise AudioError(f"{name}: its audio track is of a kind that nothing here decodes; it may be damaged")
    return found


class MediaSound:
    """The sound of a container, with the face of `soundfile.SoundFile`."""

    extra_info = ""
    frames = 2**62  # a container announces seconds, not samples

    def __init__(self, stream: BinaryIO, name: str, track: int | None = None) -> None:
        self.name = name
        self._container = open_container(stream, name)
        try:
            self._track = chosen(self._container, name, track)
            self.samplerate, self.channels = int(self._track.rate or 0), int(self._track.channels or 0)
            if not self.samplerate or not self.channels:
                raise AudioError(f"{name}: its audio track says neither rate nor channels; it may be damaged")
        except BaseException:
            self.close()
            raise
        self.format = self._container.format.name.partition(",")[0]
        self.subtype = self._track.codec_context.name
        self._blocks = self._decoded()
        self._held = np.zeros((0, self.channels), np.float32)

    @property
    def seconds(self) -> float | None:
        """The length that the container announces."""
        length = self._track.duration
        if length is not None:
            return float(length * self._track.time_base)
        return None if self._container.duration is None else self._container.duration / 1e6

    def read(self, frames: int, **unused: object) -> NDArray[np.float32]:
        """Read the next frames, fewer at the end: [up to frames, C]."""
        parts, found = [self._held], len(self._held)
        with spoken_of(self.name):
            while found < frames and (block := next(self._blocks, None)) is not None:
                parts.append(block)
                found += len(block)
        whole = np.concatenate(parts)
        self._held = whole[frames:]
        return whole[:frames]

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Yield [n, C]; what the time stamps leave out is silence, so that a picture stays in time."""
        import av

        plain = av.AudioResampler("fltp", self._track.layout, self.samplerate)
        expected: float | None = None
        missing = 0.0
        first: tuple[int, int] | None = None
        for frame in self._container.decode(self._track):
            layout = (frame.sample_rate, frame.layout.nb_channels)
            first = first or layout
            if layout != first:
                raise AudioError(changing(self.name, first, layout))
            time = frame.time
            if time is not None and expected is not None and time - expected > GAP:
                missing += time - expected
                if missing > LONGEST_GAPS:
                    raise AudioError(f"{self.name}: its time stamps leave out {missing:.0f} s; it may be damaged")
                yield from self._silence(round((time - expected) * self.samplerate))
                expected = time
            if expected is None:
                expected = time
            expected = None if expected is None else expected + frame.samples / frame.sample_rate
            frame.pts = None
            yield from (np.ascontiguousarray(part.to_ndarray().T) for part in plain.resample(frame))
        yield from (np.ascontiguousarray(part.to_ndarray().T) for part in plain.resample(None))

    def _silence(self, length: int) -> Iterator[NDArray[np.float32]]:
        """Yield zeros [n, C], a few at once."""
        for start in range(0, length, _BLOCK):
            yield np.zeros((min(_BLOCK, length - start), self.channels), np.float32)
