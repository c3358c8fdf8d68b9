"""The one table of operations: C's headers and the format's page are current, and programs are as it says."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import frcrn
from frcrn.export.native import library
from frcrn.export.native.frame_operations import FRAMES
from frcrn.export.native.headers import HEADERS, header
from frcrn.export.native.network import write_program
from frcrn.export.native.operations import HOP
from frcrn.export.native.program import Program, aligned
from frcrn.export.native.structs import Argument, Buffer, Field, Kind, Struct, View
from frcrn.models import MaskEnhancer
from tests.model_format import PAGE, current
from tests.model_runner import Runner, read
from tests.networks import noise
from tests.shapes import EVERY_SHAPE, network


@pytest.mark.parametrize("name", HEADERS)
def test_the_headers_are_current(name: str) -> None:
    assert library.source(name).decode() == header(name, HEADERS[name]), "run python -m frcrn.export.native.headers"


def test_the_page_of_the_format_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == current(), "run python -m tests.model_format"


def test_every_argument_that_stands_for_values_says_how_many() -> None:
    alone = {Kind.COUNT, Kind.NUMBER, Kind.OFFSET, Kind.FLAG, Kind.ACTIVATION}
    for operation in HOP:
        for field in operation.fields():
            for one in field.structure.fields() if field.structure else (field,):
                assert one.kind is not None and (one.kind in alone) == (not one.size), f"{operation}: {one}"
    assert len(set(HOP)) == len(HOP) and len(set(FRAMES)) == len(FRAMES)


def padded(count: int, pack: int) -> int:
    return count + -count % pack if pack else count


def operands(struct: Struct, around: Mapping[str, Any]) -> Iterator[tuple[Field, Any, int]]:
    """Each argument of a structure, and how many values it stands for; none for a plain number."""
    names: Mapping[str, Any] = ChainMap(vars(struct), dict(around))
    if hasattr(struct, "images"):
        names = ChainMap({"channels": sum(each.channels for each in struct.images)}, dict(names))
    for field in struct.fields():
        value = getattr(struct, field.name)
        if field.structure is None:
            yield field, value, int(eval(field.size, {"padded": padded}, dict(names))) if field.size else 0  # noqa: S307
        else:
            for part in value:
                yield from operands(part, names)


class Recorded(Program):
    """A program that remembers what it has room for."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, int] = {}
        self.states: dict[int, int] = {}

    def weight(self, values: Any) -> int:
        number = super().weight(values)
        self.kept[number] = int(np.size(values))
        return number

    def state(self, size: int) -> int:
        number = super().state(size)
        if size:  # what is empty has no place of its own
            self.states[number] = size
        return number


def recorded(model: MaskEnhancer, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    programs: list[Recorded] = []
    monkeypatch.setattr("frcrn.export.native.network.Program", lambda: programs.append(Recorded()) or programs[-1])
    write_program(model)
    return programs[0]


def check(field: Field, value: Argument, size: int, program: Recorded) -> None:
    """Compare one argument with what the table says of its kind."""
    kind = field.kind
    if kind in (Kind.WEIGHTS, Kind.OPTIONAL):
        assert isinstance(value, int)
        if kind is Kind.OPTIONAL and value == -1:
            return
        # the shares of bands are three or more for each
        assert program.kept[value] == size or (field.name == "shares" and program.kept[value] > size)
    elif kind in (Kind.STATE, Kind.RING):
        assert isinstance(value, int) and (not size or program.states[value] == size)
    elif kind in (Kind.READ, Kind.WRITTEN, Kind.WORK):
        if isinstance(value, int):
            assert kind is not Kind.WORK and program.states[value] == size
            return
        buffer, start = (value.buffer, value.start) if isinstance(value, View) else (value, 0)
        assert isinstance(buffer, Buffer) and start >= 0 and start + size <= buffer.size
        assert kind is not Kind.WORK or size == buffer.size
    else:
        least = 1 if kind is Kind.COUNT else 0
        most = {Kind.FLAG: 1, Kind.ACTIVATION: 2}.get(kind, 2**31 - 1)  # type: ignore[arg-type]
        assert isinstance(value, int) and least <= value <= most


@EVERY_SHAPE
def test_all_that_an_operation_touches_is_as_large_as_the_table_says(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(shape)
    program = recorded(model, monkeypatch)
    for operation in program.operations:
        for field, value, size in operands(operation, {"window": model.window, "hop": model.hop}):
            try:
                check(field, value, size, program)
            except (AssertionError, KeyError) as error:
                raise AssertionError(f"{type(operation).__name__}.{field.name} = {value}, {size} values") from error


@pytest.mark.parametrize("shape", ["default", "wide", "memory in each bin, skips beside"])
def test_a_model_file_is_read_as_the_page_says(shape: str) -> None:
    model = frcrn.load() if shape == "default" else network(shape)
    head, found, weights = read(write_program(model))
    assert (head["rate"], head["window"], head["hop"]) == (model.sample_rate, model.window, model.hop)
    assert (found[0][0].__name__, found[-1][0].__name__) == ("Analyse", "Apply")
    assert np.isfinite(weights).all() and len(weights) == aligned(len(weights))
    for kind, arguments in found:
        fixed = [field for field in kind.fields() if not field.many]
        values = dict(zip([field.name for field in fixed], arguments, strict=False))
        assert len(arguments) == len(fixed) + (2 * values["count"] if kind.__name__ == "Convolve" else 0)
        for field in fixed:
            value = values[field.name]
            if field.kind in (Kind.WEIGHTS, Kind.OPTIONAL):
                assert value % 16 == 0 and value < len(weights) or (value == -1 and field.kind is Kind.OPTIONAL)
            elif field.kind in (Kind.STATE, Kind.RING):
                assert 16 <= ~value < head["state"]


@EVERY_SHAPE
def test_the_page_is_enough_to_run_a_model_file(shape: str) -> None:
    model, wave = network(shape), noise(1, 12 * network(shape).hop)
    runner, state = Runner(write_program(model)), model.initial_state(1)
    with torch.no_grad():
        wanted, _ = model.step(wave, state)
    got = np.concatenate([runner.step(hop) for hop in wave[0].numpy().reshape(-1, model.hop)])
    assert_allclose(got, wanted[0].numpy(), atol=1e-5)
