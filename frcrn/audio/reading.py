"""Read audio from paths, bytes and file objects, whole or block by block; whatever is wrong is one `AudioError`."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Hashable, Iterable, Iterator
from importlib import util
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from weakref import WeakSet

import numpy as np
import soundfile
from numpy.typing import NDArray

from frcrn.audio import mpeg, ogg
from frcrn.audio.chain import Chain
from frcrn.audio.formats import (
    ACCEPTED,
    AudioError,
    AudioFormat,
    is_audio_name,
    is_media,
    is_media_name,
    kind_of,
    needs_media,
)
from frcrn.audio.integrity import changing, cut_short, dump_cut_short, log_of_missing
from frcrn.audio.media import ByteView, MediaSound
from frcrn.audio.nameless import nameless, put

Samples = NDArray[np.float32]
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

BLOCK = 1 << 16
SALVAGE = 4096  # frames read at once under repair, so that little is lost where the damage begins
_SAYS_NOTHING = ("Format not recognised", "File does not exist")
PACKED = 1024  # samples in a byte of a file, of all channels: silence in FLAC has 1000
MOST_PACKED = 1 << 26  # samples that a file may hold however small it is
MP3_SLACK = 1152  # a frame: encoders and taggers disagree by as much about what an mp3 file holds


_opened: WeakSet[Any] = WeakSet()
"""What `open_source` returned as ours, which nobody else reads."""


class Audio(NamedTuple):
    """Samples float32 [C, T], their rate, and how they were stored."""

    samples: Samples
    rate: int
    format: AudioFormat


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A decoder that only goes on: soundfile seeks after each block, which in mp3 tears the sound at every seam."""

    def seekable(self) -> bool:
        """Say no, so that nobody seeks."""
        return False


class Reader:
    """An open audio file, read in blocks; with `repair`, NaN and Inf become zeros and a truncated file just ends."""

    def __init__(
        self, source: Source, *, repair: bool = False, name: str | None = None, track: int | None = None
    ) -> None:
        self.name = name or name_of(source)
        self.repair = repair
        self.position = 0
        self._stream, self._ours = open_source(source, self.name)
        try:
            if not repair:
                frames = mpeg.layout(self._stream)
                self._refuse(cut_short(self._stream, frames))
                if frames and frames.other:
                    raise AudioError(changing(self.name, frames.kind, frames.other))
            self.bytes = self._stream.seek(0, io.SEEK_END)
            self._sound = _decode(self._stream, self.name, track=track, repair=repair)
            self._announced = self._sound.frames if self._sound.frames < 2**48 else None
            if not repair:
                self._refuse(log_of_missing(self._sound.extra_info))
                self._refuse(dump_cut_short(self._sound.format, self._sound.frames, self.bytes))
        except BaseException:
            self._close_stream()
            raise
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self.format = AudioFormat(self._sound.format, self._sound.subtype)

    @property
    def seconds(self) -> float | None:
        """The length that the file announces; None where it announces none."""
        announced: float | None = getattr(self._sound, "seconds", None)
        return announced if self._announced is None else self._announced / self.rate

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._sound.close()
        self._close_stream()

    def read(self, frames: int) -> Samples:
        """Read the next frames, fewer at the end: [C, up to frames]."""
        block = self._salvage(frames) if self.repair else self._next(frames)
        if len(block) < frames and not self.repair:
            self._refuse_short(self.position + len(block))
        samples = finite(np.ascontiguousarray(block.T), self.name, self.rate, start=self.position, repair=self.repair)
        self.position += samples.shape[1]
        return samples

    def blocks(self, size: int = BLOCK) -> Iterator[Samples]:
        """Yield the rest in blocks [C, size], the last one shorter."""
        while True:
            block = self.read(size)
            if block.shape[1]:
                yield block
            if block.shape[1] < size:
                return

    def _next(self, frames: int) -> Samples:
        """[up to frames, C], as the decoder gives them."""
        try:
            block: Samples = self._sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            where = f"somewhere after sample {self.position}"
            raise AudioError(f"{self.name}: damaged or truncated {where} ({_reason(error)})") from error
        return block

    def _salvage(self, frames: int) -> Samples:
        """[up to frames, C], as many as there are before the damage."""
        blocks = [np.zeros((0, self.channels), np.float32)]
        try:
            for start in range(0, frames, SALVAGE):
                blocks.append(self._next(min(SALVAGE, frames - start)))
                if len(blocks[-1]) < min(SALVAGE, frames - start):
                    break
        except AudioError:
            pass  # what follows the damage is given up: that is what repair asks for
        return np.concatenate(blocks)

    def _refuse(self, missing: str | None) -> None:
        if missing:
            raise AudioError(f"{self.name}: truncated: {missing}")

    def _refuse_short(self, found: int) -> None:
        """Raise where the samples end before the announced length."""
        slack = MP3_SLACK if self.format.container == "MP3" else 0
        if self._announced is not None and found + slack < self._announced:
            self._refuse(f"its header announces {self._announced} samples, {found} are there")

    def _close_stream(self) -> None:
        if self._ours:
            self._stream.close()


def read(source: Source, *, repair: bool = False) -> Audio:
    """Read a whole file, container bytes or file object: samples float32 [C, T]."""
    with Reader(source, repair=repair) as reader:
        most, found = max(MOST_PACKED, reader.bytes * PACKED), 0
        blocks: list[Samples] = []
        for block in reader.blocks():
            if (found := found + block.size) > most:
                raise AudioError(
                    f"{reader.name}: more than {most} samples in {reader.bytes} bytes; no recording is so small"
                )
            blocks.append(block)
        if not blocks:
            raise AudioError(f"{reader.name}: it holds no samples; at least one is needed")
        return Audio(np.concatenate(blocks, axis=1), reader.rate, reader.format)


def blocks(source: Source, size: int = BLOCK, *, repair: bool = False) -> Iterator[Samples]:
    """Yield a file in blocks [C, size], the last one shorter, in bounded memory."""
    with Reader(source, repair=repair) as reader:
        yield from reader.blocks(size)


def find(paths: Iterable[str | os.PathLike[str]], *, media: bool = False) -> list[Path]:
    """List the audio files: each path that is a file as it is, each folder's by extension, at any depth, sorted.

    With `media`, what PyAV reads is listed too.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        found.extend(_inside(path, media=media) if path.is_dir() else [path])
    return found


def media_installed() -> bool:
    """Tell whether PyAV, the extra `media`, is there."""
    try:
        return util.find_spec("av") is not None
    except ValueError:  # taken out of the loaded modules
        return False


def _inside(folder: Path, *, media: bool) -> list[Path]:
    """The visible audio files below a folder; names that begin with a dot are not ours to touch.

    Pipes and devices are left out, which would be waited for; links that lead nowhere stay, so that somebody says so.
    """
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        wanted = (name for name in names if is_audio_name(name) or (media and is_media_name(name)))
        found.extend(Path(root, name) for name in wanted if not name.startswith("."))
    return sorted(path for path in found if path.is_file() or not path.exists())


def finite(samples: Samples, name: str, rate: int, *, start: int = 0, repair: bool = False) -> Samples:
    """[C, T] -> [C, T]: refuse NaN and Inf by position, or with `repair` put zeros there."""
    good = np.isfinite(samples)
    if good.all():
        return samples
    if repair:
        return np.where(good, samples, np.float32(0))
    where = int(np.argmin(good.all(axis=0)))
    channel = int(np.argmin(good[:, where]))
    raise AudioError(
        f"{name}: sample {start + where} ({(start + where) / rate:.3f} s) of channel {channel} is "
        f"{samples[channel, where]}; accepted are finite samples (enhancing with repair puts zeros there)"
    )


def name_of(source: Any) -> str:
    """What messages call a source: its path, a file object's name, or what it is."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "audio bytes"


def open_source(source: Any, name: str) -> tuple[BinaryIO, bool]:
    """Open what can be rewound and so read again, its headers put right, and say whether it is ours to close."""
    try:
        stream, ours = _open(source, name)
        better = ogg.steadied(stream) or mpeg.counted(stream)
    except OSError as error:
        raise AudioError(f"{name}: cannot be read: {error.strerror or error}") from error
    if better is not None:
        if ours:
            stream.close()
        stream, ours = better, True
    if ours:
        _opened.add(stream)
    return stream, ours


def _open(source: Any, name: str) -> tuple[BinaryIO, bool]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(bytes(source)), True
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source), True
    if not hasattr(source, "read"):
        raise AudioError(f"expected a path, bytes or a binary file object, found {type(source).__name__}")
    if isinstance(source, io.TextIOBase):
        raise AudioError(f"{name}: the file object is opened as text; open it with mode 'rb'")
    rewinds = getattr(source, "seekable", lambda: False)()
    if isinstance(source, Hashable) and source in _opened:
        return cast(BinaryIO, source), False
    # seen from a place of our own, as whoever else reads the object moves its own one
    return (cast(BinaryIO, ByteView(source)) if rewinds else _spool(source)), True


def _open_path(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        found = os.stat(path)
    except ValueError as error:  # a name with a null in it
        raise AudioError(f"{path!r}: cannot be read: {error}") from error
    if stat.S_ISDIR(found.st_mode):
        raise AudioError(f"{path}: is a directory; expected an audio file")
    stream = open(path, "rb", buffering=0)  # noqa: SIM115
    return stream if stream.seekable() else _spool(stream)


def _spool(stream: Any) -> BinaryIO:
    """Copy what cannot be rewound (a pipe) to a file that has no name."""
    copy = nameless()
    while piece := stream.read(BLOCK):
        if isinstance(piece, str):
            raise AudioError("the file object gives text; expected bytes of an audio file")
        put(copy, piece)
    return copy


def _decode(stream: BinaryIO, name: str, *, track: int | None, repair: bool) -> Any:
    """Open the decoder, our own files by descriptor: by name, libsndfile guesses formats from extensions."""
    stream.seek(0)
    head = stream.read(4096)
    stream.seek(0)
    if not head:
        raise AudioError(f"{name}: is empty; expected an audio file")
    if track is not None or (is_media(head) and media_installed()):
        return MediaSound(stream, name, track)
    if len(spans := ogg.spans(stream)) > 1:
        return Chain(stream, name, spans, lambda part: Reader(part, repair=repair, name=name))
    stream.seek(0)
    try:
        sound = _Forward(stream.fileno() if isinstance(stream, io.FileIO) else stream, closefd=False)
        if sound.format == "SD2":  # described by another file, one that happens to lie in the working folder
            sound.close()
            raise TypeError("SD2")
        return sound
    except (soundfile.LibsndfileError, TypeError) as error:
        if is_media(head):
            raise AudioError(needs_media(name, kind_of(head))) from error
        if media_installed() and kind_of(head).startswith("a damaged or truncated ogg"):
            return MediaSound(stream, name)
        reason = _reason(error) if isinstance(error, soundfile.LibsndfileError) else ""
        found = f"{kind_of(head)} ({reason})" if reason and not reason.startswith(_SAYS_NOTHING) else kind_of(head)
        raise AudioError(f"{name}: found {found}; accepted are {ACCEPTED}") from error


def _reason(error: soundfile.LibsndfileError) -> str:
    """libsndfile's own words, without what frames them."""
    return str(error.error_string).strip().rstrip(".").removeprefix("Error : ")
