"""Graphs whose large matrices and convolutions are of whole numbers, and what that costs in quality."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frcrn.audio import Samples
from frcrn.audio.sample import sample
from frcrn.data.pairs import FolderPairs, Pair, mono
from frcrn.evaluation.metrics import scores as metrics
from frcrn.export.onnx.folder import Written
from frcrn.export.onnx.graph import require_onnx
from frcrn.export.onnx.network import AUDIO, ENHANCED
from frcrn.export.onnx.sessions import Array, Session, open_session
from frcrn.export.parity import hops, streamed
from frcrn.models import Enhancer

MOST_CLIPS = 40
EVERY = 3  # a hop in so many is calibrated on, because neighbours are alike
LARGE = 2**16  # weights of a convolution, below which whole numbers make it no faster
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
    heard, judged = (pairs[::2], pairs[1::2]) if len(pairs) > 1 else (pairs, pairs)
    exact = open_session(graph.content, "onnx", 1)
    feeds = [feed for pair in heard for feed in inputs(exact, model, graph, pair.noisy)]
    content = quantized(graph.content, feeds)
    before = quality(exact, model, graph, judged)
    after = quality(open_session(content, "onnx", 1), model, graph, judged)
    loss = {metric: before[metric] - after[metric] for metric in NAMES}
    if not (loss["pesq"] <= max_loss and loss["si_sdr"] <= DB_A_POINT * max_loss):
        raise ValueError(
            f"{name} in int8 loses {loss['pesq']:.3f} PESQ and {loss['si_sdr']:.2f} dB SI-SDR; "
            f"accepted are {max_loss:g} and {DB_A_POINT * max_loss:g} dB"
        )
    said = {"clips_calibrated": len(heard), "clips_scored": len(judged), "fp32": before, "int8": after, "lost": loss}
    return Written(content, graph.states, {"quality": said})


def run(session: Session, model: Enhancer, graph: Written, wave: Samples) -> Samples:
    """[T] -> [T] through a graph of either kind."""
    if graph.states:
        return streamed(session, graph.states, wave, model.window, model.hop)
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


def quality(session: Session, model: Enhancer, graph: Written, pairs: Sequence[Pair]) -> dict[str, float]:
    """Return the mean scores of a graph's output."""
    rows = []
    for pair in pairs:
        scores = metrics.score(pair.clean, run(session, model, graph, pair.noisy), model.sample_rate, NAMES)
        if scores.failures:
            raise ValueError(f"{pair.name}: {next(iter(scores.failures.values()))}; int8 is not written unscored")
        rows.append([scores[metric] for metric in NAMES])
    return dict(zip(NAMES, np.mean(rows, axis=0).tolist(), strict=True))


def quantized(content: bytes, feeds: Sequence[dict[str, Array]]) -> bytes:
    """Quantize the matrices, and the convolutions with many weights; the ranges come from the feeds."""
    from onnxruntime import quantization

    onnx = require_onnx()
    graph = onnx.load_from_string(content).graph
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in graph.initializer}
    chosen = [
        node.name
        for node in graph.node
        if node.op_type == "Gemm" or (node.op_type == "Conv" and sizes.get(node.input[1], 0) >= LARGE)
    ]
    if not chosen:
        raise ValueError("int8: this network has no matrix or convolution that is worth it")
    threshold = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice of the quantizer that does not concern these graphs
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
            source.write_bytes(content)
            quantization.quantize_static(
                source,
                target,
                _reader(quantization, feeds),
                nodes_to_quantize=chosen,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return target.read_bytes()
    finally:
        logging.disable(threshold)


def _reader(quantization: Any, feeds: Sequence[dict[str, Array]]) -> Any:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Gives one feed after the other, and then none."""

        def __init__(self) -> None:
            self.feeds = iter(feeds)

        def get_next(self) -> dict[str, Array] | None:
            """Return the next feed."""
            return next(self.feeds, None)

    return Reader()
