"""One file: what is to be done, with what, and what became of it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from frcrn.audio import AudioError, Reader, Source, format_for, name_of, open_source
from frcrn.audio.formats import CONTAINERS, MEDIA
from frcrn.config import FOR_RECORDINGS, checked_precision
from frcrn.inference import enhance
from frcrn.inference.choices import checked_mix, checked_passes
from frcrn.inference.enhance import Progress
from frcrn.inference.fullband import checked_band
from frcrn.inference.manifest import Record
from frcrn.inference.network import Network
from frcrn.inference.opening import checked_runtime, for_device, identify, open_network
from frcrn.inference.paths import Job
from frcrn.texts import digest

OPTIONS = ("strength", "max_attenuation_db", "residual", "mono", "repair", "band", "track", "normalise", "passes")
"""The settings that `enhance_file` takes by these names."""


@dataclass(frozen=True)
class Settings:
    """Which model, and how it is used; everything that the result depends on besides the file."""

    model: str = FOR_RECORDINGS
    strength: float = 1.0
    max_attenuation_db: float | None = None
    residual: bool = False
    mono: bool = False
    repair: bool = False
    band: str = "full"
    runtime: str = "auto"
    track: int | None = None
    device: str = "auto"
    normalise: float | None = None
    passes: int | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        checked_mix(self.strength, self.max_attenuation_db, self.residual)
        checked_band(self.band)
        checked_passes(self.passes)
        checked_precision(self.precision)
        for_device(checked_runtime(self.runtime), self.device)
        if self.normalise is not None and not -70 < self.normalise <= 0:
            raise ValueError(f"normalise {self.normalise}: accepted are loudnesses from -70 to 0 LUFS, such as -16")

    def open(self) -> Network:
        """Return the network in its inference form."""
        return open_network(self.model, self.runtime, device=self.device, precision=self.precision)

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on, as it is used: where the model lies is no part of it."""
        single = {"precision"} if self.precision == "fp32" else set()  # as it was before there was another one
        options = {key: value for key, value in dataclasses.asdict(self).items() if key not in {"device", *single}}
        used = identify(self.model, self.runtime, self.device, self.precision)
        passes = self.passes or used.passes
        return options | {"runtime": used.runtime, "model": used.model[:32], "passes": passes}


class Task(NamedTuple):
    """A job, the hash of the settings, and what is known of an earlier run; `record` asks for hashes.

    Where `foreign`, a file in the target's place is nobody's that may be replaced; where `kept`, neither is one that
    is not as the earlier run left it.
    """

    job: Job
    settings: str = ""
    known: Record | None = None
    record: bool = False
    foreign: bool = False
    kept: bool = False


class Outcome(NamedTuple):
    """What became of a job: an error, or a target that is there; no `seconds` of audio where it was there before."""

    job: Job
    error: Exception | None = None
    seconds: float | None = None
    record: Record | None = None

    @property
    def status(self) -> str:
        """Say it in a word."""
        if self.error is not None:
            return "failed"
        return "done before" if self.seconds is None else "enhanced"


def is_kept(task: Task) -> bool:
    """Say whether the target is as an earlier run left it."""
    known, target = task.known, task.job.target
    return known is not None and target.is_file() and known.target == digest(target)


def is_done(task: Task) -> bool:
    """Say whether an earlier run made the target from the same source with the same settings, and it is still so."""
    if task.known is None or task.known.settings != task.settings:
        return False
    return is_kept(task) and task.known.source == digest(task.job.source)


def refuse_foreign(task: Task) -> None:
    """Refuse to take the place of a file that no earlier run made of this recording, or that was changed since."""
    target = task.job.target
    if task.foreign and os.path.lexists(target):
        there = "is there already, and not from an earlier run on this recording; --force replaces it"
        raise AudioError(f"{target}: {there}")
    if task.kept and task.known and target.is_file() and not is_kept(task):
        raise AudioError(f"{target}: was changed since an earlier run made it; remove it, or --force replaces it")


def enhance_one(task: Task, settings: Settings, model: Callable[[], Network], progress: Progress | None) -> Outcome:
    """Enhance one file unless that is done; whatever goes wrong with it is its outcome."""
    job = task.job
    try:
        if job.problem:
            raise AudioError(job.problem)
        if is_done(task):
            return Outcome(job)
        refuse_foreign(task)
        return _enhanced(task, settings, model(), progress)
    except Exception as error:  # noqa: BLE001 - the other files go on
        return Outcome(job, _portable(error))


def _enhanced(task: Task, settings: Settings, model: Network, progress: Progress | None) -> Outcome:
    job = task.job
    source = digest(job.source) if task.record and job.source.is_file() else ""
    job.target.parent.mkdir(parents=True, exist_ok=True)
    options = {name: getattr(settings, name) for name in OPTIONS}
    enhance.enhance_file(job.source, job.target, model=model, progress=progress, **options)
    origin = os.path.realpath(job.source)
    record = Record(source, task.settings, digest(job.target), origin) if source else None
    return Outcome(job, None, _seconds(job.target), record)


def _seconds(path: Path) -> float:
    """Return the duration of a file; a device or a pipe has none."""
    if not path.is_file():
        return 0.0
    with Reader(path, repair=True) as reader:
        return reader.seconds or 0.0


def _portable(error: Exception) -> Exception:
    """Leave foreseen errors as they are; what else there is becomes a message that every process can read."""
    if type(error) in (AudioError, ValueError, ImportError) or isinstance(error, OSError):
        return error
    foreseen = isinstance(error, (ValueError, OSError, ImportError))
    return ValueError(str(error)) if foreseen else RuntimeError(f"{type(error).__name__}: {error}")


def through(source: Source, target: BinaryIO | str, settings: Settings) -> None:
    """Enhance one recording into a file, or into an open one in the source's format (wav, where that cannot be)."""
    from frcrn.inference.enhance import enhance_file

    options = {name: getattr(settings, name) for name in OPTIONS}
    with tempfile.TemporaryDirectory(prefix="frcrn-") as folder, opened(source) as stream:
        if isinstance(target, str):
            enhance_file(stream, target, model=settings.open(), **options)
            return
        clean = Path(folder, f"clean{extension_of(stream)}")
        enhance_file(stream, clean, model=settings.open(), **options)
        with clean.open("rb") as sound:
            shutil.copyfileobj(sound, target)
        target.flush()


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Give a source as something that can be read more than once."""
    stream, ours = open_source(source, name_of(source))
    try:
        yield stream
    finally:
        if ours:
            stream.close()


def extension_of(stream: BinaryIO) -> str:
    """Return the extension for what a stream holds; .wav where that cannot be written."""
    with Reader(stream, repair=True) as reader:
        form = reader.format
    found = (suffix for suffix in (*CONTAINERS, *MEDIA) if format_for(f"x{suffix}", form) == form)
    return next(found, ".wav")
