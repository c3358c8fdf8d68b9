"""`frcrn data` and its commands mix and check."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frcrn.cli import arrange
from frcrn.cli.common import named, show_help, watched
from frcrn.visible import visible

if TYPE_CHECKING:
    from frcrn.data import MixingConfig
    from frcrn.data.check import CorpusReport

Commands = argparse._SubParsersAction  # noqa: SLF001
WRONG = 1
BAR = 40


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "data",
        help="mix, split, balance, cut and check data",
        description="Mix, split, balance, cut and check sets of speech and noise.",
    )
    parser.set_defaults(run=show_help(parser))
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND")
    _register_mix(kinds)
    arrange.add_commands(kinds)
    _register_check(kinds)


def _register_mix(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = """Write a set in the layout of the DNS Challenge:
    clean, noise and noisy files that share a file id, and manifest.csv. An
    interrupted run continues when the same command is given again."""
    parser = kinds.add_parser("mix", help="write noisy speech from folders of speech and noise", description=text)
    parser.add_argument(
        "--speech", action="append", type=named, default=[], metavar="DIR", help="a folder of speech; may be repeated"
    )
    parser.add_argument(
        "--noise", action="append", type=named, default=[], metavar="DIR", help="a folder of noise; may be repeated"
    )
    parser.add_argument(
        "-o", "--output", type=named, metavar="DIR", help="the folder to write (default: what --config says)"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--count", type=int, metavar="N", help="clips to write (default: 100)")
    size.add_argument("--hours", type=float, metavar="H", help="or hours to write")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a clip (default: 10)")
    parser.add_argument(
        "--snr", type=float, nargs=2, metavar=("LOW", "HIGH"), help="the range of SNR in dB (default: -5 20)"
    )
    parser.add_argument("--seed", type=int, help="random seed (default: 0)")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate to write (default: 16000)")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="one file with all settings: a table in JSON, or a noisyspeech_synthesizer.cfg of the DNS Challenge; "
        "other options override it",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting, such as room_share=0.5"
    )
    parser.add_argument("--cache", metavar="FILE", help="store the decoded audio in this file for later runs")
    parser.add_argument("--force", action="store_true", help="replace a set that was mixed with other settings")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, only say what would be written")
    parser.set_defaults(run=run_mix)


def _register_check(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = """Look for files that are unreadable, silent, clipped, short, without a partner,
    copies of other files, or that are in the test set too. Exit code 1 if there are problems."""
    parser = kinds.add_parser("check", help="find problems in a corpus", description=text)
    parser.add_argument(
        "folders",
        nargs="+",
        type=named,
        metavar="FOLDER",
        help="folders of audio, or sets in the layout of the DNS Challenge",
    )
    parser.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="DIR",
        help="a test set, to find files that are also in it; may be repeated",
    )
    parser.add_argument(
        "--rate", type=int, metavar="HZ", help="report files of another sample rate (default: accept any)"
    )
    parser.add_argument(
        "--min-seconds", type=float, default=1.0, metavar="S", help="shortest accepted file (default: 1.0)"
    )
    parser.set_defaults(run=run_check)


def run_mix(args: argparse.Namespace) -> int:
    """Write a mixed set."""
    from frcrn.config import build
    from frcrn.data import Mixing, MixingConfig
    from frcrn.data.cache import open_cache
    from frcrn.data.mixed_set import write_mix
    from frcrn.data.new_folder import refuse_within
    from frcrn.data.synthesis import Own

    table, given = _mix_table(args)
    own = build(Own, given, "mix")
    output, rate, seed = own.output, own.rate, own.seed
    with tempfile.TemporaryDirectory(prefix="frcrn-") as temporary:
        config = build(MixingConfig, table | {"cache": args.cache or f"{temporary}/audio.cache"}, "mix")
        refuse_within(Path(output), [*config.speech, *config.noise, *config.rooms])
        config = replace(config, length=own.clips(config.length, config.seconds))
        if args.dry_run:
            return _announce(config, output, rate, seed)
        with watched("decode") as progress:
            open_cache(config.cache, [*config.speech, *config.noise], rate, progress=progress)
        mixing = Mixing(config, rate, seed)
        with watched("mix") as progress:
            write_mix(mixing, output, force=args.force, progress=progress)
    print(f"{output}: {config.length} clips, {config.length * config.seconds / 3600:.2f} h")
    return 0


def _announce(config: MixingConfig, output: str, rate: int, seed: int) -> int:
    """Say what would be mixed."""
    from frcrn.data.cache import list_folders

    for kind, folders in (("speech", config.speech), ("noise", config.noise)):
        print(f"{kind}: {len(list_folders(folders))} files in {', '.join(folders) or 'no folder'}")
    hours = config.length * config.seconds / 3600
    low, high = config.snr_db
    megabytes = 3 * 2 * config.length * config.seconds * rate / 1e6
    print(
        f"{output}: {config.length} clips, {hours:.2f} h, SNR {low:g} to {high:g} dB, {rate} Hz, seed {seed}, "
        f"{megabytes:.0f} MB"
    )
    print("nothing written (--dry-run)")
    return 0


def _mix_table(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the mixing's keys and the others: those of the file, then of the options, then the single changes."""
    from frcrn.data.synthesis import Plan, read_plan
    from frcrn.training.recipe import apply

    plan = read_plan(args.config) if args.config else Plan({}, {}, ())
    if plan.unused:
        print(visible(f"frcrn: {args.config}: not used here: {', '.join(plan.unused)}"), file=sys.stderr)
    table: dict[str, Any] = {"seconds": 10.0, "length": 100, "split": "all"} | plan.mixing
    given = {"speech": args.speech, "noise": args.noise, "seconds": args.seconds, "snr_db": args.snr}
    table |= {key: value for key, value in given.items() if value not in (None, [])}
    for change in args.set:
        apply(table, change)
    if "speech" not in table:
        raise ValueError("--speech: expected at least one folder of speech, found none")
    own = plan.own | {key: getattr(args, key) for key in ("output", "rate", "seed") if getattr(args, key) is not None}
    if "output" not in own:
        raise ValueError("--output: expected the folder to write, here or in the file of --config, found none")
    size = ("count", "hours")
    if any(getattr(args, key) is not None for key in size):
        own |= {key: getattr(args, key) for key in size}
    return table, own


def run_check(args: argparse.Namespace) -> int:
    """Say what is wrong."""
    from frcrn.data.check import Limits, check

    with watched("check") as progress:
        report = check(args.folders, args.test, Limits(args.rate, args.min_seconds), progress)
    for finding in report.findings:
        print(f"{finding.kind}: {finding.path}: {finding.detail}")
    _print_summary(report)
    return WRONG if report.findings else 0


def _print_summary(report: CorpusReport) -> None:
    print(f"{report.files} files, {report.seconds / 3600:.3f} h")
    if report.snr_db:
        most = max(count for _, count in report.histogram())
        print("SNR over active speech:")
        for label, count in report.histogram():
            print(f"  {label:>14} {count:6d} {'#' * round(BAR * count / max(most, 1))}".rstrip())
    counts = report.counts()
    print("wrong: " + (", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"))
