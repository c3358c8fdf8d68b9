"""A network that runs from its program in C alone: no torch is loaded, and none need be installed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from frcrn.config import MOST_LEVEL, fits, is_name
from frcrn.export.native.stream import NativeStep, Past
from frcrn.texts import content_of, from_json, text_of

if TYPE_CHECKING:
    from frcrn.audio.arrays import Wave
    from frcrn.inference.streaming import Stream

ABOUT, PROGRAM = "program.json", "model.frcrn"
"""The names of a description and of a program in a folder that `frcrn export --format c` wrote."""

MOST_PROGRAM = 1 << 31
"""Bytes of a program; what is larger is none."""

ENDINGS = ".json", ".frcrn"
"""Of a bundled model's description and its program, beside its weights."""

Floats = NDArray[np.float32]


class NativeNetwork:
    """A network in C that runs hop by hop, which enhances and streams as any other; it cannot be trained or changed."""

    runtime = "native"
    optimized = True
    streams = True

    def __init__(self, content: bytes, about: dict[str, Any], precision: str = "fp32") -> None:
        self._steps = NativeStep(
            content, precision
        )  # which knows better than a description: C takes addresses, and trusts them
        self.sample_rate, self.hop = self._steps.sample_rate, self._steps.hop
        self.lookahead, self.lag = self._steps.lookahead, self._steps.delay
        self.window = self.hop + self.lag - self.lookahead
        self.level_dbfs: float | None = about["config"].get("level_dbfs")
        self.trained, self.config, self.about = bool(about["trained"]), about["config"], about
        self.fingerprint = str(about.get("fingerprint") or hashlib.sha256(content).hexdigest())
        self.precision = precision
        self.initial_state, self.step = self._steps.initial_state, self._steps.step

    @property
    def latency(self) -> int:
        """Samples between a sound going in and coming out of a stream."""
        return self.window + self.lookahead

    def optimize(self, precision: str = "fp32") -> NativeNetwork:
        """Return the same: there is nothing left to do."""
        if precision != self.precision:
            raise ValueError(
                f"precision {precision!r}: a program in C is opened in it, load(..., precision={precision!r})"
            )
        return self

    def enhance(
        self,
        wave: Wave,
        rate: int | None = None,
        *,
        strength: float = 1.0,
        max_attenuation_db: float | None = None,
        residual: bool = False,
        repair: bool = False,
        band: str = "full",
        passes: int | None = 1,
    ) -> Wave:
        """Return the clean form of a wave, as `Enhancer.enhance` does.

        Args:
            wave: [T], or [C, T] of several channels.
            rate: samples a second; None is the network's own rate.
            strength: how much of the noise is removed, 0 to 1.
            max_attenuation_db: attenuate by at most this many dB; None is unlimited.
            residual: return what was removed in place of what is left.
            repair: put zeros in place of NaN and Inf, which are an error otherwise.
            band: "full" keeps and cleans what lies above the network's band (8 kHz), "speech" leaves it out.
            passes: average over so many runs of the network, each with its frames elsewhere; None is what the model
                asks for, as for files (2 for the bundled ones). A stream gives what one pass gives.

        Example:
            >>> clean = frcrn.load(runtime="native").enhance(noisy, 16000)
        """
        from frcrn.inference.enhance import enhance

        return enhance(
            self,
            wave,
            rate,
            strength=strength,
            max_attenuation_db=max_attenuation_db,
            residual=residual,
            repair=repair,
            band=band,
            passes=passes,
        )

    def stream(self, rate: int | None = None, channels: int = 1, strength: float = 1.0, band: str = "full") -> Stream:
        """Open a stream, which takes sound in chunks of any size, as `Enhancer.stream` does.

        Args:
            rate: samples a second of what is pushed; None is the network's own rate.
            channels: 1 for chunks [T], more for chunks [C, T].
            strength: how much of the noise is removed, 0 to 1; can be changed while the stream runs.
            band: "full" keeps and cleans what lies above the network's band (8 kHz), "speech" leaves it out.

        Example:
            >>> stream = frcrn.load(runtime="native").stream(rate=48000)
        """
        from frcrn.inference.streaming import Stream

        return Stream(self, rate, channels, strength, band)

    def whole(self, waves: Floats) -> Floats:
        """[B, T] -> [B, T]."""
        late, length = self._steps.delay, waves.shape[1]
        padded = np.pad(waves, ((0, 0), (0, late + -(length + late) % self.hop)))
        return self.step(padded, self.initial_state(len(waves)))[0][:, late : late + length]

    def speech(self, state: Past) -> Floats | None:
        """Return how probable speech was in the last hop before a state, [B]; None where the network does not say."""
        return self._steps.speech_of(state) if self.about.get("speech") else None

    @staticmethod
    def joined(states: Sequence[Past]) -> Past:
        """Put the states of several batches into one batch."""
        return {name: np.concatenate([state[name] for state in states]) for name in states[0]}

    @staticmethod
    def apart(state: Past, sizes: Sequence[int]) -> list[Past]:
        """Take a batch apart into batches of these sizes."""
        ends = np.cumsum(sizes)[:-1]
        parts = {name: np.split(value, ends) for name, value in state.items()}
        return [{name: parts[name][number] for name in parts} for number in range(len(sizes))]


def find_program(source: str | os.PathLike[str]) -> tuple[bytes, dict[str, Any]] | None:
    """Return the program and description of a bundled model's name, or of a folder in C; None for anything else."""
    path = Path(source)
    if os.fspath(source) in names() and is_name(source):
        return _bundled(path.name)
    if os.fspath(source) and (path / PROGRAM).is_file() and (path / ABOUT).is_file():
        return content_of(path / PROGRAM, MOST_PROGRAM), read_about(path / ABOUT)
    return None


@cache
def _bundled(name: str) -> tuple[bytes, dict[str, Any]] | None:
    about, program = (resources.files("frcrn") / "weights" / f"{name}{ending}" for ending in ENDINGS)
    if not program.is_file():
        return None
    return program.read_bytes(), json.loads(about.read_text(encoding="utf-8"))


def read_about(path: Path) -> dict[str, Any]:
    """Return a description, or refuse what is none."""
    try:
        about: dict[str, Any] = from_json(text_of(path))
        values = about.get("config") if isinstance(about, dict) else None
        if not isinstance(values, dict) or "trained" not in about:
            raise ValueError("expected an object with trained and, under config, another object")
        level = values.get("level_dbfs")
        if level is not None and not (fits(level, float) and -MOST_LEVEL <= level <= MOST_LEVEL):
            raise ValueError(f"a level_dbfs of {level!r}")
    except ValueError as error:
        raise ValueError(f"{path}: not the description of a network in C; {error}") from error
    return about


def names() -> list[str]:
    """Return the names of the bundled models whose programs come along."""
    folder = resources.files("frcrn") / "weights"
    found = [item.name for item in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(ENDINGS[1]) for name in found if name.endswith(ENDINGS[1]))
