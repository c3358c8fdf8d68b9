"""A stranger's model is refused in one sentence, in seconds and little memory, and no code of it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import frcrn
from tests.limits import bounded
from tests.strange_models import MODELS


@pytest.fixture
def limited() -> Iterator[None]:
    """A limit of time and of memory for this process."""
    with bounded(seconds=60, gigabytes=6):
        yield


@pytest.mark.parametrize("name", MODELS)
def test_it_is_refused_in_a_sentence(name: str, tmp_path: Path, limited: None) -> None:
    place = tmp_path / "model.bin"
    MODELS[name](place)
    with pytest.raises((ValueError, OSError)) as caught:
        frcrn.load(place)
    assert 0 < len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    assert not isinstance(caught.value, TimeoutError) and not (tmp_path / "ran").exists()
