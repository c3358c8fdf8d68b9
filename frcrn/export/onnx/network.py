"""FRCRN as ONNX graphs from samples to samples: one hop with its states, and a wave of any length."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from frcrn.export.onnx import dft
from frcrn.export.onnx.frame import FrameWriter
from frcrn.export.onnx.graph import Graph, States
from frcrn.export.onnx.sessions import AUDIO, ENHANCED
from frcrn.export.onnx.whole import WholeWriter
from frcrn.export.onnx.writer import Image, Writer
from frcrn.models.layers.specs import FeaturesSpec, array
from frcrn.models.layers.stft import STFT, taper
from frcrn.models.layers.transforms import Frames
from frcrn.models.masking import MaskEnhancer


class Step(NamedTuple):
    """A graph that takes a hop, or several, and all states to as many and all states; every state begins as zeros."""

    model: Any
    states: dict[str, tuple[int | str, ...]]


def write_step(model: MaskEnhancer) -> Step:
    """Return the graph of one hop, [1, hop] -> [1, hop]."""
    model = inference_form(model)
    graph, stft = Graph(), model.stft
    states = States(graph)
    writer = FrameWriter(graph, states, model.wired())
    fresh = graph.input(AUDIO, 1, stft.hop)
    wave = graph.op("Concat", states.past("analysis", 1, stft.overlap), fresh, axis=1)
    states.keep("analysis", fresh if stft.hop == stft.overlap else graph.part(wave, 1, stft.hop, stft.window))
    spec = graph.reshape(dft.analysed(graph, wave, taper(stft)), 1, 2, 1, stft.bins)
    clean = masked(graph, held(writer, model, spec), mask(writer, model, spec))
    frame = dft.synthesised(graph, graph.reshape(clean, 2, stft.bins), taper(stft))
    tail = graph.op("Pad", states.past("synthesis", 1, stft.overlap), np.array([0, 0, 0, stft.hop]))
    frame = graph.op("Add", frame, tail)
    states.keep("synthesis", graph.part(frame, 1, stft.hop, stft.window))
    graph.output(by_hop(graph, graph.part(frame, 1, 0, stft.hop), stft), ENHANCED, 1, stft.hop)
    return Step(graph.model(), states.shapes)


def write_piece(model: MaskEnhancer) -> Step:
    """Return the graph of a piece of a wave, [batch, n hop] -> [batch, n hop], for causal networks."""
    model = inference_form(model)
    graph, stft = Graph(), model.stft
    states = States(graph)
    writer = WholeWriter(graph, True, states)
    wave = graph.op("Concat", states.past("analysis", "batch", stft.overlap), graph.input(AUDIO, "batch", "n"), axis=1)
    states.keep("analysis", graph.part(wave, 1, -stft.overlap, 2**31))
    spec = spectra(graph, wave, stft)
    clean = waves(graph, masked(graph, held(writer, model, spec), mask(writer, model, spec)), stft)
    tail = states.past("synthesis", "batch", stft.overlap)
    begun = graph.op("Add", graph.part(clean, 1, 0, stft.overlap), tail)
    clean = graph.op("Concat", begun, graph.part(clean, 1, stft.overlap, 2**31), axis=1)
    states.keep("synthesis", graph.part(clean, 1, -stft.overlap, 2**31))
    graph.output(by_hop(graph, graph.part(clean, 1, 0, -stft.overlap), stft), ENHANCED, "batch", "n")
    return Step(graph.model(), states.shapes)


def write_whole(model: MaskEnhancer, level_dbfs: float | None = None) -> Any:
    """Return the graph of a wave, [batch, samples] -> [batch, samples]; with a level, it brings the wave there."""
    model = inference_form(model)
    graph, stft = Graph(), model.stft
    writer = WholeWriter(graph, model.causal)
    audio = graph.input(AUDIO, "batch", "samples")
    gain = None if level_dbfs is None else gain_to(graph, audio, level_dbfs)
    samples = graph.part(graph.op("Shape", audio), 0, 1, 2)
    fed = audio if gain is None else graph.op("Mul", audio, gain)
    wave = graph.op(
        "Pad", fed, graph.op("Concat", *margins(graph, stft, samples, causal=model.causal, late=model.late), axis=0)
    )
    spec = spectra(graph, wave, stft)
    edge = 0 if model.causal else stft.overlap // stft.hop
    seen = graph.part(spec, 2, edge, -edge) if edge else spec
    wide = mask(writer, model, seen)
    if model.late:
        spec, wide = graph.part(spec, 2, 0, -model.late), graph.part(wide, 2, model.late, 2**31)
    if edge:
        wide = graph.op("Pad", wide, np.array([0, 0, edge, 0, 0, 0, edge, 0]), mode="edge")
    clean = by_hop(graph, waves(graph, masked(graph, spec, wide), stft), stft)
    first = np.array([stft.overlap])
    last = graph.op("Add", samples, first)
    clean = graph.op("Slice", clean, first, last, np.array([1]))
    graph.output(clean if gain is None else graph.op("Div", clean, gain), ENHANCED, "batch", "samples")
    return graph.model()


def gain_to(graph: Graph, audio: str, level_dbfs: float) -> str:
    """[B, T] -> the factor [B, 1] that brings the samples above the mean power to a level, as `enhance` does."""
    squares = graph.op("Mul", audio, audio)
    mean = graph.op("ReduceMean", squares, axes=[1], keepdims=1)
    above = graph.op("Cast", graph.op("Greater", squares, mean), to=graph.onnx.TensorProto.FLOAT)
    count = graph.op("Max", graph.op("ReduceSum", above, np.array([1]), keepdims=1), np.array([1.0]))
    energy = graph.op("ReduceSum", graph.op("Mul", above, squares), np.array([1]), keepdims=1)
    # silence has no level; the mean stands in where all samples are alike
    power = graph.op("Max", graph.op("Div", energy, count), mean, np.array([1e-14]))
    return graph.op("Div", np.array([10 ** (level_dbfs / 20)]), graph.op("Sqrt", power))


def inference_form(model: MaskEnhancer) -> MaskEnhancer:
    """The optimized form in single precision."""
    return model if model.optimized else model.optimize()


def even(stft: STFT | Frames) -> bool:
    """Whether overlapping windows add up to one by themselves."""
    return np.allclose(array(stft.gain), 1, atol=1e-6)


def by_hop(graph: Graph, wave: str, stft: STFT | Frames) -> str:
    """[B, n hop] with the gain of each hop's samples."""
    if even(stft):
        return wave
    return graph.reshape(graph.op("Mul", graph.reshape(wave, 0, -1, stft.hop), array(stft.gain)), 0, -1)


def margins(graph: Graph, stft: STFT | Frames, samples: str, *, causal: bool, late: int = 0) -> list[str]:
    """Return the four pads [1] of [batch, samples] that the `margins` of a network finds."""
    none, front, end = np.array([0]), np.array([stft.overlap]), np.array([stft.overlap + late * stft.hop])
    least = 0 if causal else stft.window
    whole = graph.op("Max", samples, np.array([least]))
    ragged = graph.op("Mod", graph.op("Sub", np.array([least]), whole), np.array([stft.hop]))
    back = graph.op("Add", graph.op("Add", graph.op("Sub", whole, samples), ragged), end)
    return [graph.constant(none), graph.constant(front), graph.constant(none), back]


def spectra(graph: Graph, wave: str, stft: STFT) -> str:
    """[B, n hop] -> [B, 2, T, F]."""
    hops = graph.reshape(wave, 0, -1, stft.hop)
    parts = stft.window // stft.hop
    ends = [*range(1 - parts, 0), 2**31]
    shifted = [graph.part(hops, 1, number, end) for number, end in enumerate(ends)]
    spec = graph.op("MatMul", graph.op("Concat", *shifted, axis=2), array(stft.forward_basis))
    return graph.op("Transpose", graph.reshape(spec, 0, 0, 2, stft.bins), perm=[0, 2, 1, 3])


def waves(graph: Graph, spec: str, stft: STFT) -> str:
    """[B, 2, T, F] -> [B, (T + parts - 1) hop], overlapped and added."""
    rows = graph.reshape(graph.op("Transpose", spec, perm=[0, 2, 1, 3]), 0, 0, 2 * stft.bins)
    frames = graph.op("MatMul", rows, array(stft.inverse_basis))
    parts = stft.window // stft.hop
    pieces = []
    for number, piece in enumerate(graph.ops("Split", parts, frames, axis=2)):
        pieces.append(graph.op("Pad", piece, np.array([0, number, 0, 0, parts - 1 - number, 0])))
    return graph.reshape(graph.op("Sum", *pieces), 0, -1)


def mask(writer: Writer, model: MaskEnhancer, spec: str) -> str:
    """Spectrum [B, 2, T, F] -> the last stage's mask [B, 2, T, F]."""
    graph, described = writer.graph, model.features.spec()
    heads = model.wire(writer, (features(graph, described, spec),))
    parts = [graph.op("Tanh", writer.one(head).name) for head in heads]
    total = graph.op("Sum", *parts) if len(parts) > 1 else parts[0]
    if model.mask_bound != 1:
        total = graph.op("Mul", total, np.array([model.mask_bound], np.float32))
    return to_bins(graph, described, total)


def held(writer: Writer, model: MaskEnhancer, spec: str) -> str:
    """Spectrum [B, 2, T, F] -> the one of the frames that the mask is for."""
    return writer.delayed("spectrum", Image(spec, 1, model.stft.bins), model.late).name


def features(graph: Graph, layer: FeaturesSpec, spec: str) -> Image:
    """Spectrum -> the network's input."""
    x = spec
    if layer.compress != 1 or layer.magnitude:
        power = graph.op("ReduceSum", graph.op("Mul", spec, spec), np.array([1]), keepdims=1)
        log = graph.op("Log", graph.op("Add", power, np.array([1e-12], np.float32)))
        x = graph.op("Mul", spec, graph.op("Exp", scaled(graph, log, (layer.compress - 1) / 2)))
        if layer.magnitude:
            size = graph.op("Exp", scaled(graph, log, layer.compress / 2))
            real, imag = graph.ops("Split", 2, x, axis=1)
            x = graph.op("Concat", real, size, imag, scaled(graph, log, 0.1), axis=1)
    if layer.gather is not None:
        x = graph.op("MatMul", x, layer.gather)
    elif layer.bands != layer.bins:
        x = graph.part(x, 3, 0, layer.bands)
    return Image(x, layer.channels, layer.bands)


def scaled(graph: Graph, x: str, factor: float) -> str:
    """A value times a number."""
    return graph.op("Mul", x, np.array([factor], np.float32))


def to_bins(graph: Graph, layer: FeaturesSpec, mask: str) -> str:
    """Mask [B, 2, T, bands] -> [B, 2, T, F]."""
    if layer.spread is not None:
        return graph.op("MatMul", mask, layer.spread.T)
    return mask if layer.bands == layer.bins else graph.op("Pad", mask, np.array([0, 0, 0, 0, 0, 0, 0, 1]))


def masked(graph: Graph, spec: str, mask: str) -> str:
    """Complex product of [B, 2, T, F] and [B, 2, T, F]."""
    real, imag = graph.ops("Split", 2, mask, axis=1)
    spec_re, spec_im = graph.ops("Split", 2, spec, axis=1)
    turned = graph.op("Concat", graph.op("Neg", spec_im), spec_re, axis=1)
    return graph.op("Add", graph.op("Mul", spec, real), graph.op("Mul", turned, imag))
