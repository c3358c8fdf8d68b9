"""The program in C: it does what the network does, for every shape, in any pieces, and refuses what it cannot do."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import frcrn
from frcrn import FRCRN, FRCRNConfig, files
from frcrn.audio import MissingPackage
from frcrn.audio.sample import sample
from frcrn.export.native import library
from frcrn.export.native.network import write_program
from frcrn.export.native.operations import Add
from frcrn.export.native.program import Program, placed, room
from frcrn.export.native.structs import Buffer, View
from frcrn.export.native.whole import NativeMasks
from frcrn.export.runtime import with_runtime
from frcrn.inference.streaming import push_together
from frcrn.models import Enhancer
from frcrn.models.layers.unet import Level
from tests.fakes import CausalGain
from tests.marks import slow
from tests.networks import lively, noise, tiny, two_levels
from tests.shapes import EVERY_OFFLINE_SHAPE, EVERY_SHAPE, network, released

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")


def native(model: Enhancer) -> Enhancer:
    return with_runtime(model, "native")


def whole(model: Enhancer, wave: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(wave)).wave.numpy()


@needs_compiler
@EVERY_SHAPE
def test_it_streams_as_the_network_hears_the_whole(shape: str) -> None:
    model, wave = network(shape), noise(2, 3001).numpy()
    assert_allclose(whole(native(model), wave), whole(model, wave), atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("channels", [16, 24, 40])
@pytest.mark.parametrize("window", [640, 1000, 126, 2 * 79])
def test_vectors_that_fit_and_that_do_not(channels: int, window: int) -> None:
    torch.manual_seed(0)
    config = two_levels(window, window // 2, causal=True, time_hidden=8)
    model = FRCRN(replace(config, levels=tuple(level._replace(channels=channels) for level in config.levels)))
    model, wave = lively(model, 2, 20 * model.hop), noise(1, 9 * window + 1).numpy()
    assert_allclose(whole(native(model), wave), whole(model, wave), atol=1e-5)


@needs_compiler
def test_pieces_of_any_size_give_the_same_bits() -> None:
    model, wave = native(network()), noise(1, 2000).numpy()[0]
    stream = model.stream()
    parts = [stream.push(piece) for piece in np.split(wave, [1, 38, 500, 501])]
    together = np.concatenate([*parts, stream.flush()])
    assert_array_equal(together, np.concatenate([stream.push(wave), stream.flush()]))
    assert_allclose(together, whole(network(), wave[None])[0], atol=1e-5)


@needs_compiler
def test_streams_of_one_model_do_not_hear_each_other() -> None:
    model, waves = native(network()), noise(3, 1000).numpy()
    alone = [np.concatenate([stream.push(wave), stream.flush()]) for wave in waves for stream in [model.stream()]]
    streams = [model.stream() for _ in waves]
    first = push_together(streams, list(waves[:, :300]))
    second = push_together(streams[1:], list(waves[1:, 300:]))
    rests = [streams[0].push(waves[0, 300:]), *second]
    for stream, start, rest, truth in zip(streams, first, rests, alone, strict=True):
        assert_array_equal(np.concatenate([start, rest, stream.flush()]), truth)


@needs_compiler
def test_threads_may_share_a_model() -> None:
    model, waves = native(network()), noise(8, 1, 4000).numpy()
    truth = [whole(model, wave) for wave in waves]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(lambda wave: whole(model, wave), waves), truth, strict=True):
            assert_array_equal(got, wanted)


@needs_compiler
def test_a_state_that_was_used_up_is_refused_and_a_copy_goes_on() -> None:
    model, hop = native(network()), torch.from_numpy(noise(1, network().hop).numpy())
    state = model.initial_state(1)
    copy = {name: value.clone() for name, value in state.items()}
    first, _ = model.step(hop, state)
    with pytest.raises(ValueError, match="used up"):
        model.step(hop, state)
    assert_array_equal(model.step(hop, copy)[0], first)


@needs_compiler
def test_silence_stays_silent_and_very_quiet_sound_does_no_harm() -> None:
    model = native(network())
    assert not whole(model, np.zeros((1, 3000), np.float32)).any()
    quiet = whole(model, noise(1, 3000).numpy() * 1e-30)
    assert np.isfinite(quiet).all()


@needs_compiler
@EVERY_OFFLINE_SHAPE
def test_a_network_that_looks_ahead_hears_the_whole_as_before(shape: str) -> None:
    model = network(shape, causal=False)
    for threads in (1, 3):
        other = with_runtime(model, "native", threads)
        for length in (1, 129, 3001, 700):
            wave = noise(2, length).numpy()
            assert_allclose(whole(other, wave), whole(model, wave), atol=1e-5)


@needs_compiler
def test_a_network_of_the_released_kind_is_fed_at_its_level() -> None:
    wave = noise(2, 7001, level=0.003).numpy()
    assert_allclose(native(released()).enhance(wave), released().enhance(wave), atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_what_lay_in_memory_before_says_nothing(threads: int) -> None:
    """Memory that is kept for the next wave is full of what is no number; each thread has a share, or none."""
    other, waves = with_runtime(network(causal=False), "native", threads), noise(2, 1, 300).numpy()
    before = [whole(other, wave) for wave in waves]
    images, scratch = other._masks._memory(100)  # type: ignore[union-attr]
    images.fill_(torch.nan)
    scratch.fill_(torch.nan)
    assert_array_equal([whole(other, wave) for wave in waves], before)


@needs_compiler
def test_threads_may_share_a_model_that_looks_ahead() -> None:
    model, waves = with_runtime(network(causal=False), "native", 2), noise(8, 1, 4000).numpy()
    truth = [whole(model, wave) for wave in waves]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(lambda wave: whole(model, wave), waves), truth, strict=True):
            assert_array_equal(got, wanted)


def test_what_is_no_causal_frcrn_as_it_was_trained_is_refused() -> None:
    for model in (released(), CausalGain(0.5)):
        with pytest.raises(ValueError, match="only causal networks of known layers"):
            write_program(model)
    with pytest.raises(ValueError, match="not from its optimized form"):
        write_program(tiny().optimize())
    with pytest.raises(ValueError, match="as they were trained"):
        NativeMasks(tiny(causal=False).optimize(), 1)


def test_kernels_longer_than_the_program_knows_are_refused() -> None:
    level = Level(2, (4, 9), (4, 9), stride=4)
    with pytest.raises(ValueError, match="18 frames of images"):
        write_program(FRCRN(FRCRNConfig.tiny(levels=(level, level))).eval())


@needs_compiler
def test_what_is_no_model_is_refused() -> None:
    content = write_program(network())
    for wrong, reason in (
        (b"", "not a model"),
        (b"RIFF" + content, "not a model"),
        (content[:100], "not as long"),
        (content + b"\0", "not as long"),
        (content[:8] + b"\0" * 4 + content[12:], "damaged"),
    ):
        with pytest.raises(ValueError, match=reason):
            library.NativeModel(wrong)


def test_buffers_that_live_at_the_same_time_lie_apart() -> None:
    random = np.random.default_rng(0)
    buffers = [Buffer(int(size)) for size in random.integers(1, 300, 40)]
    program = Program()
    for _ in range(100):
        x, y = random.choice(40, 2, replace=False)
        program.emit(Add(x=buffers[x], y=View(buffers[y], 0), count=1, out=-1))
    uses = [tuple(each.arguments()) for each in program.operations]
    places, total = placed(uses)
    alive = {
        buffer: [when for when, (x, y, *_) in enumerate(uses) if buffer in (x, y.buffer)]  # type: ignore[union-attr]
        for buffer in places
    }
    for one in places:
        assert places[one] % 16 == 0 and places[one] + room(one) <= total
        for other in places:
            if one is not other and alive[one][0] <= alive[other][-1] and alive[other][0] <= alive[one][-1]:
                assert places[one] + room(one) <= places[other] or places[other] + room(other) <= places[one]
    assert total < sum(room(buffer) for buffer in places)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty folder for compiled libraries, which take less time to compile than to run fast."""
    monkeypatch.setattr(library, "OPTIONS", ["-O1", *library.OPTIONS[1:]])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    library.library.cache_clear()
    yield tmp_path
    library.library.cache_clear()


def test_without_a_compiler_it_says_so(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MissingPackage, match="needs a C compiler, and there is none"):
        native(network())


def test_a_compiler_that_does_not_work_is_quoted(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fresh / "broken"
    broken.write_text("#!/bin/sh\necho 'cannot find anything' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(MissingPackage, match="cannot find anything"):
        native(network())
    assert not list(fresh.rglob("*.so*"))


@needs_compiler
def test_it_is_compiled_once(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native(network())
    (kept,) = fresh.rglob("*.so")
    before = kept.stat().st_mtime_ns
    library.library.cache_clear()
    native(network())
    assert [path.stat().st_mtime_ns for path in fresh.rglob("*.so")] == [before]


def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each time that it is compiled."""
    calls: list[str] = []
    compiled = library.compiled

    def counted(program: str) -> bytes:
        calls.append(program)
        return compiled(program)

    monkeypatch.setattr(library, "compiled", counted)
    return calls


@needs_compiler
@pytest.mark.parametrize("cache", [slow("a file is there"), slow("relative"), "no room"])
def test_where_the_cache_is_of_no_use_it_is_kept_in_a_temporary_folder_of_our_own(
    cache: str, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh)
    if cache == "a file is there":
        (fresh / "frcrn").write_text("a file where the folder should be")
    elif cache == "relative":
        monkeypatch.setenv("XDG_CACHE_HOME", ".")
        monkeypatch.setenv("HOME", ".")
    else:
        (fresh / "full").mkdir()
        monkeypatch.setenv("XDG_CACHE_HOME", str(fresh / "full"))
        monkeypatch.setattr(library, "replacing", without_room(fresh / "full"))
    calls = made(monkeypatch)
    for _ in range(2):
        assert whole(native(network()), noise(1, 300).numpy()).any()
        library.library.cache_clear()
    assert len(calls) == 1 and library.is_there()
    (kept,) = fresh.rglob("*.so")
    assert kept.parent == fresh / f"frcrn-{os.getuid()}" and kept.parent.stat().st_mode & 0o777 == 0o700


def without_room(folder: Path) -> Callable[[Path], AbstractContextManager[Path]]:
    @contextmanager
    def replacing(path: Path) -> Iterator[Path]:
        if path.is_relative_to(folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        with files.replacing(path) as beside:
            yield beside

    return replacing


@needs_compiler
def test_where_nothing_can_be_kept_it_is_compiled_for_this_once(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (fresh / "frcrn").write_text("a file where the folder should be")
    (fresh / f"frcrn-{os.getuid()}").mkdir(mode=0o777)
    (fresh / f"frcrn-{os.getuid()}").chmod(0o777)  # as another user would leave it
    assert whole(native(network()), noise(1, 300).numpy()).any()
    assert "compiled at each start" in caplog.text


@needs_compiler
@pytest.mark.parametrize("options", [["-mno-avx"], ["-mavx2", "-mfma", "-mno-avx512f"]])
def test_the_code_for_other_processors_gives_the_same(
    options: list[str], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("these are options for x86-64")
    monkeypatch.setattr(library, "TUNED", options)
    wave = noise(1, 3001).numpy()
    for model in (*map(network, ("tiny", "wide", "memory in each bin")), frcrn.load()):
        assert_allclose(whole(native(model), wave), whole(model, wave), atol=1e-5)


@needs_compiler
def test_no_memory_is_touched_that_is_not_its_own(tmp_path: Path) -> None:
    """Run with the compiler's own watch over memory, in a program of its own."""
    for name in library.SOURCES:
        (tmp_path / name).write_bytes(library.source(name))
    (tmp_path / "main.c").write_text(WATCHED)
    command = [str(library.compiler()), "-g", "-O1", "-march=native", "-fsanitize=address,undefined"]
    command += ["-fno-sanitize=alignment", "-fno-sanitize-recover=all"]
    done = subprocess.run(
        [*command, "main.c", "frcrn.c", "-o", "main", "-lm"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("the compiler has no such watch")
    shapes = ("tiny", "wide", "memory in each bin, skips beside", "no memory")
    for model in (*map(network, shapes), tiny(window=2 * 79, hop=79), frcrn.load()):
        (tmp_path / "model").write_bytes(write_program(model))
        ran = subprocess.run(["./main", "model"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, ""), f"{model.config}: {ran.stderr[:2000]}"


WATCHED = """
#include <stdlib.h>
#include "frcrn.h"
int main(int count, char **words) {
    frcrn_model *model = frcrn_open(words[count - 1], NULL);
    if (!model) return 3;
    float *state = calloc(frcrn_state_size(model), 1), *scratch = malloc(frcrn_scratch_size(model));
    float *hop = calloc((size_t)frcrn_hop(model), sizeof(float));
    for (int frame = 0; frame < 100; frame++) {
        for (int i = 0; i < frcrn_hop(model); i++) hop[i] = 0.001f * (float)((i * 7919 + frame) % 100);
        frcrn_step(model, state, scratch, hop, hop);
    }
    free(state), free(scratch), free(hop);
    frcrn_close(model);
    return 0;
}
"""


def bf16(model: Enhancer) -> Enhancer:
    try:
        return with_runtime(model, "native", precision="bf16")
    except library.NoBfloat16:
        pytest.skip("this processor has no bfloat16")


def error_db(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(np.square(found - wanted).mean() / np.square(wanted).mean()))


@needs_compiler
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("channels", [8, 16, 24, 40, 144])
def test_bfloat16_differs_by_as_much_as_it_rounds(channels: int, causal: bool) -> None:
    torch.manual_seed(0)
    config = two_levels(640, 320, causal=causal, time_hidden=8)
    shape = FRCRN(replace(config, levels=tuple(level._replace(channels=channels) for level in config.levels)))
    model, wave = lively(shape, 2, 20 * shape.hop), noise(2, 9 * 640 + 1).numpy()
    found, wanted = whole(bf16(model), wave), whole(model, wave)
    assert -80 < error_db(found, wanted) < -30  # other than in single precision, and hardly


@needs_compiler
@pytest.mark.parametrize("name", ["default", "offline"])
def test_bfloat16_in_a_bundled_model_is_not_heard(name: str) -> None:
    model, wave = frcrn.load(name), sample().samples[:, :64_000].astype(np.float32)
    assert -90 < error_db(whole(bf16(model), wave), whole(model, wave)) < -45


@needs_compiler
@pytest.mark.parametrize("causal", [True, False])
def test_threads_share_what_is_in_bfloat16(causal: bool) -> None:
    model, waves = bf16(network(causal=causal)), noise(4, 1, 4000).numpy()
    truth = [whole(model, wave) for wave in waves]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(lambda wave: whole(model, wave), waves), truth, strict=True):
            assert_array_equal(got, wanted)


def test_a_state_that_may_not_be_written_is_copied(tmp_path: Path) -> None:
    model = frcrn.load(runtime="native")
    hops = np.random.default_rng(1).uniform(-0.1, 0.1, (1, 3 * model.hop)).astype(np.float32)
    state = model.initial_state(1)
    np.save(tmp_path / "memory.npy", state["memory"])
    kept = dict(state, memory=np.load(tmp_path / "memory.npy", mmap_mode="r"), frame=state["frame"].copy())
    expected, _ = model.step(hops, state)
    assert np.array_equal(model.step(hops, kept)[0], expected)
    assert not kept["memory"].any()
