"""Killed at a random moment and started again, every command ends as if nothing had happened; two at once never mix."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frcrn import enhance_folder
from frcrn.data.cache import AudioCache, open_cache
from frcrn.evaluation.evaluate import evaluate
from frcrn.export.native.folder import export_program
from frcrn.files import held
from frcrn.models.checkpoint import save_directory
from tests.made_audio import RATE, corpus, noise, save, speech
from tests.networks import tiny
from tests.training_runs import Dropping, Tones, last_state, network, recipe, records, same, trainer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
CUTS = int(os.environ.get("FRCRN_CUTS", "40"))
"""Kills of each command."""


def forked(act: Callable[[], Any]) -> int:
    """Begin in a process that has everything loaded; its exit status says how it ended."""
    if child := os.fork():
        return child
    status = 1
    try:
        act()
        status = 0
    finally:
        os._exit(status)


def done(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def cut_often(act: Callable[[], Any], again: Callable[[], Any], undo: Callable[[], None], seed: int, cuts: int) -> int:
    """Run it whole for the time that it takes, then kill and restart it; return how many were killed before their end.

    Every so often it is brought to its end and `undo` takes away what it made, so that all its moments have their turn.
    """
    begin = time.monotonic()
    assert done(forked(act)) == 0
    whole, chance, killed = time.monotonic() - begin, random.Random(seed), 0
    undo()
    first = True
    for number in range(4 * cuts):
        child = forked(act if first else again)
        time.sleep(whole * chance.random())
        os.kill(child, signal.SIGKILL)
        cut = done(child) == -signal.SIGKILL
        killed, first = killed + cut, not cut
        if killed == cuts:
            break
        if first or number % 5 == 4:
            assert done(forked(again)) == 0
            undo()
            first = True
    assert done(forked(act if first else again)) == 0
    return killed


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def gone(*places: Path) -> Callable[[], None]:
    import shutil

    def undo() -> None:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
            place.unlink(missing_ok=True) if place.is_file() else None

    return undo


def torn(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


@pytest.fixture
def one_thread() -> None:
    torch.set_num_threads(1)


def enhancing(root: Path, cuts: int) -> int:
    for number in range(4):
        save(root / "in" / f"{number}.wav", noise(0.4, number))
    save_directory(tiny(causal=True), root / "model")

    def act(out: str = "out") -> None:
        outcomes = enhance_folder(root / "in", root / out, jobs=1, model=str(root / "model"), runtime="torch")
        assert all(outcome.error is None for outcome in outcomes)

    act("whole")
    killed = cut_often(act, act, gone(root / "out"), 1, cuts)
    ours, theirs = contents(root / "out"), contents(root / "whole")
    for each in (ours, theirs):
        each.pop("frcrn-manifest.jsonl")
    assert ours == theirs and not torn(root)
    return killed


def caching(root: Path, cuts: int) -> int:
    corpus(root, speakers=2, each=2)
    folders = [root / "speech", root / "noise"]

    def act(name: str = "cache") -> None:
        open_cache(root / name, folders, RATE, threads=1)

    act("whole")
    killed = cut_often(act, act, gone(root / "cache"), 2, cuts)
    assert (root / "cache").read_bytes() == (root / "whole").read_bytes() and len(AudioCache(root / "cache")) == 10
    return killed


def scoring(root: Path, cuts: int) -> int:
    model = tiny(causal=True)
    pairs = [(f"{n}.wav", speech(0.6, n) + noise(0.6, n + 50), speech(0.6, n)) for n in range(4)]

    def act(out: str = "out") -> None:
        evaluate(model, pairs, names=("si_sdr",), workers=0, out=root / out, probes=0)

    act("whole")
    killed = cut_often(act, act, gone(root / "out"), 3, cuts)
    lines = [(root / out / "scores.csv").read_text().splitlines() for out in ("out", "whole")]
    without_time = [[line.split(",")[:4] + line.split(",")[5:] for line in each] for each in lines]
    assert without_time[0] == without_time[1] and len(lines[0]) == 5
    return killed


def exporting(root: Path, cuts: int) -> int:
    model = tiny(causal=True)

    def act(out: str = "out") -> None:
        export_program(model, root / out)

    act("whole")
    killed = cut_often(act, act, gone(root / "out"), 4, cuts)
    ours, theirs = contents(root / "out"), contents(root / "whole")
    assert {name: data for name, data in ours.items() if not name.endswith(".part")} == theirs
    return killed


def training(root: Path, cuts: int) -> int:
    def act(name: str = "run", resume: bool = False) -> None:
        values = recipe({"every": 4, "examples": 2}, max_steps=12, save_every=2, log_every=2, keep=3)
        run = trainer(root / name, values, model=network(Dropping), valid_data=Tones(2))
        run.train(resume=resume and (root / name).exists())

    act("whole")
    killed = cut_often(act, lambda: act(resume=True), gone(root / "run"), 5, cuts)
    assert records(root / "run") == records(root / "whole")
    assert same(last_state(root / "run"), last_state(root / "whole"))
    return killed


COMMANDS = {each.__name__: each for each in (enhancing, caching, scoring, exporting, training)}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_killed_often_ends_as_what_never_was(name: str, tmp_path: Path, one_thread: None) -> None:
    killed = COMMANDS[name](tmp_path, CUTS)
    assert killed > CUTS // 2
    print(f"{name}: killed {killed} times before its end")


@pytest.mark.parametrize("name", ["enhancing", "caching", "exporting"])
def test_two_cuts_change_nothing(name: str, tmp_path: Path, one_thread: None) -> None:
    COMMANDS[name](tmp_path, 2)


def test_a_folder_is_held_by_one_and_refused_to_the_others(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(ValueError, match="another run is writing here"),
        held(tmp_path, patience=0.1),
    ):
        raise AssertionError
    with held(tmp_path):
        pass


def test_runs_and_scores_refuse_a_folder_that_another_process_writes_to(tmp_path: Path) -> None:
    from frcrn.training import trainer as loop

    folder, patience = tmp_path / "run", loop.PATIENCE
    folder.mkdir()
    loop.PATIENCE = 0.0
    try:
        with held(folder):
            for act in (
                lambda: trainer(folder).train(),
                lambda: evaluate(tiny(causal=True), [("a", np.ones(99), np.ones(99))], workers=0, out=folder),
                lambda: export_program(tiny(causal=True), folder),
            ):
                with pytest.raises(ValueError, match="another run is writing here"):
                    act()
        assert not list(folder.iterdir())
    finally:
        loop.PATIENCE = patience
