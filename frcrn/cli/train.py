"""`frcrn train`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frcrn.cli.common import Bar, place, progress_bar
from frcrn.visible import OneLine

if TYPE_CHECKING:
    from frcrn.training.run import State, Watcher


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train",
        help="train a network from a recipe",
        description="Train a network from a recipe, in one stage or several. output/ in the work folder becomes a "
        "complete model directory with the weights that score best on the validation set; with --init-from, never "
        "with weights that score worse there than the ones that training began with.",
    )
    parser.add_argument("recipe", type=place, help="a recipe in JSON, such as configs/own_data.json")
    parser.add_argument("-w", "--work-dir", type=place, help="the folder of this run (default: runs/NAME-OF-RECIPE)")
    parser.add_argument(
        "--resume", action="store_true", help="continue from the newest complete checkpoint in the folder, if any"
    )
    parser.add_argument(
        "--max-minutes",
        type=float,
        help="stop after this many minutes, with the learning-rate schedule fitted to that time; stages share them "
        "(default: what the recipe says)",
    )
    parser.add_argument(
        "--init-from",
        metavar="M",
        help="fine-tune these weights: a model's name, a model directory or a checkpoint file; their network and "
        "output level are kept",
    )
    parser.add_argument(
        "--keep-last",
        action="store_true",
        help="save the last weights in output/, even if earlier ones scored better (default: the best)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the recipe: train.max_steps=100, loss.si_snr.weight=2, stages.2.train.lr=0.001 "
        "(stages are numbered from 0; their names work too)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, and report where the model lies."""
    from frcrn.training import train
    from frcrn.training.outcome import sentence

    values = read_tables(args)
    folder = args.work_dir or Path("runs") / args.recipe.stem
    first = int(os.environ.get("RANK", "0")) == 0
    with reporting(first) as watcher:
        result = train(values, work_dir=folder, resume=args.resume, max_minutes=args.max_minutes, watcher=watcher)
    if first:
        result = result._replace(output=folder / result.output.relative_to(folder.absolute()))
        print(sentence(result, values.get("evaluation", {}).get("best", "si_snr")))
    ended_by = getattr(signal, result.reason, None)
    if ended_by is not None and first:
        print(f"saved; continue with --resume --work-dir {folder}", file=sys.stderr)
    return 0 if ended_by is None else 128 + int(ended_by)


def read_tables(args: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe's tables with the changes of the command line."""
    from frcrn.training import tables

    changes = list(args.set)
    if args.init_from is not None:
        changes.append(f"train.init_from={args.init_from}")
    values = tables(args.recipe, changes)
    stages = values.get("stages")
    if args.keep_last:
        for table in (values, *(stages if isinstance(stages, list) else ())):
            if isinstance(table, dict) and isinstance(table.setdefault("train", {}), dict):
                table["train"]["keep_last"] = True
    return values


@contextlib.contextmanager
def reporting(first: bool) -> Iterator[Watcher | None]:
    """Show a bar where a person watches, else the lines of the log; only one process reports."""
    if not first:
        logging.getLogger("frcrn").addHandler(logging.NullHandler())  # else Python itself prints the warnings
        yield None
    elif sys.stderr.isatty():
        with progress_bar(1, "train") as bar, scores_above(bar):

            def show(state: State) -> None:
                bar.note, bar.left = state.stage, state.seconds_left
                bar(state.share)

            yield show
    else:
        with listening(logging.StreamHandler(sys.stderr)):
            yield None


def scores_above(bar: Bar) -> contextlib.AbstractContextManager[None]:
    """Print the log's lines on scores and stages above a bar."""

    class Above(logging.StreamHandler[Any]):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.getMessage().startswith("train "):
                bar.clear()
                super().emit(record)

    return listening(Above(sys.stderr))


@contextlib.contextmanager
def listening(handler: logging.Handler) -> Iterator[None]:
    """Give the training log to a handler for a while."""
    logger = logging.getLogger("frcrn.training")
    level = logger.level
    handler.setFormatter(OneLine())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
