"""`frcrn train`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frcrn.training import Recipe
    from frcrn.training.trainer import Watcher


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("train", help="train a network from a recipe")
    parser.add_argument("recipe", type=Path, help="a recipe in JSON, such as configs/frcrn_16k.json")
    parser.add_argument("-w", "--work-dir", type=Path, help="the folder of this run (default: runs/NAME-OF-RECIPE)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest whole checkpoint in the folder, if any"
    )
    parser.add_argument("--max-minutes", type=float, help="end after this time, the learning rate decayed to its end")
    parser.add_argument("--init-from", help="weights to start from: a model name, a directory or a checkpoint")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe, say train.max_steps=100"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, and say where the model lies."""
    from frcrn.training import Trainer

    recipe = read_recipe(args)
    folder = args.work_dir or Path("runs") / args.recipe.stem
    trainer = Trainer(recipe, work_dir=folder)
    with reporting(trainer.processes.first) as watcher:
        trainer.watcher = watcher
        result = trainer.train(resume=args.resume)
    if trainer.processes.first:
        best = "" if result.best is None else f", best {recipe.evaluation.best} {result.best:.3f}"
        print(f"{result.output}: step {result.step}, {result.reason}{best}")
    ended_by = getattr(signal, result.reason, None)
    if ended_by is not None and trainer.processes.first:
        print(f"saved; go on with --resume --work-dir {folder}", file=sys.stderr)
    return 0 if ended_by is None else 128 + int(ended_by)


def read_recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe with the changes of the command line."""
    from frcrn.training import read

    changes = list(args.set)
    if args.max_minutes is not None:
        changes.append(f"train.max_minutes={args.max_minutes}")
    if args.init_from is not None:
        changes.append(f"train.init_from={args.init_from}")
    return read(args.recipe, changes)


@contextlib.contextmanager
def reporting(first: bool) -> Iterator[Watcher | None]:
    """Show a bar where a person watches, else the lines of the log; only one process reports."""
    if not first:
        yield None
    elif sys.stderr.isatty():
        from frcrn.cli.common import progress_bar

        with progress_bar(1, "train") as show:
            yield lambda step, share, shown: show(share)
    else:
        handler = logging.StreamHandler(sys.stderr)
        logging.getLogger("frcrn.training").addHandler(handler)
        try:
            yield None
        finally:
            logging.getLogger("frcrn.training").removeHandler(handler)
