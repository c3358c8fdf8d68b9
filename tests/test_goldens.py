"""What the bundled model makes of a fixed sound is the same in every runtime, on every processor, by any threads.

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
from description.goldens import GOLDEN, SECONDS, sound
from frcrn.export.native import library
from frcrn.export.native.network import write_program
from frcrn.export.runtime import with_runtime

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


def check(clean: np.ndarray) -> None:
    assert_allclose(clean, np.load(GOLDEN), atol=TOLERANCE)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino", "native"])
def test_every_runtime_gives_the_golden_samples(runtime: str, threads: int) -> None:
    package = {"onnx": "onnxruntime", "openvino": "openvino"}.get(runtime, "torch")
    if find_spec(package) is None or (runtime == "native" and library.compiler() is None):
        pytest.skip(f"the runtime {runtime} is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = with_runtime(frcrn.load(), runtime, threads=threads)
        wave = sound(model.sample_rate)
        check(model.enhance(wave, model.sample_rate))
        stream = model.stream()
        parts = np.array_split(wave, [1, 7, 400, 5000])
        check(np.concatenate([*map(stream.push, parts), stream.flush()]))
    finally:
        torch.set_num_threads(before)


def test_the_bundled_program_gives_the_golden_samples() -> None:
    model = frcrn.load(runtime="auto")
    check(model.enhance(sound(model.sample_rate), model.sample_rate))


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS)
def test_every_build_for_this_processor_gives_the_golden_samples(
    build: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if library.compiler() is None or f" {NEEDS[build]}" not in FLAGS:
        pytest.skip(f"no C compiler, or no {build} here")
    monkeypatch.setattr(library, "TUNED", BUILDS[build])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.library.cache_clear()
    try:
        model = with_runtime(frcrn.load(), "native", threads=1)
        check(model.enhance(sound(model.sample_rate), model.sample_rate))
    finally:
        library.library.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("prefix, emulator", OTHERS)
def test_other_processors_give_the_golden_samples(prefix: str, emulator: str, tmp_path: Path) -> None:
    if not (shutil.which(f"{prefix}-gcc") and shutil.which(emulator)):
        pytest.skip(f"no {prefix}-gcc or no {emulator} here")
    for name in (*library.SOURCES, "run.c"):
        (tmp_path / name).write_bytes(library.source(name))
    model = frcrn.load()
    (tmp_path / "model.frcrn").write_bytes(write_program(model))
    extra = ["-mfpu=neon-vfpv4"] if "arm-" in prefix else []
    command = [f"{prefix}-gcc", "-O2", "-static", *extra, "run.c", "frcrn.c", "-o", "run", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    wave = sound(model.sample_rate).astype(np.float32)
    words = [emulator, str(tmp_path / "run"), str(tmp_path / "model.frcrn")]
    done = subprocess.run(words, input=wave.tobytes(), capture_output=True, check=True)
    check(np.frombuffer(done.stdout, np.float32))


def test_the_golden_sound_is_as_long_as_it_should_be() -> None:
    assert len(np.load(GOLDEN)) == round(SECONDS * frcrn.load().sample_rate)
    assert os.path.getsize(GOLDEN) < 100_000
