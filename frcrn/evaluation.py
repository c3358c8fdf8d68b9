"""A model over noisy and clean pairs -> one row of scores a clip and a summary with intervals."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from frcrn.metrics import HEADLINE, Scores, Wave, check_names, snr
from frcrn.models.base import Enhancer
from frcrn.pairs import open_pairs
from frcrn.scorers import Scorers
from frcrn.summary import Row, summarise

NAMES = (*HEADLINE, "si_snr")
__all__ = ["NAMES", "Report", "evaluate", "open_pairs"]
ALWAYS = ("speech_level", "speech_lost")
"""Cheap, and they show over-suppression, which the means hide."""


@dataclass(frozen=True)
class Report:
    """The scores of one model on one set."""

    rows: tuple[Row, ...]
    summary: dict[str, Any]


def evaluate(
    model: Enhancer,
    pairs: Iterable[tuple[str, Wave, Wave]],
    *,
    names: Iterable[str] = NAMES,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Enhance and score each (name, noisy [T], clean [T]) at the model's rate; `progress` gets the clips done."""
    names = check_names((*names, *ALWAYS))
    rows: list[Row] = []
    with _inference(model), Scorers(names, rate=model.sample_rate, workers=workers) as scorers:
        for row in _finished(_started(model, pairs, scorers), limit=2 * scorers.workers + 2):
            rows.append(row)
            if progress:
                progress(len(rows))
    return Report(tuple(rows), summarise(rows, names))


@contextmanager
def _inference(model: Enhancer) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


Started = tuple[Row, Future[Scores]]


def _started(model: Enhancer, pairs: Iterable[tuple[str, Wave, Wave]], scorers: Scorers) -> Iterator[Started]:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    for name, noisy, clean in pairs:
        noisy, clean = np.asarray(noisy, dtype=np.float32), np.asarray(clean, dtype=np.float32)
        begin = time.perf_counter()
        enhanced = model(torch.from_numpy(noisy).to(device)[None]).wave[0].float().cpu().numpy()
        processing = time.perf_counter() - begin
        ratio = snr(noisy, clean) if clean.any() and len(noisy) == len(clean) else float("nan")
        row = Row(name, len(noisy) / model.sample_rate, digest(noisy, clean), ratio, processing, Scores())
        yield row, scorers.submit(clean, enhanced)


def _finished(started: Iterator[Started], limit: int) -> Iterator[Row]:
    """Yield rows in order while up to `limit` clips are being scored."""
    waiting: deque[Started] = deque()
    for item in started:
        waiting.append(item)
        if len(waiting) > limit:
            yield _complete(waiting.popleft())
    while waiting:
        yield _complete(waiting.popleft())


def _complete(started: Started) -> Row:
    row, scores = started
    return row._replace(scores=scores.result())


def digest(*waves: Wave) -> str:
    """Return a short hash of samples."""
    state = hashlib.sha256()
    for wave in waves:
        state.update(np.ascontiguousarray(wave, dtype=np.float32).tobytes() + b"|")
    return state.hexdigest()[:16]
