"""A cluster that is played: one worker in this process does everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from frcrn.inference.one_file import Settings
from frcrn.scale.work import Row, Worker


def play(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a corpus be done without Ray."""

    def results(ray: Any, units: list[Any], settings: Settings, mark: str, goal: str, actors: Any) -> Iterator[Row]:
        worker = Worker(settings, mark, goal)
        return (row for unit in units for order in unit for row in worker.rows(order))

    cluster = SimpleNamespace(cluster_resources=lambda: {"CPU": 1})
    monkeypatch.setattr("frcrn.scale.corpus.results", results)
    monkeypatch.setattr("frcrn.scale.corpus.connected", lambda address, actors: nullcontext(cluster))
