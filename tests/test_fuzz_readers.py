"""Changed files of every kind that is read in Python are read or refused; `make fuzz` tries many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.readers import attack, targets, trouble


def test_changed_files_are_read_or_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    counts, wrong = attack(seconds=600, seed=1, most=270)
    assert not wrong and set(counts.values()) == {30}


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_nested_without_an_end_is_refused_in_a_sentence(content: bytes) -> None:
    for name, _, reader in targets():
        assert trouble(reader, content) is None, name
