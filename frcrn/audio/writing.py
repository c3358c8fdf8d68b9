"""Write audio so that a file appears under its name only when all of it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from frcrn.audio import mpeg
from frcrn.audio.arrays import beyond, say_clipped
from frcrn.audio.formats import AudioError, AudioFormat, format_for, holding, installing
from frcrn.audio.reading import Reader, Samples, finite, media_installed
from frcrn.audio.remux import MediaEncoder, Origin, kept_tags
from frcrn.audio.tagging import put_tags
from frcrn.files import native, replacing

Append = Callable[[Samples], None]

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "ALAW": 16, "ULAW": 16}
_VORBIS_CHANNELS = 255  # libvorbis crashes on more
_VORBIS_RATE = 200_000  # libvorbis knows no higher ones, and what libsndfile then does is undefined
_COUNTED = ("WAV", "WAVEX", "AIFF")
"""Containers that count their bytes in 32 bits."""
_MOST_COUNTED = 2**32 - 2**26
_PIECE = 1 << 16  # libsndfile's Vorbis encoder overflows its stack on very long blocks


def write(path: str | os.PathLike[str], samples: Samples, rate: int, format: AudioFormat | None = None) -> None:
    """Write [T] or [C, T], clipped at full scale where the format is an integer one; the extension is the default."""
    wave = np.atleast_2d(samples)
    with writer(path, rate, len(wave), format, frames=wave.shape[1]) as append:
        append(wave)


@contextmanager
def writer(
    path: str | os.PathLike[str],
    rate: int,
    channels: int,
    format: AudioFormat | None = None,
    *,
    frames: int = 0,
    origin: Origin | None = None,
    keep: bool = False,
    new: bool = False,
) -> Iterator[Append]:
    """Give a function that appends blocks [C, n]; `frames` says how many are expected in all.

    What a recording holds besides its sound, its tags and a video's picture, is taken over from `origin`. With `keep`,
    for what cannot be made again, the file stays as far as it came, whatever ends it; with `new` it replaces no other.
    """
    form = holding(format or format_for(path), channels, frames)
    failure: BaseException | None = None
    try:
        with replacing(path, new=new) as beside:
            try:
                with _encoder(beside, path, rate, channels, form, origin, keep) as encoder:
                    counted = _Counted(encoder.append, whole=form.subtype in _BITS or form.container.islower())
                    yield counted
                encoder.confirm()
                say_clipped(str(path), counted.clipped)
            except BaseException as error:
                if not keep or not _holds_sound(beside):
                    raise
                failure = error
        if isinstance(failure, AudioError):
            raise AudioError(f"{failure}; what came before is kept") from failure
        if failure:
            raise failure
    except OSError as error:
        raise AudioError(f"{path}: cannot be written: {error.strerror or error}") from error


class _Counted:
    """Appends, and counts what a format that ends at full scale clips."""

    def __init__(self, append: Append, *, whole: bool) -> None:
        self._append, self._whole, self.clipped = append, whole, 0

    def __call__(self, samples: Samples) -> None:
        """Append [C, n]."""
        if self._whole:
            self.clipped += beyond(samples)
        self._append(samples)


def _holds_sound(path: Path) -> bool:
    try:
        with Reader(path, repair=True) as reader:
            return bool(reader.read(1).size)
    except AudioError:
        return False


def _encoder(
    beside: Path,
    path: str | os.PathLike[str],
    rate: int,
    channels: int,
    form: AudioFormat,
    origin: Origin | None,
    keep: bool,
) -> _Encoder | MediaEncoder:
    if form.container.islower():
        if not media_installed():
            raise AudioError(f"{path}: writing this needs PyAV: {installing('media')}")
        return MediaEncoder(beside, Path(path), rate, channels, form, origin, keep=keep)
    return _Encoder(beside, path, rate, channels, form, origin)


class _Encoder:
    """Encode blocks into the file `beside`, in whose messages `path` stands."""

    def __init__(
        self,
        beside: Path,
        path: str | os.PathLike[str],
        rate: int,
        channels: int,
        form: AudioFormat,
        origin: Origin | None = None,
    ) -> None:
        self.beside, self.path, self.rate, self.form, self.origin = beside, path, rate, form, origin
        self.written = 0
        self._file = open(beside, "w+b", buffering=0)  # noqa: SIM115
        try:
            self._sound = _open_encoder(self._file.fileno(), path, rate, channels, form, origin)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            self._sound.close()

    def append(self, samples: Samples) -> None:
        """Encode [C, n], piece by piece."""
        for start in range(0, samples.shape[1], _PIECE):
            block = finite(samples[:, start : start + _PIECE], str(self.path), self.rate, start=self.written)
            if self.form.container in _COUNTED and os.fstat(self._file.fileno()).st_size > _MOST_COUNTED:
                raise AudioError(f"{self.path}: a {self.form.container} file ends at 4 GB; write w64, caf or flac")
            try:
                self._sound.write(_stored(block, self.form.subtype))
            except (soundfile.LibsndfileError, AssertionError) as error:
                raise AudioError(f"{self.path}: cannot be written: {self._cause(error)}") from error
            self.written += block.shape[1]

    def confirm(self) -> None:
        """Open what was written once more: an encoder that fails while closing does not say so."""
        try:
            name = native(self.beside)
            found = soundfile.info(name).frames if self.written else 0
        except soundfile.LibsndfileError:
            found = 0
        if found < self.written:
            raise AudioError(
                f"{self.path}: cannot be written: of {self.written} samples {found} arrived; is the disk full?"
            )
        if self.origin is not None:
            put_tags(self.beside, kept_tags(self.origin))

    def _cause(self, error: Exception) -> str:
        """Ask the system why a write failed, by writing: libsndfile says only that one did."""
        try:
            for _ in range(2):
                os.write(self._file.fileno(), bytes(_PIECE))
        except OSError as refusal:
            return str(refusal.strerror)
        return str(getattr(error, "error_string", "the encoder took only part of it")).strip().rstrip(".")


def _open_encoder(
    descriptor: int,
    path: str | os.PathLike[str],
    rate: int,
    channels: int,
    form: AudioFormat,
    origin: Origin | None,
) -> soundfile.SoundFile:
    try:
        if form.subtype == "VORBIS" and channels > _VORBIS_CHANNELS:
            raise ValueError(f"at most {_VORBIS_CHANNELS} channels")
        if form.subtype == "VORBIS" and rate > _VORBIS_RATE:
            raise ValueError(f"at most {_VORBIS_RATE} Hz")
        how = _bitrate(rate, channels, origin) if form.subtype == "MPEG_LAYER_III" else {}
        kind = (form.subtype, None, form.container)
        return soundfile.SoundFile(descriptor, "w", rate, channels, *kind, closefd=False, **how)
    except (soundfile.LibsndfileError, ValueError, TypeError, OverflowError) as error:
        reason = error.error_string.removeprefix("Error : ") if hasattr(error, "error_string") else str(error)
        what = f"{form.container} with {form.subtype}, {channels} channels at {rate} Hz"
        raise AudioError(f"{path}: cannot be written as {what}: {reason.strip().rstrip('.')}") from error


def _bitrate(rate: int, channels: int, origin: Origin | None) -> dict[str, Any]:
    """Keep the bitrate of an mp3 source, its mean where it varies; others get what is hard to tell from them."""
    found = None if origin is None else mpeg.layout(origin.stream)
    usual = (96 if rate >= 32_000 else 48) * channels
    kbps = found.mean_kbps if found else usual
    steady = (not found or len(found.kbps) <= 2) and mpeg.announces(kbps, rate)
    mode = "CONSTANT" if steady else "AVERAGE"
    return {"compression_level": mpeg.compression(kbps, rate), "bitrate_mode": mode}


def _stored(samples: Samples, subtype: str) -> NDArray[Any]:
    """[C, n] -> [n, C] as the encoder takes it: integers rounded and clipped, floats as they are."""
    if subtype not in _BITS:
        return np.ascontiguousarray(samples.T, dtype=np.float32)
    bits = _BITS[subtype]
    full = 2.0 ** (bits - 1)
    whole = np.clip(np.rint(samples.T.astype(np.float64) * full), -full, full - 1)
    width = 16 if bits <= 16 else 32  # libsndfile takes narrow samples in the upper bits of a wider word
    return np.ascontiguousarray(whole * 2.0 ** (width - bits)).astype(np.int16 if width == 16 else np.int32)
