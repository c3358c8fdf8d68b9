"""`frcrn data split|balance|cut`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from frcrn.cli.common import named, watched

if TYPE_CHECKING:
    from frcrn.data.corpus import Share

Commands = argparse._SubParsersAction  # noqa: SLF001
SPEAKER = "what in SOURCE/NAME is the speaker, its first group"


def add_commands(kinds: Commands[argparse.ArgumentParser]) -> None:
    """Add the three commands to those of `frcrn data`."""
    _register_split(kinds)
    _register_balance(kinds)
    _register_cut(kinds)


def _register_split(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = """Copy a corpus into OUT/train and OUT/test by speaker and source. Sources are the folders in FOLDER; the
    speaker is what --speaker finds in SOURCE/NAME, else the folder in the source, else the file."""
    parser = kinds.add_parser("split", help="divide a corpus into train and test by speaker", description=text)
    _add_places(parser)
    _add_drawing(parser)
    parser.add_argument("--share", type=float, default=0.8, help="the share of the seconds for train (default: 0.8)")
    parser.add_argument("--speaker", default="", metavar="REGEX", help=SPEAKER)
    parser.set_defaults(run=run_split)


def _register_balance(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = "Copy files drawn at random, the same number of seconds from each folder in FOLDER, say one a language."
    parser = kinds.add_parser("balance", help="take equal amounts from each folder", description=text)
    _add_places(parser)
    _add_drawing(parser)
    parser.add_argument(
        "--hours", type=float, metavar="H", help="hours in all (default: as many as the smallest folder allows)"
    )
    parser.set_defaults(run=run_balance)


def _register_cut(kinds: Commands[argparse.ArgumentParser]) -> None:
    text = """Join the recordings of each speaker, with a pause between them, and cut them into clips of one length, in
    wav files with one channel. The speaker is what --speaker finds in SOURCE/NAME, else the folder in the source;
    where neither is known, all of a source is joined."""
    parser = kinds.add_parser(
        "cut", help="join short recordings and cut them into clips of one length", description=text
    )
    _add_places(parser)
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="length of a clip (default: 10.0)")
    parser.add_argument(
        "--pause", type=float, default=0.1, metavar="S", help="silence between two recordings (default: 0.1)"
    )
    parser.add_argument("--rate", type=int, default=16000, metavar="HZ", help="sample rate to write (default: 16000)")
    parser.add_argument("--speaker", default="", metavar="REGEX", help=SPEAKER)
    parser.add_argument(
        "--keep-rest",
        action="store_true",
        help="write what is left of a speaker as a shorter clip (default: leave it out)",
    )
    parser.set_defaults(run=run_cut)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "An interrupted run continues when the same command is given again; OUT appears when it is complete."
    )
    parser.add_argument("folder", type=named, metavar="FOLDER", help="the corpus")
    parser.add_argument("-o", "--output", type=named, required=True, metavar="OUT", help="the folder to write")
    parser.add_argument("--force", action="store_true", help="replace a folder that this command wrote before")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, only say what would be written")


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--link", action="store_true", help="write symbolic links instead of copies")


def run_split(args: argparse.Namespace) -> int:
    """Divide a corpus."""
    from frcrn.data.corpus import split

    return _arranged(split, args, share=args.share, speaker=args.speaker, seed=args.seed, link=args.link)


def run_balance(args: argparse.Namespace) -> int:
    """Balance a corpus."""
    from frcrn.data.corpus import balance

    return _arranged(balance, args, hours=args.hours, seed=args.seed, link=args.link)


def run_cut(args: argparse.Namespace) -> int:
    """Join and cut a corpus."""
    from frcrn.data.cutting import Cutting, cut

    how = Cutting(args.seconds, args.pause, args.rate, args.keep_rest)
    return _arranged(cut, args, how=how, speaker=args.speaker)


def _arranged(arrange: Callable[..., Mapping[str, Share]], args: argparse.Namespace, **options: Any) -> int:
    with watched(arrange.__name__) as progress:
        shares = arrange(args.folder, args.output, force=args.force, dry_run=args.dry_run, progress=progress, **options)
    print_shares(args.output, shares, dry_run=args.dry_run)
    return 0


def print_shares(output: str, shares: Mapping[str, Share], *, dry_run: bool) -> None:
    """Print how much there is of each part."""
    total = sum(share.seconds for share in shares.values())
    for name, share in shares.items():
        speakers = len({item.speaker for item in share.items})
        known = f"{speakers} speakers, " if speakers < len(share.items) else ""
        part = share.seconds / max(total, 1e-9)
        print(f"{output}/{name}: {len(share.items)} clips, {known}{share.seconds / 3600:.3f} h, {part:.1%}")
    if dry_run:
        print("nothing written (--dry-run)")
