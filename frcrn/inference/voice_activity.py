"""Where speech is in a recording, by a network that says so: a table of its stretches."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from frcrn.audio import Samples, read
from frcrn.audio.resampling import mono
from frcrn.files import write_text
from frcrn.models.base import Enhancer
from frcrn.models.frames import FrameEnhancer

HEADER = ("file", "start", "end", "speech")
LEAST = 0.5
"""The probability from which a frame is speech."""
PIECE = 200
"""Frames that go through the network at once."""


class Stretch(NamedTuple):
    """Speech from one moment to another, in seconds, and its mean probability."""

    start: float
    end: float
    speech: float


def require_speech(model: Enhancer, name: str) -> FrameEnhancer:
    """Return a network that says where speech is, or refuse it."""
    if isinstance(model, FrameEnhancer) and model.says_speech:
        return model
    raise ValueError(f"--vad: {name} does not say where speech is; a network of the kind rnnoise does")


def probabilities(model: FrameEnhancer, wave: Samples) -> NDArray[np.float32]:
    """[T] -> how probable speech is in each hop, [N]."""
    # a frame stands for the hop in its middle
    late = (model.window // 2 + model.hop - 1) // model.hop - 1
    hops = -(-len(wave) // model.hop)
    padded = np.zeros((hops + late) * model.hop, np.float32)
    padded[: len(wave)] = wave
    state, found = model.initial_state(1), []
    with torch.inference_mode():
        for start in range(0, len(padded), PIECE * model.hop):
            piece = torch.from_numpy(padded[None, start : start + PIECE * model.hop])
            _, state, speech = model.step_with_speech(piece, state)
            assert speech is not None
            found.append(speech[0].numpy())
    return np.concatenate(found)[late : late + hops] if found else np.zeros(0, np.float32)


def stretches(speech: NDArray[np.float32], seconds: float, length: float) -> list[Stretch]:
    """Probabilities [N] of hops of so many seconds -> the stretches of speech, none beyond the recording's length."""
    edges = np.flatnonzero(np.diff(np.pad((speech >= LEAST).astype(int), 1)))
    return [
        Stretch(start * seconds, min(end * seconds, length), float(speech[start:end].mean()))
        for start, end in edges.reshape(-1, 2).tolist()
    ]


def speech_in(model: FrameEnhancer, source: str | os.PathLike[str], *, repair: bool = False) -> list[Stretch]:
    """Return the stretches of speech in a file, all its channels mixed."""
    audio = read(source, repair=repair)
    wave = mono(audio, model.sample_rate)
    hop = model.hop / model.sample_rate
    return stretches(probabilities(model, wave), hop, len(wave) / model.sample_rate)


def write_labels(
    model: FrameEnhancer, sources: Iterable[Path], path: str | os.PathLike[str], *, repair: bool = False
) -> int:
    """Write a table with a row for each stretch of speech in some files; return how many there are."""
    text = io.StringIO()
    table, count = csv.writer(text, lineterminator="\n"), 0
    table.writerow(HEADER)
    for source in sources:
        for stretch in speech_in(model, source, repair=repair):
            table.writerow([source, f"{stretch.start:.3f}", f"{stretch.end:.3f}", f"{stretch.speech:.3f}"])
            count += 1
    write_text(Path(path), text.getvalue())
    return count
