"""Whole numbers as C: the tables of a network, and test vectors for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from frcrn.export.fixed.quantise import FixedLayer, Matrix
from frcrn.export.fixed.reference import TANH, Shorts

WIDTH = 24
"""Numbers a line."""


def rows(values: Iterable[Any]) -> str:
    """Return numbers, so many a line."""
    numbers = [str(int(value)) for value in values]
    return ",\n".join("    " + ", ".join(numbers[at : at + WIDTH]) for at in range(0, len(numbers), WIDTH))


def table(kind: str, name: str, values: Iterable[Any], *, own: bool = True) -> str:
    """Return an array of C; `own` where no other file sees it."""
    return f"{'static ' if own else ''}const {kind} {name}[] = {{\n{rows(values)}\n}};\n"


def tanh_rows() -> str:
    """Return what `fixed.c` has between the braces of its table."""
    return rows(TANH)


def widest(layers: Sequence[FixedLayer]) -> int:
    """Return how many values the largest row between two layers has."""
    return max(layer.outputs for layer in layers)


def header(name: str, layers: Sequence[FixedLayer], sample_rate: int, hop: int) -> str:
    """Return the header of a network called `name`."""
    big, first, last = name.upper(), layers[0], layers[-1]
    sizes = {
        "SAMPLE_RATE": sample_rate,
        "HOP": hop,
        "INPUTS": first.inputs,
        "OUTPUTS": last.outputs,
        "STATE": max(1, sum(layer.state for layer in layers)),
        "SCRATCH": 2 * widest(layers),
    }
    lines = "".join(f"#define DEF_{big}_{key} {value}\n" for key, value in sizes.items())
    return (
        f'#ifndef DEF_{big}_H\n#define DEF_{big}_H\n\n#include "fixed.h"\n\n{lines}\n'
        f"extern const fixed_network {name};\n\n#endif\n"
    )


def source(name: str, layers: Sequence[FixedLayer]) -> str:
    """Return the tables of a network."""
    parts, entries = [f'#include "def_{name}.h"\n'], []
    for number, layer in enumerate(layers):
        matrices = []
        for label, matrix in ((f"layer{number}", layer.matrix), (f"recurrent{number}", layer.recurrent)):
            parts += tables_of(label, matrix)
            matrices.append(f"{{{label}_weights, {label}_shifts, {label}_bias}}" if matrix else "{0, 0, 0}")
        sizes = f"{layer.inputs}, {layer.frames}, {layer.outputs}"
        entries.append(f"    {{FIXED_{layer.activation.upper()}, {sizes}, {', '.join(matrices)}}}")
    parts.append("static const fixed_layer layers[] = {\n" + ",\n".join(entries) + "\n};\n")
    ends = f"{layers[0].inputs}, {layers[-1].outputs}, {widest(layers)}"
    parts.append(f"const fixed_network {name} = {{layers, {len(layers)}, {ends}}};\n")
    return "\n".join(parts)


def tables_of(label: str, matrix: Matrix | None) -> list[str]:
    """Return the arrays of a matrix."""
    if matrix is None:
        return []
    kinds = (("int8_t", "weights"), ("uint8_t", "shifts"), ("int32_t", "bias"))
    return [table(kind, f"{label}_{part}", getattr(matrix, part).ravel()) for kind, part in kinds]


def vectors(name: str, given: Shorts, made: Shorts) -> str:
    """Return features [frames, inputs] and the gains that belong to them as a header for `check.c`."""
    big = name.upper()
    names = "".join(f"#define NETWORK_{each} DEF_{big}_{each}\n" for each in ("INPUTS", "OUTPUTS", "STATE", "SCRATCH"))
    return (
        f'#include "def_{name}.h"\n\n#define NETWORK {name}\n{names}#define VECTORS {len(given)}\n\n'
        + table("int16_t", "vectors_in", given.ravel())
        + "\n"
        + table("int16_t", "vectors_out", made.ravel())
    )
