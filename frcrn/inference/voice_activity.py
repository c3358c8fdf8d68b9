"""Where speech is in a recording or a stream, by a network that says so: a table of its stretches."""

from __future__ import annotations

import csv
import errno
import io
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import AudioError, Samples, exactly, resampled, resampled_length
from frcrn.audio.fifo import Queue
from frcrn.files import refuse_links, refuse_no_folder, refuse_written_over, refuse_written_twice, write_text
from frcrn.inference.enhance import recording_of
from frcrn.inference.network import Network, inference_form, runner
from frcrn.inference.streaming import Stream
from frcrn.texts import cell

HEADER = ("file", "start", "end", "speech")
LEAST = 0.5
"""The probability from which a frame is speech."""


class Stretch(NamedTuple):
    """Speech from one moment to another, in seconds, and its mean probability."""

    start: float
    end: float
    speech: float


def require_speech(network: Network, name: str) -> Network:
    """Return a network that says where speech is, or refuse it."""
    if network.lookahead == 0:
        at = runner(network)
        if at.speech(at.initial_state(1)) is not None:
            return network
    raise ValueError(f"--vad: {name} does not say where speech is; a network of the kind rnnoise does")


def lateness(network: Network) -> int:
    """Return by how many hops a probability trails: a frame stands for the hop in its middle."""
    return (network.window // 2 + network.hop - 1) // network.hop - 1


def probabilities(network: Network, blocks: Iterable[Samples]) -> NDArray[np.float32]:
    """Blocks [1, n] at the network's rate -> how probable speech is in each hop, [N]."""
    at, hop, late = runner(inference_form(network)), network.hop, lateness(network)

    def frames() -> Iterator[Samples]:
        queue = Queue(blocks, 1)
        while (frame := queue.take(hop)).size:
            yield exactly(frame, hop)
        yield from [np.zeros((1, hop), np.float32)] * late

    state, found = at.initial_state(1), array("f")
    for frame in frames():
        _, state = at.step(frame, state)
        if (speech := at.speech(state)) is not None:
            found.append(float(speech[0]))
    return np.array(found, np.float32)[late:]


def stretches(speech: NDArray[np.float32], seconds: float, length: float) -> list[Stretch]:
    """Probabilities [N] of hops of so many seconds -> the stretches of speech, none beyond the recording's length."""
    edges = np.flatnonzero(np.diff(np.pad((speech >= LEAST).astype(int), 1)))
    return [
        Stretch(start * seconds, min(end * seconds, length), float(speech[start:end].mean()))
        for start, end in edges.reshape(-1, 2).tolist()
    ]


def speech_in(
    network: Network, source: str | os.PathLike[str], *, repair: bool = False, track: int | None = None
) -> list[Stretch]:
    """Return the stretches of speech in a file, all its channels mixed."""
    rate, length = network.sample_rate, 0

    def counted(blocks: Iterator[Samples]) -> Iterator[Samples]:
        nonlocal length
        for block in blocks:
            length += block.shape[1]
            yield block

    with recording_of(source, mono=True, repair=repair, track=track) as (recording, _, _):
        found = probabilities(network, counted(resampled(recording.blocks(), recording.rate, rate, channels=1)))
    if not length:
        raise AudioError(f"{recording.name}: it holds no samples; at least one is needed")
    return stretches(found, network.hop / rate, length / rate)


class RecordingLabels:
    """Stretches of speech in the recordings of a run, found one after the other and written together."""

    def __init__(self, network: Network, *, repair: bool = False, track: int | None = None) -> None:
        self._network, self._repair, self._track = network, repair, track
        self._found: dict[str, list[Stretch]] = {}

    def add(self, source: Path) -> None:
        """Find where speech is in a recording, once for all its names."""
        if (key := os.path.realpath(source)) not in self._found:
            self._found[key] = speech_in(self._network, source, repair=self._repair, track=self._track)

    def write(self, path: str | os.PathLike[str], sources: Iterable[Path], *, force: bool = False) -> int | None:
        """Write a table of those that were added, in this order, once each; return how many stretches it has.

        Where none was added there is no table.
        """
        names: dict[str, Path] = {}
        for source in sources:
            names.setdefault(os.path.realpath(source), source)
        rows = [(name, self._found[key]) for key, name in names.items() if key in self._found]
        return write_table(path, rows, force=force) if rows else None


class StreamLabels:
    """Stretches of speech in a stream, where it is in any of the channels."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._found = stream, array("f")
        stream.on_hop = self._note

    def _note(self) -> None:
        if (speech := self._stream.speech) is not None:
            self._found.append(float(speech.max()))

    def stretches(self, length: int) -> list[Stretch]:
        """Return what was found in so many samples, once the stream is flushed."""
        model, rate = self._stream.model, self._stream.rate
        hops = -(-resampled_length(length, rate, model.sample_rate) // model.hop)
        found = np.array(self._found, np.float32)[lateness(model) :][:hops]
        return stretches(found, model.hop / model.sample_rate, length / rate)


def refuse_taken(
    path: str, inputs: Iterable[Any], outputs: Iterable[Any], model: str, *, force: bool | None = None
) -> None:
    """Refuse a place for a table where something else is, or is to be; `force` replaces what no table of ours is.

    Where it is None, there is no such option to speak of.
    """
    name, place = f"--vad {path}", Path(path)
    refuse_written_over(place, inputs, name)
    refuse_links(place)
    refuse_written_twice(place, outputs, name)
    folder = next(parent for parent in place.absolute().parents if parent.exists())
    refuse_no_folder(folder)
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
    if not place.exists():
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "Permission denied", path)
    elif not _is_table(place):
        if Path(os.path.realpath(place)).is_relative_to(os.path.realpath(model)):
            raise ValueError(f"{name}: is a file of the model, which is never written over; choose another file")
        if not force:
            hint = "" if force is None else ", or --force replaces it"
            raise ValueError(f"{name}: is there already, and no table of speech; choose another file{hint}")


def _is_table(path: Path) -> bool:
    """Say whether a file begins as the tables do that are written here."""
    begin = ",".join(HEADER).encode() + b"\n"
    with path.open("rb") as file:
        return file.read(len(begin)) == begin


def write_table(
    path: str | os.PathLike[str], found: Iterable[tuple[str | Path, list[Stretch]]], *, force: bool = False
) -> int:
    """Write names and their stretches; return how many stretches there are."""
    text = io.StringIO()
    table, count = csv.writer(text, lineterminator="\n"), 0
    table.writerow(HEADER)
    for name, parts in found:
        for stretch in parts:
            table.writerow(
                [cell(os.fspath(name)), f"{stretch.start:.3f}", f"{stretch.end:.3f}", f"{stretch.speech:.3f}"]
            )
            count += 1
    refuse_links(place := Path(path))
    if place.exists() and not force and not _is_table(place):
        raise ValueError(f"{path}: came while the sound was read, and is no table of speech; choose another file")
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text(place, text.getvalue())
    return count
