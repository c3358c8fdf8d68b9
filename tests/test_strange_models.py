"""A stranger's model is refused in one sentence, in seconds and little memory, and no code of it runs."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import frcrn
from tests.strange_models import MODELS

SECONDS, GIGABYTES = 60, 6


def stopped(*_: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


@pytest.fixture
def bounded() -> Iterator[None]:
    """A limit of time and of memory for this process."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = 4096 * int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + GIGABYTES * 2**30, before[1]))
    handler = signal.signal(signal.SIGALRM, stopped)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_refused_in_a_sentence(name: str, tmp_path: Path, bounded: None) -> None:
    place = tmp_path / "model.bin"
    MODELS[name](place)
    with pytest.raises((ValueError, OSError)) as caught:
        frcrn.load(place)
    assert 0 < len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    assert not isinstance(caught.value, TimeoutError) and not (tmp_path / "ran").exists()
