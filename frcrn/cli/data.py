"""`frcrn data mix|split|balance|check`."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frcrn.cli.common import progress_bar, show_help

if TYPE_CHECKING:
    from frcrn.data.check import CorpusReport
    from frcrn.data.corpus import Share

Commands = argparse._SubParsersAction  # noqa: SLF001
WRONG = 1
BAR = 40


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "data",
        help="mix, split, balance and check data",
        description="Mix, split, balance and check sets of speech and noise.",
    )
    parser.set_defaults(run=show_help(parser))
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND")
    _register_mix(kinds)
    _register_split(kinds)
    _register_balance(kinds)
    _register_check(kinds)


def _register_mix(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = """Write a set in the layout of the DNS Challenge:
    clean, noise and noisy files that share a file id, and manifest.csv. An
    interrupted run continues when the same command is given again."""
    parser = kinds.add_parser("mix", help="write noisy speech from folders of speech and noise", description=text)
    parser.add_argument(
        "--speech", action="append", default=[], metavar="DIR", help="a folder of speech; may be repeated"
    )
    parser.add_argument(
        "--noise", action="append", default=[], metavar="DIR", help="a folder of noise; may be repeated"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder to write")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--count", type=int, metavar="N", help="clips to write (default: 100)")
    size.add_argument("--hours", type=float, metavar="H", help="or hours to write")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a clip (default: 10)")
    parser.add_argument(
        "--snr", type=float, nargs=2, metavar=("LOW", "HIGH"), help="the range of SNR in dB (default: -5 20)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--rate", type=int, default=16000, metavar="HZ", help="sample rate to write (default: 16000)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a JSON file with more settings of the mixing")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting, such as room_share=0.5"
    )
    parser.add_argument("--cache", metavar="FILE", help="store the decoded audio in this file for later runs")
    parser.add_argument("--force", action="store_true", help="replace a set that was mixed with other settings")
    parser.set_defaults(run=run_mix)


def _register_split(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = """Copy a corpus into OUT/train and OUT/test by speaker and source. Sources are the folders in FOLDER; the
    speaker is what --speaker finds in SOURCE/NAME, else the folder in the source, else the file."""
    parser = kinds.add_parser("split", help="divide a corpus into train and test by speaker", description=text)
    _add_places(parser)
    parser.add_argument("--share", type=float, default=0.8, help="the share of the seconds for train (default: 0.8)")
    parser.add_argument("--speaker", default="", metavar="REGEX", help="what in a name is the speaker, its first group")
    parser.set_defaults(run=run_split)


def _register_balance(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = "Copy files drawn at random, the same number of seconds from each folder in FOLDER, say one a language."
    parser = kinds.add_parser("balance", help="take equal amounts from each folder", description=text)
    _add_places(parser)
    parser.add_argument(
        "--hours", type=float, metavar="H", help="hours in all (default: as many as the smallest folder allows)"
    )
    parser.set_defaults(run=run_balance)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="the corpus")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the folder to write")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--link", action="store_true", help="write symbolic links instead of copies")
    parser.add_argument("--force", action="store_true", help="replace a folder that this command wrote before")


def _register_check(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = """Look for files that are unreadable, silent, clipped, short, without a partner, or
    that are in the test set too. Exit code 1 if there are problems."""
    parser = kinds.add_parser("check", help="find problems in a corpus", description=text)
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="folders of audio, or sets in the layout of the DNS Challenge"
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


@contextmanager
def _watched(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function of (done, total) that moves a bar."""
    with progress_bar(1, label) as update:
        yield lambda done, total: update(done / max(total, 1))


def run_mix(args: argparse.Namespace) -> int:
    """Write a mixed set."""
    from frcrn.config import build
    from frcrn.data import Mixing, MixingConfig
    from frcrn.data.cache import open_cache
    from frcrn.data.mixed_set import write_mix

    with tempfile.TemporaryDirectory(prefix="frcrn-") as temporary:
        table = _mix_table(args) | {"cache": args.cache or f"{temporary}/audio.cache"}
        config = build(MixingConfig, table, "mix")
        with _watched("decode") as progress:
            open_cache(config.cache, [*config.speech, *config.noise], args.rate, progress=progress)
        mixing = Mixing(config, args.rate, args.seed)
        with _watched("mix") as progress:
            write_mix(mixing, args.output, force=args.force, progress=progress)
    print(f"{args.output}: {config.length} clips, {config.length * config.seconds / 3600:.2f} h")
    return 0


def _mix_table(args: argparse.Namespace) -> dict[str, Any]:
    """Return the mixing's keys: those of the file, then those of the options, then the single changes."""
    from frcrn.training.recipe import apply

    table: dict[str, Any] = {"seconds": 10.0, "split": "all"}
    if args.config:
        table |= _read_table(args.config)
    given = {"speech": args.speech, "noise": args.noise, "seconds": args.seconds, "snr_db": args.snr}
    table |= {key: value for key, value in given.items() if value}
    for change in args.set:
        apply(table, change)
    if "speech" not in table:
        raise ValueError("--speech: expected at least one folder of speech, found none")
    count = args.count if args.hours is None else max(1, round(args.hours * 3600 / table["seconds"]))
    return table | {"length": table.get("length", 100) if count is None else count}


def _read_table(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a table in JSON, found {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: expected a table in JSON, found {type(table).__name__}")
    return {key: value for key, value in table.items() if key != "kind"}


def run_split(args: argparse.Namespace) -> int:
    """Divide a corpus."""
    from frcrn.data.corpus import split

    return _arranged(split, args, share=args.share, speaker=args.speaker)


def run_balance(args: argparse.Namespace) -> int:
    """Balance a corpus."""
    from frcrn.data.corpus import balance

    return _arranged(balance, args, hours=args.hours)


def _arranged(arrange: Callable[..., dict[str, Share]], args: argparse.Namespace, **options: Any) -> int:
    with _watched(arrange.__name__) as progress:
        shares = arrange(
            args.folder,
            args.output,
            seed=args.seed,
            link=args.link,
            force=args.force,
            progress=progress,
            **options,
        )
    _print_shares(args.output, shares)
    return 0


def _print_shares(output: str, shares: dict[str, Share]) -> None:
    total = sum(share.seconds for share in shares.values())
    for name, share in shares.items():
        speakers = len({item.speaker for item in share.items})
        known = f"{speakers} speakers, " if speakers < len(share.items) else ""
        part = share.seconds / max(total, 1e-9)
        print(f"{output}/{name}: {len(share.items)} clips, {known}{share.seconds / 3600:.3f} h, {part:.1%}")


def run_check(args: argparse.Namespace) -> int:
    """Say what is wrong."""
    from frcrn.data.check import Limits, check

    with _watched("check") as progress:
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
