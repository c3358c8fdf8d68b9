"""Where speech is in a recording or a stream, by a network that says so: a table of its stretches."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import Samples, read
from frcrn.audio.resampling import mono
from frcrn.files import write_text
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


def probabilities(network: Network, wave: Samples) -> NDArray[np.float32]:
    """[T] -> how probable speech is in each hop, [N]."""
    at, hop, late = runner(inference_form(network)), network.hop, lateness(network)
    hops = -(-len(wave) // hop)
    padded = np.zeros((1, (hops + late) * hop), np.float32)
    padded[0, : len(wave)] = wave
    state, found = at.initial_state(1), []
    for start in range(0, padded.shape[1], hop):
        _, state = at.step(padded[:, start : start + hop], state)
        found.append(at.speech(state))
    return np.array(found, np.float32).reshape(-1)[late:]


def stretches(speech: NDArray[np.float32], seconds: float, length: float) -> list[Stretch]:
    """Probabilities [N] of hops of so many seconds -> the stretches of speech, none beyond the recording's length."""
    edges = np.flatnonzero(np.diff(np.pad((speech >= LEAST).astype(int), 1)))
    return [
        Stretch(start * seconds, min(end * seconds, length), float(speech[start:end].mean()))
        for start, end in edges.reshape(-1, 2).tolist()
    ]


def speech_in(network: Network, source: str | os.PathLike[str], *, repair: bool = False) -> list[Stretch]:
    """Return the stretches of speech in a file, all its channels mixed."""
    wave = mono(read(source, repair=repair), network.sample_rate)
    hop = network.hop / network.sample_rate
    return stretches(probabilities(network, wave), hop, len(wave) / network.sample_rate)


class StreamLabels:
    """Stretches of speech in a stream, where it is in any of the channels."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._found: list[float] = []

    def pieces(self, chunk: Samples) -> Iterator[Samples]:
        """[C, n] -> pieces of a hop at most, as a stream tells of its newest hop only; note what each tells."""
        model = self._stream.model
        size = max(1, self._stream.rate * model.hop // model.sample_rate)
        for start in range(0, chunk.shape[1], size):
            yield chunk[:, start : start + size]
            self.note()

    def note(self) -> None:
        """Keep what the newest hop tells; a resampler may let several hops go at once."""
        if (new := self._stream.hops - len(self._found)) and (speech := self._stream.speech) is not None:
            self._found += new * [float(speech.max())]

    def stretches(self) -> list[Stretch]:
        """Return what was found before the stream is flushed; the last hops, not complete yet, are as those before."""
        model, length = self._stream.model, self._stream.position / self._stream.rate
        hops = int(np.ceil(length * model.sample_rate / model.hop))
        found = np.array(self._found[lateness(model) :], np.float32)
        known = np.pad(found, (0, max(0, hops - len(found))), mode="edge") if len(found) else found
        return stretches(known, model.hop / model.sample_rate, length)


def write_labels(
    network: Network, sources: Iterable[Path], path: str | os.PathLike[str], *, repair: bool = False
) -> int:
    """Write a table with a row for each stretch of speech in some files; return how many there are."""
    return write_table(path, ((source, speech_in(network, source, repair=repair)) for source in sources))


def write_table(path: str | os.PathLike[str], found: Iterable[tuple[str | Path, list[Stretch]]]) -> int:
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
    write_text(Path(path), text.getvalue())
    return count
