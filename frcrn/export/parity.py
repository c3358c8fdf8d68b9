"""How far a graph's output is from the network's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from frcrn.audio import Samples, resample
from frcrn.audio.sample import sample
from frcrn.models import Enhancer

SECONDS = 10.0
TOLERANCE = 1e-4


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


def checked(name: str, got: Samples, wanted: Samples) -> dict[str, Any]:
    """Return what the description says of a comparison; refuse a graph that does something else."""
    difference = float(np.abs(got - wanted).max())
    if not difference <= TOLERANCE:
        raise ValueError(f"{name}: the exported graph is {difference:.1e} off; at most {TOLERANCE:g} is accepted")
    return {"seconds": SECONDS, "largest_difference": difference, "accepted": TOLERANCE}
