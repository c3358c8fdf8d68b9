"""Enhance one upload: blocks out as they are made, and the levels of what went in, came out and was removed."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frcrn.audio import AudioFormat, Origin, Samples, is_audio_name, is_media_name
from frcrn.audio.fifo import Queue
from frcrn.audio.normalising import normalised
from frcrn.inference.choices import checked_mix, passes_of
from frcrn.inference.enhance import Recording, enhanced, form_for, measured, recording_of
from frcrn.inference.network import Network
from frcrn.inference.one_file import extension_of
from frcrn.inference.pipes import Layout, header
from frcrn.serve.limits import Limits, Refusal
from frcrn.serve.options import Options

SILENCE = -200.0
"""What stands for the level of silence, in dBFS."""

Check = Callable[[], None]


class Upload(NamedTuple):
    """A file that was sent: where it lies, what its sender calls it, and what is asked for."""

    path: Path
    name: str
    options: Options


class Opened(NamedTuple):
    """An upload that can be read again and again, how its samples are stored, and what else it holds."""

    recording: Recording
    form: AudioFormat
    origin: Origin


class Energy:
    """The mean power of blocks [C, n], all channels together."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, samples: Samples) -> None:
        """[C, n]."""
        self._sum += float(np.square(samples, dtype=np.float64).sum())
        self._count += samples.size

    @property
    def dbfs(self) -> float:
        """In dB, where a constant of 1 has 0."""
        mean = self._sum / max(1, self._count)
        return round(10 * math.log10(mean), 2) if mean > 1e-20 else SILENCE


@contextmanager
def opened(upload: Upload, limits: Limits, check: Check) -> Iterator[Opened]:
    """Open an upload under its sender's name; whoever reads it stops where `check` raises or it is too long."""
    settings = upload.options.settings
    with named(upload) as stream:
        options = {"mono": settings.mono, "repair": settings.repair, "track": settings.track}

        def apart() -> Iterator[Samples]:
            # two readings that go on at once would move each other's place in one file
            with named(upload) as own, recording_of(own, **options) as (again, *_):  # type: ignore[arg-type]
                yield from again.blocks()

        with recording_of(stream, **options) as (recording, form, origin):  # type: ignore[arg-type]
            yield Opened(watched(recording._replace(blocks=apart), limits, check), form, origin)


@contextmanager
def named(upload: Upload) -> Iterator[io.FileIO]:
    """Open the file of an upload so that messages call it by its sender's name."""
    with open(upload.path, "rb", buffering=0) as stream:
        stream.name = upload.name
        yield stream


def watched(recording: Recording, limits: Limits, check: Check) -> Recording:
    """Return a recording that stops to be read where it is too long, or nobody wants it."""
    most = limits.frames(recording.rate, recording.channels)

    def blocks() -> Iterator[Samples]:
        length = 0
        for block in recording.blocks():
            check()
            length += block.shape[1]
            if length > most:
                raise limits.too_long()
            yield block

    return recording._replace(blocks=blocks)


class Enhancement:
    """A recording on its way through a network; `blocks` can be taken once, the levels afterwards."""

    def __init__(self, network: Network, recording: Recording, options: Options) -> None:
        self._network, self._recording, self._settings = network, recording, options.settings
        self.measure = measured(network, recording)
        self._passes = passes_of(network, options.settings.passes)
        self.done = 0
        self._before, self._after, self._removed = Energy(), Energy(), Energy()

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        return self.done / self.measure.length

    def blocks(self) -> Iterator[Samples]:
        """Yield the clean form [C, n], as `enhance_file` writes it."""
        clean, target = self._compared(), self._settings.normalise
        if target is not None:
            clean = normalised(clean, target, self._recording.rate, self._recording.channels)
        for block in clean:
            self._after.add(block)
            self.done += block.shape[1]
            yield block

    def _compared(self) -> Iterator[Samples]:
        settings, recording = self._settings, self._recording
        mix = checked_mix(settings.strength, settings.max_attenuation_db, settings.residual)
        before = Queue(recording.blocks(), recording.channels)
        for block in enhanced(self._network, recording, self.measure, mix, settings.band, self._passes):
            noisy = before.take(block.shape[1])
            self._before.add(noisy)
            self._removed.add(noisy - block)
            yield block

    def levels(self) -> dict[str, float | int]:
        """Return what is known at the end; the levels are means over all channels."""
        before, after = self._before.dbfs, self._after.dbfs
        return self.facts() | {
            "in_dbfs": before,
            "out_dbfs": after,
            "removed_dbfs": self._removed.dbfs,
            "removed_db": round(before - after, 2),
        }

    def facts(self) -> dict[str, float | int]:
        """Return what is known at the beginning."""
        recording = self._recording
        seconds = round(self.measure.length / recording.rate, 6)
        return {"seconds": seconds, "rate": recording.rate, "channels": recording.channels}


def suffix_for(upload: Upload, asked: str = "") -> str:
    """Return the extension of the answer: the asked one, that of the upload's name, or one for what it holds."""
    if chosen := asked or upload.options.suffix:
        return chosen
    if is_audio_name(upload.name) or is_media_name(upload.name):
        return Path(upload.name).suffix.lower()
    with named(upload) as stream:
        return extension_of(stream)


def stored_as(source: Opened, name: str, suffix: str) -> AudioFormat:
    """Return how samples are stored under an extension, as the command line would choose."""
    try:
        return form_for(source.form, name, Path(f"x{suffix}"))
    except ValueError as error:
        raise Refusal(415, str(error)) from error


def raw_header(raw: tuple[str, int, int], size: int) -> bytes:
    """Return the wav header that makes a file of samples without one."""
    encoding, rate, channels = raw
    layout = Layout(encoding, rate, channels, size=size)
    return header(layout._replace(fmt=described(layout)))


def described(layout: Layout) -> bytes:
    """Return the part of a wav header that says how samples lie."""
    bits = 8 * layout.frame // layout.channels
    kind = 3 if layout.encoding.startswith("f") else 1
    fields = ((kind, 2), (layout.channels, 2), (layout.rate, 4), (layout.rate * layout.frame, 4), (layout.frame, 2))
    return b"".join(value.to_bytes(size, "little") for value, size in (*fields, (bits, 2)))
