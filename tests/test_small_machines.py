"""The C program on other processors, under an emulator; and the table of sizes."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import frcrn
from description.sizes import PAGE, TARGETS, Target, compile_to, model_rows
from frcrn.export.native import library
from frcrn.export.native.network import write_program
from frcrn.export.parity import speech
from frcrn.models import Enhancer
from tests.networks import noise
from tests.shapes import network

CASES = ["default", "wide", "memory in each bin", "second stage refines, magnitude seen"]


def model_of(name: str) -> Enhancer:
    return frcrn.load() if name == "default" else network(name)


@cache
def expected(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy wave [T], and what torch makes of it."""
    model = model_of(name)
    wave = speech(16000, 1.0) if name == "default" else noise(1, 3001).numpy()[0]
    with torch.inference_mode():
        return wave, model(torch.from_numpy(wave)[None]).wave[0].numpy()


targets = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


def need(target: Target) -> None:
    """Skip where the compiler or the emulator is missing."""
    packages = {target.compiler: f"gcc-{target.compiler.removesuffix('-gcc')}", target.emulator: "qemu-user"}
    for tool, package in packages.items():
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here: apt-get install {package}")


@pytest.fixture(scope="module", params=TARGETS, ids=lambda target: target.name)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that run the example program."""
    target, path = request.param, tmp_path_factory.mktemp("cross") / "run"
    need(target)
    compile_to(target, path, library.source("run.c"), "-static", "-Wall", "-Wextra", "-Werror")
    return [target.emulator, str(path)]


@pytest.mark.parametrize("name", CASES)
def test_another_processor_gives_the_same_sound(program: list[str], name: str, tmp_path: Path) -> None:
    wave, wanted = expected(name)
    (tmp_path / "model.frcrn").write_bytes(write_program(model_of(name)))
    command = [*program, str(tmp_path / "model.frcrn")]
    done = subprocess.run(command, input=wave.tobytes(), capture_output=True, check=True)
    assert_allclose(np.frombuffer(done.stdout, np.float32), wanted, atol=1e-5)


def test_a_damaged_model_is_refused_there_too(program: list[str], tmp_path: Path) -> None:
    content = write_program(network())
    (tmp_path / "model.frcrn").write_bytes(content[:-1])
    command = [*program, str(tmp_path / "model.frcrn")]
    done = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert done.returncode == 2 and b"not as long as it says" in done.stderr


MAIN = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "denoiser.h"
int main(int count, char **words) {
    frcrn_model *model = frcrn_open(words[1], NULL);
    frcrn_denoiser *denoiser = frcrn_denoiser_open(model, atoi(words[2]), NULL);
    float *state = calloc(frcrn_denoiser_state_size(denoiser), 1);
    float *scratch = malloc(frcrn_denoiser_scratch_size(denoiser)), wave[1010];
    fprintf(stderr, "%d", frcrn_denoiser_latency(denoiser));
    for (size_t size = 1; (size = fread(wave, sizeof *wave, size, stdin)); size = size % 1000 + (size_t)count) {
        frcrn_denoise(denoiser, state, scratch, wave, wave, (int)size, 1, INFINITY);
        fwrite(wave, sizeof *wave, size, stdout);
    }
    return 0;
}
"""


@pytest.mark.slow
@targets
def test_another_processor_gives_the_full_band_too(target: Target, tmp_path: Path) -> None:
    need(target)
    compile_to(target, tmp_path / "run", MAIN.encode(), "-static")
    (tmp_path / "model.frcrn").write_bytes(write_program(frcrn.load()))
    wave = speech(48000, 1.0) + noise(1, 48000, level=0.01).numpy()[0]
    command = [target.emulator, str(tmp_path / "run"), str(tmp_path / "model.frcrn"), "48000"]
    done = subprocess.run(command, input=wave.tobytes(), capture_output=True, check=True)
    got, late = np.frombuffer(done.stdout, np.float32), int(done.stderr)
    stream = frcrn.load().stream(rate=48000)
    wanted = np.concatenate([stream.push(wave), stream.flush()])
    assert len(got) == len(wave)
    assert_allclose(got[late:], wanted[: len(got) - late], atol=1e-3)


def test_the_kernels_are_made_of_vector_instructions(program: list[str]) -> None:
    """That is, there are many that multiply four floats and add them."""
    prefix, pattern = {
        "qemu-aarch64": ("aarch64-linux-gnu", r"\tfmla\tv\d+\.4s"),
        "qemu-arm": ("arm-linux-gnueabihf", r"\tvmla\.f32\tq\d+"),
    }[program[0]]
    command = [f"{prefix}-objdump", "-d", program[1]]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(re.findall(pattern, listed)) > 100


def test_the_table_of_sizes_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(model_rows()) in text, "run python -m description.sizes"
