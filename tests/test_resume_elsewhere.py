"""A run of several processes that is killed goes on in another number of them, with the batches it would have had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from frcrn.training import Trainer
from frcrn.training.batches import Batch, BatchOrder
from tests.training_runs import Frozen, Tones, last_state, network, recipe

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
STEPS, BATCH, ACCUMULATE, EPOCHS = 20, 4, 2, 16
SEED = 3


class Noting(Trainer):
    """Writes down which tones each step was made of, a file for each process."""

    notes: Path

    def count(self, parts: list[Batch], finite: bool) -> None:
        super().count(parts, finite)
        firsts = [float(wave[0]) for batch in parts for wave in batch["noisy"]]
        with self.notes.open("a") as file:
            file.write(f"{self.progress.step} {' '.join(map(str, firsts))}\n")


def go(folder: str, notes: str, resume: str, kill: str) -> None:
    """Train in one of the processes; the first one kills torchrun and itself after a step."""
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def watch(step: int, *_: Any) -> None:
        if step == int(kill):
            if count > 1:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    values = recipe(
        {}, max_steps=STEPS, batch_size=BATCH // count, accumulate=ACCUMULATE, save_every=3, seed=SEED, device="cpu"
    )
    run = Noting(values, work_dir=Path(folder), model=network(Frozen), train_data=Tones(), watcher=watch)
    run.notes = Path(notes, str(rank))
    run.train(resume=resume == "resume")


def launch(folder: Path, notes: Path, count: int, *, resume: bool = False, kill: int = 0) -> int:
    """Run it in so many processes; return how torchrun, or the only process, ended."""
    notes.mkdir()
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", f"--nproc-per-node={count}", "--standalone"]
    command += [str(Path(__file__)), str(folder), str(notes), "resume" if resume else "new", str(kill)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


def seen(notes: Path) -> dict[int, list[tuple[int, int]]]:
    """Return which tones each step was made of, over all processes."""
    named = {float(Tones()[key]["noisy"][0]): key for key in product(range(EPOCHS), range(len(Tones())))}
    steps: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for file in notes.iterdir():
        for line in file.read_text().splitlines():
            step, *firsts = line.split()
            steps[int(step)] += [named[float(first)] for first in firsts]
    return {step: sorted(found) for step, found in steps.items()}


def test_killed_and_resumed_in_other_numbers_of_processes_it_sees_the_same_batches(tmp_path: Path) -> None:
    launch(tmp_path / "whole", tmp_path / "whole.notes", 1)
    whole = seen(tmp_path / "whole.notes")
    order = BatchOrder(len(Tones()), BATCH, seed=SEED)
    size = BATCH * ACCUMULATE
    assert whole == {n + 1: sorted(order.example(n * size + i) for i in range(size)) for n in range(STEPS)}

    folder, trained = tmp_path / "run", {}
    for number, (count, kill) in enumerate(((2, 8), (1, 14), (4, 17), (2, 0))):
        start = last_state(folder)["progress"]["step"] if number else 0
        notes = tmp_path / f"notes{number}"
        ended = launch(folder, notes, count, resume=number > 0, kill=kill)
        assert (ended == -signal.SIGKILL) == bool(kill)
        now = seen(notes)
        assert sorted(now) == list(range(start + 1, (kill or STEPS) + 1))
        trained |= now
    assert trained == whole
    outputs = [load_file(each / "output" / "model.safetensors") for each in (folder, tmp_path / "whole")]
    assert_close(*outputs, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    go(*sys.argv[1:])
