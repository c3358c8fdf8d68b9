"""Graphs whose large matrices and convolutions are of whole numbers: what that costs in quality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from frcrn.audio import Samples
from frcrn.audio.resampling import mono
from frcrn.audio.sample import sample
from frcrn.data.pairs import FolderPairs, Pair
from frcrn.evaluation.metrics import scores as metrics
from frcrn.export.onnx.folder import Written
from frcrn.export.onnx.int8 import quantized
from frcrn.export.onnx.sessions import AUDIO, ENHANCED, Array, Session, hops, open_session, streamed
from frcrn.models import Enhancer

MOST_CLIPS = 40

EVERY = 3  # a hop in so many is calibrated on, because neighbours are alike

MAX_LOSS = 0.05

DB_A_POINT = 10
"""As many dB of SI-SDR may be lost for each point of PESQ that may."""

NAMES = ("pesq", "si_sdr")


def clips(folder: str | Path | None, rate: int) -> Sequence[Pair]:
    """Return the pairs of FOLDER/noisy and FOLDER/clean, or the bundled one; not more than are needed."""
    if folder is None:
        noisy, clean = (mono(sample(name), rate) for name in ("noisy", "clean"))
        return [Pair("bundled sample", noisy, clean)]
    place = Path(folder)
    if missing := [name for name in ("noisy", "clean") if not (place / name).is_dir()]:
        raise ValueError(
            f"{place}: has no folder {missing[0]}; expected are noisy and clean, with files of equal names"
        )
    pairs = FolderPairs(place / "noisy", place / "clean", rate)
    return pairs[:: -(-len(pairs) // MOST_CLIPS)]


def int8(model: Enhancer, name: str, graph: Written, pairs: Sequence[Pair], max_loss: float = MAX_LOSS) -> Written:
    """Return a graph of whole numbers, calibrated on one half of the clips and scored on the other, or refuse it."""
    calibrating, scoring = (pairs[::2], pairs[1::2]) if len(pairs) > 1 else (pairs, pairs)
    exact = open_session(graph.content, "onnx", 1)
    feeds = [feed for pair in calibrating for feed in inputs(exact, model, graph, pair.noisy)]
    content = quantized(graph.content, feeds)
    before = quality(exact, model, graph, scoring)
    after = quality(open_session(content, "onnx", 1), model, graph, scoring)
    loss = {metric: before[metric] - after[metric] for metric in NAMES}
    if not (loss["pesq"] <= max_loss and loss["si_sdr"] <= DB_A_POINT * max_loss):
        raise ValueError(
            f"{name} in int8 loses {loss['pesq']:.3f} PESQ and {loss['si_sdr']:.2f} dB SI-SDR; "
            f"accepted are {max_loss:g} and {DB_A_POINT * max_loss:g} dB"
        )
    facts = {
        "clips_calibrated": len(calibrating),
        "clips_scored": len(scoring),
        "fp32": before,
        "int8": after,
        "lost": loss,
    }
    return Written(content, graph.states, {"quality": facts})


def quality(session: Session, model: Enhancer, graph: Written, pairs: Sequence[Pair]) -> dict[str, float]:
    """Return the mean scores of a graph's output."""
    rows = []
    for pair in pairs:
        scores = metrics.score(pair.clean, run(session, model, graph, pair.noisy), model.sample_rate, NAMES)
        if scores.failures:
            raise ValueError(f"{pair.name}: {next(iter(scores.failures.values()))}; int8 is not written unscored")
        rows.append([scores[metric] for metric in NAMES])
    return dict(zip(NAMES, np.mean(rows, axis=0).tolist(), strict=True))


def run(session: Session, model: Enhancer, graph: Written, wave: Samples) -> Samples:
    """[T] -> [T] through a graph of either kind."""
    if graph.states:
        return streamed(session, graph.states, wave, model.lag, model.hop)
    return np.asarray(session.run({AUDIO: wave[None]})[ENHANCED][0])


def inputs(session: Session, model: Enhancer, graph: Written, wave: Samples) -> Iterator[dict[str, Array]]:
    """Yield what a graph is fed with on its way through a wave [T]."""
    if not graph.states:
        yield {AUDIO: wave[None]}
        return
    for number, (feed, _) in enumerate(
        hops(session, graph.states, wave[: len(wave) // model.hop * model.hop], model.hop)
    ):
        if number % EVERY == 0:
            yield feed
