"""How far a graph's output is from the network's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from frcrn.audio import Samples, resample
from frcrn.audio.sample import sample
from frcrn.export.onnx.network import AUDIO, ENHANCED
from frcrn.export.onnx.sessions import Array, Session
from frcrn.models import Enhancer

SECONDS = 10.0
TOLERANCE = 1e-4

Shapes = Mapping[str, tuple[int, ...]]
Values = dict[str, Array]


def speech(rate: int, seconds: float = SECONDS) -> Samples:
    """Return noisy speech [T]: the bundled sample, again and again."""
    found = sample("noisy")
    return np.resize(resample(found.samples[:1], found.rate, rate)[0], int(seconds * rate))


def expected(model: Enhancer, wave: Samples, *, levelled: bool) -> Samples:
    """[T] -> [T], what torch makes of it, at the loudness that the network wants where `levelled`."""
    if levelled and model.level_dbfs is not None:
        clean: Samples = model.enhance(wave, model.sample_rate)
        return clean
    with torch.inference_mode():
        return np.asarray(model(torch.from_numpy(wave)[None]).wave[0].cpu().numpy())


def streamed(session: Session, states: Shapes, wave: Samples, window: int, hop: int) -> Samples:
    """[T] -> [T] through the graph of one hop, its delay taken out."""
    late, length = window - hop, len(wave)
    padded = np.pad(wave, (0, late + -(length + late) % hop))
    clean = np.concatenate([results[ENHANCED][0] for _, results in hops(session, states, padded, hop)])
    return clean[late : late + length]


def hops(session: Session, states: Shapes, wave: Samples, hop: int) -> Iterator[tuple[Values, Values]]:
    """Step through whole hops [n hop]; yield what went into the graph and what came out, for each."""
    past = {f"state.{name}": np.zeros(shape, np.float32) for name, shape in states.items()}
    for frame in wave.reshape(-1, 1, hop):
        feed = {AUDIO: frame, **past}
        results = session.run(feed)
        past = {name: results[f"{name}.next"] for name in past}
        yield feed, results


def checked(name: str, got: Samples, wanted: Samples) -> dict[str, Any]:
    """Return what the description says of a comparison; refuse a graph that does something else."""
    difference = float(np.abs(got - wanted).max())
    if not difference <= TOLERANCE:
        raise ValueError(f"{name}: the exported graph is {difference:.1e} off; at most {TOLERANCE:g} is accepted")
    return {"seconds": SECONDS, "largest_difference": difference, "accepted": TOLERANCE}
