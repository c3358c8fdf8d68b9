"""An NNSE as a folder of C without floating point: its tables, the program that reads them, and a check."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frcrn.evaluation.metrics.ratios import si_sdr
from frcrn.export.fixed.quantise import UNIT_BITS, FixedLayer, quantised
from frcrn.export.fixed.reference import Shorts, Stream, as_features
from frcrn.export.fixed.tables import header, source, vectors
from frcrn.export.parity import speech
from frcrn.files import write_together
from frcrn.models import NNSE, Enhancer
from frcrn.models.frames import Rows
from frcrn.models.layers.specs import Array, array
from frcrn.models.nnse import LOG

ABOUT = "program.json"
PROGRAM = ("check.c", "fixed.c", "fixed.h")
FRAMES = 50
"""Frames in the check."""
NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = 63
"""Letters by which C tells names apart."""


class FixedRows(Rows):
    """The backend of torch with the network in whole numbers; it keeps features and gains of one wave [1, T]."""

    features: Shorts
    gains_found: Shorts

    def __init__(self, layers: Sequence[FixedLayer]) -> None:
        super().__init__()
        self.fixed = layers

    def layer(self, name: str, layer: nn.Module, x: Tensor) -> Tensor:
        """Apply a layer; all of the network's in the place of the first."""
        if not name.startswith("layer"):
            return super().layer(name, layer, x)
        if name == "layer0":
            stream, self.features = Stream(self.fixed), as_features(array(x[0]))
            self.gains_found = np.stack([stream.step(row) for row in self.features])
        return torch.from_numpy(self.gains_found.astype(np.float32) / 2**UNIT_BITS)[None]


def in_whole_numbers(model: NNSE, wave: Array) -> tuple[Array, FixedRows]:
    """[T] -> what a network makes of it with its layers in whole numbers, [T], and its features and gains."""
    front, back = model.margins(len(wave))
    at = FixedRows(quantised(model))
    with torch.no_grad():
        padded = nn.functional.pad(torch.from_numpy(wave)[None], (front, back))
        clean, _ = model.frames.join(model.wire(at, model.frames.cut(padded)), None)
    return array(clean[0, front : front + len(wave)]), at


def export_fixed(model: Enhancer, folder: str | os.PathLike[str], number: int = 0, name: str = "se") -> Path:
    """Write an NNSE as tables of 8-bit weights and a program without floating point; return the description's path.

    Args:
        model: an NNSE as it was trained.
        folder: where to; it is made where it is missing.
        number: which network this is among several in one program.
        name: what it is called, in small letters.

    Example:
        >>> export_fixed(frcrn.load("runs/nnse/output"), "firmware", number=3, name="se")
    """
    if not isinstance(model, NNSE):
        raise ValueError(f"a {type(model).__name__} has no program of whole numbers; an nnse has")
    called, place = f"nn{number}_{name}", Path(folder)
    if not NAME.fullmatch(name) or number < 0:
        raise ValueError(f"network {number} {name!r}: expected a number from 0 and a name of small letters and digits")
    if len(called) > LONGEST:
        raise ValueError(f"network {called[:20]}...: expected a name of at most {LONGEST} letters with its number")
    layers = quantised(model.eval())
    clean, at = in_whole_numbers(model, speech(model.sample_rate))
    some = slice(FRAMES, 2 * FRAMES)
    stream = Stream(layers)
    made = np.stack([stream.step(row) for row in at.features[some]])
    contents = {
        ABOUT: json.dumps(description(model, called, layers, clean), indent=2) + "\n",
        f"def_{called}.h": header(called, layers, model.sample_rate, model.hop),
        f"def_{called}.c": source(called, layers),
        "vectors.h": vectors(called, at.features[some], made),
    }
    contents |= {each: resources.files("frcrn.export.fixed").joinpath(each).read_text("utf-8") for each in PROGRAM}
    write_together(place, {each: text.encode() for each, text in contents.items()})
    return place / ABOUT


def description(model: NNSE, name: str, layers: Sequence[FixedLayer], clean: Array) -> dict[str, Any]:
    """Return what a person needs to know of the tables."""
    from frcrn import __version__

    with torch.no_grad():
        exact = array(model(torch.from_numpy(speech(model.sample_rate))[None]).wave[0])
    floor, scale, shift = LOG
    matrices = [matrix for layer in layers for matrix in (layer.matrix, layer.recurrent) if matrix is not None]
    return {
        "made_by": f"frcrn {__version__}",
        "network": name,
        "trained": model.trained,
        "sample_rate": model.sample_rate,
        "window": model.window,
        "hop": model.hop,
        "features": f"4096 ({scale} log(x + {floor}) + {shift}), x: {model.config.features}, as int16",
        "gains": "32768 times the gain of each bin, as int16",
        "weight_bytes": sum(matrix.weights.size for matrix in matrices),
        "table_bytes": sum(matrix.weights.size + 5 * len(matrix.bias) for matrix in matrices),
        "memory_bytes": 2 * (sum(layer.state for layer in layers) + 2 * max(layer.outputs for layer in layers)),
        "macs_a_frame": sum(matrix.weights.size for matrix in matrices),
        "si_sdr_to_float_db": round(float(si_sdr(clean, exact)), 2),
        "config": model.config.to_dict(),
    }
