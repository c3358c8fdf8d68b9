"""The native runtime refuses states that do not fit, and code that others could have put where it is kept."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from frcrn.export.native import library
from frcrn.export.native.stream import FRAME, MEMORY
from frcrn.export.runtime import with_runtime
from frcrn.models import DTLN, NNSE, DTLNConfig, Enhancer, NNSEConfig, RNNoise, RNNoiseConfig
from tests.marks import slow
from tests.networks import noise, tiny

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")


NETWORKS: dict[str, Callable[[], Enhancer]] = {
    "frcrn": lambda: tiny(causal=True),
    "dtln": lambda: DTLN(DTLNConfig.tiny()),
    "nnse": lambda: NNSE(NNSEConfig.tiny()),
    "rnnoise": lambda: RNNoise(RNNoiseConfig.tiny()),
    "rnnoise with pitch": lambda: RNNoise(RNNoiseConfig.tiny(pitch=True)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest) -> Enhancer:
    torch.manual_seed(0)
    return with_runtime(NETWORKS[request.param]().eval(), "native")


WRONG = {
    "short memory": lambda state: {**state, MEMORY: state[MEMORY][:, :-1]},
    "long memory": lambda state: {**state, MEMORY: torch.nn.functional.pad(state[MEMORY], (0, 1))},
    "flat memory": lambda state: {**state, MEMORY: state[MEMORY][0]},
    "another batch": lambda state: {name: torch.cat([value, value]) for name, value in state.items()},
    "double memory": lambda state: {**state, MEMORY: state[MEMORY].double()},
    "frame of another type": lambda state: {**state, FRAME: state[FRAME].int()},
    "negative frame": lambda state: {**state, FRAME: state[FRAME] - 1},
    "no frame": lambda state: {MEMORY: state[MEMORY]},
    "one tensor more": lambda state: {**state, "more": state[FRAME]},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_state_that_does_not_fit_is_refused_in_a_sentence(model: Enhancer, name: str) -> None:
    with pytest.raises(ValueError, match=r"^(state|memory|frame)"):
        model.step(torch.zeros(1, model.hop), WRONG[name](model.initial_state(1)))


@pytest.mark.parametrize("shape", [(1, 7), (64,), (2, 64), (1, 1, 64)])
def test_a_frame_that_does_not_fit_is_refused_in_a_sentence(model: Enhancer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^(frame|state)"):
        model.step(torch.zeros(*shape), model.initial_state(1))


ODD = (float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-40)


@pytest.mark.parametrize("value", ODD)
def test_samples_that_are_none_stay_in_their_memory(model: Enhancer, value: float) -> None:
    """What comes out is no sound either; another stream of the same model does not know of it."""
    state, other = model.initial_state(1), model.initial_state(1)
    quiet = noise(1, 4 * model.hop, level=0.1)
    expected, _ = model.step(quiet.clone(), model.initial_state(1))
    for _ in range(3):
        _, state = model.step(torch.full((1, model.hop), value), state)
    found, _ = model.step(quiet.clone(), other)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.fixture
def kept(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    monkeypatch.setattr(library, "OPTIONS", ["-O0", *library.OPTIONS[1:]])  # what it computes is no matter here
    library.library.cache_clear()
    yield tmp_path / "frcrn"
    library.library.cache_clear()


posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are those of POSIX")


@posix
@pytest.mark.parametrize(
    "how",
    [
        slow("link"),
        "writable by others",
        slow("in a folder writable by others"),
    ],
)
def test_a_library_that_others_may_have_put_there_is_not_loaded(kept: Path, how: str, tmp_path: Path) -> None:
    library.library()
    (planted,) = kept.glob("*.so")
    elsewhere = tmp_path / "elsewhere.so"
    if how == "link":
        planted.rename(elsewhere)
        planted.symlink_to(elsewhere)
    else:
        (planted if how == "writable by others" else kept).chmod(0o777)
    with pytest.raises(PermissionError, match="not loaded"):
        library.loaded(planted, lambda: b"")
    library.library.cache_clear()
    found = library.library()  # compiled once more, where nobody else can write
    assert not Path(found._name).is_relative_to(tmp_path)


@posix
def test_nobody_else_can_change_what_is_kept(kept: Path) -> None:
    before = os.umask(0o002)
    try:
        library.library()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o077 for path in (kept, *kept.glob("*.so"))} == {0}


def test_many_first_uses_at_once_compile_once(kept: Path) -> None:
    program = (
        "from frcrn.export.native import library as l\n"
        "whole = l.compiled\n"
        "l.OPTIONS = ['-O0', *l.OPTIONS[1:]]\n"
        "l.compiled = lambda program: (print('compiled'), whole(program))[1]\n"
        "l.library()"
    )
    command = [sys.executable, "-c", program]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=True), range(4)))
    assert "".join(each.stdout for each in done) == "compiled\n"


def test_a_person_is_told_why_the_first_use_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def instead(folder: Path, target: Path, *how: object) -> None:
        target.write_bytes(b"made")

    monkeypatch.setattr(library, "compile_library", instead)
    for watched in (True, False):
        told = io.StringIO()
        monkeypatch.setattr(told, "isatty", lambda watched=watched: watched)
        monkeypatch.setattr(sys, "stderr", told)
        assert library.compiled("cc") == b"made"
        assert told.getvalue().count("\n") == watched
