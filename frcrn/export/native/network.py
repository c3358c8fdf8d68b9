"""FRCRN as a program."""

from __future__ import annotations

import numpy as np

from frcrn.export.native.convolutions import Image
from frcrn.export.native.layers import LayerWriter
from frcrn.export.native.operations import Analyse, Apply, Bound, Features
from frcrn.export.native.program import Program
from frcrn.export.native.rows import circle, frames_program
from frcrn.export.native.structs import Buffer
from frcrn.models import Enhancer, FrameEnhancer
from frcrn.models.layers.specs import FeaturesSpec, array
from frcrn.models.layers.stft import STFT, taper
from frcrn.models.masking import MaskEnhancer


def write_program(model: Enhancer) -> bytes:
    """Return the model file of a causal network."""
    if isinstance(model, FrameEnhancer):
        return frames_program(model)
    if not isinstance(model, MaskEnhancer) or not model.causal:
        raise ValueError("only causal networks of known layers, such as FRCRN, can be exported to C")
    if model.optimized:
        raise ValueError("a program in C is written from a network as it was trained, not from its optimized form")
    program, stft, described = Program(), model.stft, model.features.spec()
    writer = LayerWriter(program)
    window, turns, halves = (
        program.weight(values) for values in (taper(stft), circle(stft.window // 2), circle(stft.window))
    )
    spectrum, mask = Buffer(2 * stft.bins), Buffer(2 * described.bands)
    program.emit(
        Analyse(
            past=program.state(stft.overlap),
            spectrum=spectrum,
            work=work(stft),
            taper=window,
            turns=turns,
            halves=halves,
        )
    )
    seen = features(writer, described, spectrum)
    bound = program.weight(np.array([model.mask_bound]))
    late = writer.held(spectrum, spectrum.size, model.late)
    for number, head in enumerate(model.wire(writer, (seen,))):
        x = writer.one(head)
        program.emit(Bound(x=x.buffer, count=x.size, bound=bound, further=number, out=mask))
    program.emit(
        Apply(
            spectrum=late,
            mask=mask,
            work=work(stft),
            past=program.state(stft.overlap),
            taper=window,
            gain=program.weight(array(stft.gain)),
            turns=turns,
            halves=halves,
            bands=described.bands,
            shares=to_bins(program, described),
        )
    )
    return program.content(model.sample_rate, stft.window, stft.hop, model.late)


def work(stft: STFT) -> Buffer:
    """Room for a transform, in and out."""
    return Buffer(2 * stft.window + 2)


def features(writer: LayerWriter, spec: FeaturesSpec, spectrum: Buffer) -> Image:
    """Spectrum -> the network's input."""
    program, out = writer.program, writer.image(spec.channels, spec.bands)
    shares = -1
    if spec.gather is not None:
        parts = []
        for column in spec.gather.T:
            first, last = np.flatnonzero(column)[[0, -1]]
            parts += [np.array([first, last + 1 - first]), column[first : last + 1]]
        shares = program.weight(np.concatenate(parts))
    program.emit(
        Features(
            spectrum=spectrum,
            out=out.buffer,
            work=Buffer(2 * spec.channels * spec.bins),
            bins=spec.bins,
            bands=spec.bands,
            compress=program.weight(np.array([spec.compress])),
            magnitude=int(spec.magnitude),
            shares=shares,
        )
    )
    return out


def to_bins(program: Program, spec: FeaturesSpec) -> int:
    """Return the weights that say which two bands stand for a bin, and with what shares; none where bands are bins."""
    if spec.spread is None:
        return -1
    band = np.minimum((spec.spread > 0).argmax(axis=1), spec.bands - 2)
    bins = np.arange(spec.bins)
    return program.weight(np.stack([band, spec.spread[bins, band], spec.spread[bins, band + 1]], axis=1))
