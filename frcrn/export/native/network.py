"""FRCRN as a program."""

from __future__ import annotations

from typing import Any

import numpy as np

from frcrn.export.native.layers import PLAIN, Image, LayerWriter
from frcrn.export.native.program import Buffer, Kind, Program
from frcrn.export.weights import Array, array
from frcrn.models import Enhancer
from frcrn.models.frcrn import FRCRN
from frcrn.models.layers.features import Features
from frcrn.models.layers.stft import STFT, taper


def write_program(model: Enhancer) -> bytes:
    """Return the model file of a causal network."""
    if not isinstance(model, FRCRN) or not model.config.causal:
        raise ValueError("as a program in C there are causal networks of FRCRN only")
    if model.optimized:
        raise ValueError("a program in C is written from a network as it was trained, not from its optimized form")
    program, stft, config = Program(), model.stft, model.config
    writer = LayerWriter(program)
    tables = [program.weight(values) for values in (taper(stft), circle(stft.window // 2), circle(stft.window))]
    spectrum = Buffer(2 * stft.bins)
    program.emit(Kind.ANALYSE, program.state(stft.overlap), spectrum, work(stft), *tables)
    x = inputs = features(writer, model.features, spectrum)
    bound, mask = program.weight(np.array([config.mask_bound])), Buffer(2 * model.features.bands)
    for number, unet in enumerate(model.unets):
        x = u_net(writer, unet, x)
        program.emit(Kind.BOUND, x.buffer, x.size, bound, number, mask)
        if config.refine:
            x = writer.side_by_side([x, inputs])
    taper_of, half, whole = tables
    gain = program.weight(array(stft.gain))
    program.emit(
        Kind.APPLY,
        *(spectrum, mask, work(stft), program.state(stft.overlap), taper_of, gain, half, whole),
        *(model.features.bands, to_bins(program, model.features)),
    )
    return program.content(model.sample_rate, stft.window, stft.hop)


def work(stft: STFT) -> Buffer:
    """Room for a transform, in and out."""
    return Buffer(2 * stft.window + 2)


def circle(size: int) -> Array:
    """[size + 1, 2]: e^(-2 pi i k / size), once around."""
    angle = -2 * np.pi * np.arange(size + 1) / size
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def features(writer: LayerWriter, layer: Features, spectrum: Buffer) -> Image:
    """Spectrum -> the network's input."""
    program, out = writer.program, writer.image(layer.channels, layer.bands)
    shares = -1
    if layer.bands not in (layer.bins, layer.bins - 1):
        parts = []
        for column in array(layer.gather).T:
            first, last = np.flatnonzero(column)[[0, -1]]
            parts += [np.array([first, last + 1 - first]), column[first : last + 1]]
        shares = program.weight(np.concatenate(parts))
    fine = Buffer(2 * layer.channels * layer.bins)
    compress = program.weight(np.array([layer.compress]))
    program.emit(
        Kind.FEATURES,
        *(spectrum, out.buffer, fine, layer.bins, layer.bands, compress, int(layer.magnitude), shares),
    )
    return out


def to_bins(program: Program, layer: Features) -> int:
    """Return the weights that say which two bands stand for a bin, and with what shares; none where bands are bins."""
    if layer.bands in (layer.bins, layer.bins - 1):
        return -1
    spread = array(layer.spread)
    band = np.minimum((spread > 0).argmax(axis=1), layer.bands - 2)
    bins = np.arange(layer.bins)
    return program.weight(np.stack([band, spread[bins, band], spread[bins, band + 1]], axis=1))


def u_net(writer: LayerWriter, unet: Any, x: Image) -> Image:
    """Write a `UNet`: down, along time, and up again."""
    skips = []
    for number, block in enumerate(unet.encoders):
        name = str(number)
        if name in unet.time_enc:
            x = writer.in_bins(unet.time_enc[name], x)
        skips.append(writer.weigh(unet.se_enc[name], x) if name in unet.se_enc else x)
        if name in unet.fsmn_enc:
            x = writer.along_frequency(unet.fsmn_enc[name], x)
        x = writer.down(block, [x])
    for layer in unet.bottleneck:
        x = writer.along_time(layer, x)
    images = [x]
    for number in reversed(range(len(unet.levels))):
        name = str(number)
        x = writer.up(unet.decoders[number], images)
        if name in unet.fsmn_dec:
            x = writer.along_frequency(unet.fsmn_dec[name], x)
        if name in unet.se_dec:
            x = writer.weigh(unet.se_dec[name], x)
        images = [x]
        if number:
            images = [writer.sum(x, skips[number])] if unet.shape.add_skips else [x, skips[number]]
        if name in unet.time_dec:
            images = [writer.in_bins(unet.time_dec[name], writer.side_by_side(images))]
    return writer.down(unet.head, images, PLAIN)
