"""The model file: weights in half precision where that is exact, older files still read, damaged ones refused."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import frcrn
from frcrn.export.native import library
from frcrn.export.native.library import NativeModel
from frcrn.export.native.network import write_program
from frcrn.export.native.program import MAGIC, in_parts
from tests.model_runner import read
from tests.networks import noise
from tests.shapes import network

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
HEADER = len(MAGIC) + 4 * 8


def enhanced(content: bytes, wave: np.ndarray, hop: int) -> np.ndarray:
    model, out = NativeModel(content), np.empty_like(wave)
    state, scratch = np.zeros(model.state_size, np.float32), np.empty(model.scratch_size, np.float32)
    for start in range(0, 4 * len(wave), 4 * hop):
        model.step(state.ctypes.data, scratch.ctypes.data, wave.ctypes.data + start, out.ctypes.data + start)
    return out


def first_version(content: bytes) -> bytes:
    """Return the same model as version 1 had it: a shorter header, no parts, all weights in single precision."""
    head, _, weights = read(content)
    words = content[HEADER : HEADER + 4 * head["words"]]
    return b"FRCRN 1\n" + content[8:36] + words + weights.astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("weights", "sizes"),
    [
        ([0.5] * 16, [2]),
        ([0.1] * 16, [4]),
        ([0.5] * 32 + [0.1] * 16 + [-0.0] * 16, [2, 4, 2]),
        ([1.0] * 15 + [65504.0] + [1.0] * 15 + [65520.0], [2, 4]),
        ([2.0**-24] * 16 + [2.0**-25] * 16, [2, 4]),
        ([np.inf] * 16, [4]),
    ],
)
def test_weights_are_in_half_precision_where_nothing_is_lost(weights: list[float], sizes: list[int]) -> None:
    values = np.array(weights, np.float32)
    table, parts = in_parts(values)
    assert [size for _, size in table] == sizes and [part.itemsize for part in parts] == sizes
    back = np.concatenate([part.astype(np.float32) for part in parts])
    assert_array_equal(back.view(np.uint32), values.view(np.uint32))


def test_the_file_of_the_bundled_model_is_half_as_large() -> None:
    content = write_program(frcrn.load())
    assert len(content) < 0.55 * len(first_version(content))


DECODER = """
#include <stdio.h>
#include "weights.h"
int main(void) {
    char in[2 * 65536];
    static float out[65536];
    const part all = {(int32_t)(fread(in, 1, sizeof in, stdin) / 2), 2};
    read_parts(in, (const char *)&all, 1, out);
    return fwrite(out, sizeof *out, (size_t)all.values, stdout) != (size_t)all.values;
}
"""


@needs_compiler
def test_c_reads_every_half_as_it_is(tmp_path: Path) -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    (tmp_path / "weights.h").write_bytes(library.source("weights.h"))
    (tmp_path / "decode.c").write_text(DECODER)
    command = [str(library.compiler()), "-O2", "decode.c", "-o", "decode"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./decode"], cwd=tmp_path, input=halves.tobytes(), capture_output=True, check=True)
    got = np.frombuffer(done.stdout, np.uint32)
    assert_array_equal(got, halves.astype(np.float32).view(np.uint32))


@needs_compiler
def test_older_files_sound_the_same_to_the_bit() -> None:
    for model in (frcrn.load(), network("bands")):
        content, wave = write_program(model), noise(1, 20 * model.hop).numpy()[0]
        assert_array_equal(enhanced(first_version(content), wave, model.hop), enhanced(content, wave, model.hop))


def damaged(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + struct.pack("<i", value) + content[at + 4 :]


@needs_compiler
@pytest.mark.parametrize("field", ["values", "bytes"])
@pytest.mark.parametrize("value", [0, -1, 1, 3, 8, 2**31 - 1, -(2**31)])
def test_parts_that_are_not_what_they_should_be_are_refused(field: str, value: int) -> None:
    content = write_program(network())
    head, _, _ = read(content)
    at = HEADER + 4 * head["words"] + 4 * (field == "bytes")
    with pytest.raises(ValueError, match="not as long as it says"):
        NativeModel(damaged(content, at, value))


@needs_compiler
@pytest.mark.parametrize("change", [-1, 1, -(2**31), 2**30])
def test_another_number_of_parts_is_refused(change: int) -> None:
    content = write_program(network())
    count = read(content)[0]["parts"]
    with pytest.raises(ValueError, match="damaged|not as long"):
        NativeModel(damaged(content, HEADER - 4, count + change))


@needs_compiler
def test_a_shorter_or_longer_file_is_refused() -> None:
    content = write_program(network())
    for wrong in (content[:-1], content + b"\0", content[:HEADER], content[: HEADER - 1], content[:8], b""):
        with pytest.raises(ValueError, match="not as long|not a model"):
            NativeModel(wrong)
