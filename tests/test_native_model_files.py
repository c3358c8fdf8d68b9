"""A model file of a stranger's either runs within its own memory or is refused with a reason, whatever was changed."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from frcrn.export.native import library
from frcrn.export.native.library import NativeModel
from frcrn.export.native.network import write_program
from frcrn.export.native.operations import Add
from frcrn.export.native.program import Program
from frcrn.export.native.row_operations import OPERATIONS
from frcrn.export.native.structs import Buffer
from tests.fuzz.__main__ import built, run
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import seeds
from tests.shapes import EVERY_SHAPE, network

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
SANITIZERS = ["-g", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program that people copy from, which stops at the first value outside of its memory."""
    folder = tmp_path_factory.mktemp("runner")
    for name in (*library.SOURCES, "run.c"):
        (folder / name).write_bytes(library.source(name))
    command = [str(library.compiler()), *SANITIZERS, "run.c", "frcrn.c", "-o", "run", "-lm"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("this compiler has no sanitizers")
    np.random.default_rng(0).standard_normal(200, np.float32).tofile(folder / "noise.f32")
    yield folder / "run"


def outcome(runner: Path, content: bytes) -> str:
    """Return what came of a file: that it ran, or why it was refused."""
    path = runner.with_name("model.frcrn")
    path.write_bytes(content)
    with runner.with_name("noise.f32").open("rb") as noise:
        done = subprocess.run([runner, path], stdin=noise, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert done.returncode in (0, 2) and said.count("\n") == done.returncode // 2, said
    return said.partition(": ")[2].strip() or "ran"


def changed_files(runner: Path, count: int, seed: int) -> dict[str, int]:
    """Return how often what came of so many changes of each small model."""
    found: dict[str, int] = {}
    for content in seeds().values():
        assert outcome(runner, content) == "ran"
        for each in mutated(content, count, seed):
            found[result] = found.get(result := outcome(runner, each), 0) + 1
    return found


def test_changed_files_are_run_or_refused_and_nothing_else(runner: Path) -> None:
    found = changed_files(runner, 20, seed=0)
    assert len(found) > 10 and found["ran"] > 10


@pytest.mark.slow
def test_thousands_of_changed_files(runner: Path) -> None:
    found = changed_files(runner, 500, seed=1)
    assert sum(found.values()) == 500 * len(seeds()) and len(found) > 40


def test_what_is_changed_uses_every_operation() -> None:
    found = set[int]()
    for content in seeds().values():
        (count,) = struct.unpack_from("<i", content, 28)
        program, at = struct.unpack_from(f"<{count}i", content, 44 if content[6:7] == b"3" else 40), 0
        while at < count:
            found.add(program[at])
            at += 2 + program[at + 1]
    assert [each.__name__ for number, each in enumerate(OPERATIONS) if number not in found] == []


@EVERY_SHAPE
def test_no_file_of_ours_is_refused(shape: str) -> None:
    model = network(shape)
    opened = NativeModel(write_program(model))
    assert (opened.hop, opened.delay, opened.lookahead) == (model.hop, model.latency - model.hop, model.lookahead)


def words(content: bytes, **changes: int) -> bytes:
    """A file with another header."""
    names = ("rate", "window", "hop", "state", "scratch", "words", "weights", "parts", "late")
    copy = bytearray(content)
    for name, value in changes.items():
        at = 8 + 4 * names.index(name)
        copy[at : at + 4] = int(value).to_bytes(4, "little", signed=True)
    return bytes(copy)


HEADERS = {
    "rate": (1_000_000, "sample rate"),
    "window": (15, "two hops"),
    "hop": (16, "two hops"),
    "state": (64, "not inside of the state"),
    "scratch": (64, "not inside of"),
    "words": (1, "not as long"),
    "weights": (2**28 + 16, "1 GiB"),
    "parts": (2**31 - 1, "not as long"),
    "late": (2**26, "later than a stream is long"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies_is_refused_with_a_reason(name: str) -> None:
    value, reason = HEADERS[name]
    with pytest.raises(ValueError, match=f"^a model for the runtime native: .*{reason}"):
        NativeModel(words(seeds()["ahead" if name == "late" else "plain"], **{name: value}))


def test_what_is_no_number_among_the_weights_is_refused() -> None:
    program = Program()
    program.weight(np.array([1.0, np.inf]))
    program.emit(Add(x=(x := Buffer(1)), y=x, count=1, out=Buffer(1)))
    with pytest.raises(ValueError, match="a weight is not a finite number"):
        NativeModel(program.content(16000, 64, 32))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no file without an end")
def test_a_file_without_an_end_is_refused_at_once(runner: Path) -> None:
    done = subprocess.run([runner, "/dev/zero"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1


@pytest.mark.slow  # and `make fuzz` is no other
@pytest.mark.skipif(shutil.which("clang") is None, reason="libFuzzer comes with clang")
def test_the_fuzzer_finds_nothing_in_a_moment(tmp_path: Path) -> None:
    try:
        fuzzer = built(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("this clang has no libFuzzer")
    done = run(fuzzer, tmp_path, "-runs=2000", "-seed=1")
    assert done.returncode == 0, done.stderr[-4000:]
