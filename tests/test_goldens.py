"""What the bundled models make of a fixed sound is the same in every runtime, on every processor, by any threads.

`python -m description.goldens` writes the expected samples anew after the weights have changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import frcrn
from description.goldens import SECONDS, golden, sound
from frcrn.export.native import library
from frcrn.export.native.network import write_program
from frcrn.export.runtime import with_runtime
from frcrn.models.checkpoint import names

TOLERANCE = 2e-5
"""Of full scale; single precision leaves less, whatever the order of sums."""
FLAGS = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
BUILDS = {
    "SSE2": ["-mno-avx", "-msse2"],
    "AVX2": ["-mavx2", "-mfma", "-mno-avx512f"],
    "AVX-512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
}
OTHERS = [("aarch64-linux-gnu", "qemu-aarch64"), ("arm-linux-gnueabihf", "qemu-arm")]
NEEDS = {"SSE2": "sse2", "AVX2": "avx2", "AVX-512": "avx512vl"}


EVERY_MODEL = pytest.mark.parametrize("name", names())


def check(name: str, clean: np.ndarray) -> None:
    assert_allclose(clean, np.load(golden(name)), atol=TOLERANCE)


@EVERY_MODEL
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino", "native"])
def test_every_runtime_gives_the_golden_samples(runtime: str, threads: int, name: str) -> None:
    package = {"onnx": "onnxruntime", "openvino": "openvino"}.get(runtime, "torch")
    if find_spec(package) is None or (runtime == "native" and library.compiler() is None):
        pytest.skip(f"the runtime {runtime} is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = with_runtime(frcrn.load(name), runtime, threads=threads)
        wave = sound(model.sample_rate)
        check(name, model.enhance(wave, model.sample_rate))
        stream = model.stream()
        parts = np.array_split(wave, [1, 7, 400, 5000])
        check(name, np.concatenate([*map(stream.push, parts), stream.flush()]))
    finally:
        torch.set_num_threads(before)


@EVERY_MODEL
def test_the_bundled_program_gives_the_golden_samples(name: str) -> None:
    model = frcrn.load(name, runtime="auto")
    check(name, model.enhance(sound(model.sample_rate), model.sample_rate))


@pytest.mark.slow
@EVERY_MODEL
@pytest.mark.parametrize("build", BUILDS)
def test_every_build_for_this_processor_gives_the_golden_samples(
    build: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if library.compiler() is None or f" {NEEDS[build]}" not in FLAGS:
        pytest.skip(f"no C compiler, or no {build} here")
    monkeypatch.setattr(library, "TUNED", BUILDS[build])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.library.cache_clear()
    try:
        model = with_runtime(frcrn.load(name), "native", threads=1)
        check(name, model.enhance(sound(model.sample_rate), model.sample_rate))
    finally:
        library.library.cache_clear()


@pytest.mark.slow
@EVERY_MODEL
@pytest.mark.parametrize("prefix, emulator", OTHERS)
def test_other_processors_give_the_golden_samples(prefix: str, emulator: str, name: str, tmp_path: Path) -> None:
    if not (shutil.which(f"{prefix}-gcc") and shutil.which(emulator)):
        pytest.skip(f"no {prefix}-gcc or no {emulator} here")
    for file in (*library.SOURCES, "run.c"):
        (tmp_path / file).write_bytes(library.source(file))
    model = frcrn.load(name)
    (tmp_path / "model.frcrn").write_bytes(write_program(model))
    extra = ["-mfpu=neon-vfpv4"] if "arm-" in prefix else []
    command = [f"{prefix}-gcc", "-O2", "-static", *extra, "run.c", "frcrn.c", "-o", "run", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    wave = sound(model.sample_rate).astype(np.float32)
    words = [emulator, str(tmp_path / "run"), str(tmp_path / "model.frcrn")]
    done = subprocess.run(words, input=wave.tobytes(), capture_output=True, check=True)
    check(name, np.frombuffer(done.stdout, np.float32))


@EVERY_MODEL
def test_the_golden_sound_is_as_long_as_it_should_be(name: str) -> None:
    assert len(np.load(golden(name))) == round(SECONDS * frcrn.load(name).sample_rate)
    assert os.path.getsize(golden(name)) < 100_000
