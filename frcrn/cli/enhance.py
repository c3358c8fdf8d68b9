"""`frcrn enhance`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frcrn.cli.common import add_model_option, progress_bar, report_error

if TYPE_CHECKING:
    from frcrn.batch import Job, Outcome
    from frcrn.models.base import Enhancer

DESCRIPTION = """Take the noise out of audio files: wav, flac, ogg, opus or mp3, at any rate, with any number of
channels. One file goes to a file; several files or folders go into a folder, with the same tree, names and formats.
Files that fail are named and do not stop the others."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("enhance", help="take the noise out of audio files", description=DESCRIPTION)
    parser.add_argument("inputs", nargs="+", metavar="IN", help="an audio file, or a folder with such files")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the file or folder to write")
    add_model_option(parser)
    parser.add_argument("--strength", type=float, default=1.0, metavar="S", help="how much noise goes, 0 to 1 (1)")
    parser.add_argument(
        "--max-attenuation-db", type=float, metavar="DB", help="keep at least this much of the input (no limit)"
    )
    parser.add_argument("--residual", action="store_true", help="write what is removed instead of what is left")
    parser.add_argument("--mono", action="store_true", help="mix the channels; otherwise each one is enhanced")
    parser.add_argument(
        "--repair", action="store_true", help="put zeros for NaN and Inf samples, and take what is left of cut files"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Enhance everything, naming what failed."""
    from frcrn import batch
    from frcrn.checkpoint import load
    from frcrn.enhance import checked_mix

    checked_mix(args.strength, args.max_attenuation_db, args.residual)
    jobs = batch.plan(args.inputs, args.output)
    model = load(args.model).optimize()
    outcomes = []
    for outcome in batch.run(jobs, lambda source, target: _enhance(args, model, source, target)):
        _report(outcome)
        outcomes.append(outcome)
    return _summary(jobs, outcomes)


def _enhance(args: argparse.Namespace, model: Enhancer, source: Path, target: Path) -> None:
    from frcrn.enhance import enhance_file

    with progress_bar(1, str(source)) as progress:
        enhance_file(
            source,
            target,
            model=model,
            strength=args.strength,
            max_attenuation_db=args.max_attenuation_db,
            residual=args.residual,
            mono=args.mono,
            repair=args.repair,
            progress=progress,
        )


def _report(outcome: Outcome) -> None:
    """Say what became of one file."""
    if outcome.error is None:
        print(f"{outcome.job.source} -> {outcome.job.target}", flush=True)
    elif isinstance(outcome.error, (ValueError, OSError, ImportError)):
        report_error(outcome.error)
    else:
        unforeseen = f"{outcome.job.source}: {type(outcome.error).__name__}: {outcome.error}"
        report_error(RuntimeError(unforeseen))


def _summary(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> int:
    """Say how many failed, where there were several; return the exit code."""
    failed = sum(outcome.error is not None for outcome in outcomes)
    if len(jobs) > 1:
        stream = sys.stderr if failed else sys.stdout
        print(f"{len(jobs) - failed} of {len(jobs)} files enhanced, {failed} failed", file=stream)
    return 2 if failed else 0
