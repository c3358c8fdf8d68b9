"""The command line: `frcrn COMMAND ...`, the same as `python -m frcrn`."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from frcrn.cli.common import report_error, show_help

GROUPS = ("enhance", "demo", "train", "evaluate", "data", "stream", "live", "export", "convert", "bench", "completion")

FAILED = 2
INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 an error said in one sentence, 130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        with terminable():
            code = int(args.run(args))
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        print("frcrn: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # who read our output has left; Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ValueError, OSError, ImportError) as error:
        report_error(error)
        return FAILED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with the commands of every group."""
    from frcrn import __version__

    parser = argparse.ArgumentParser(prog="frcrn", description="Remove noise from speech.")
    parser.add_argument("--version", action="version", version=f"frcrn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(run=show_help(parser))
    for group in GROUPS:
        importlib.import_module(f"frcrn.cli.{group}").register(commands)
    return parser


@contextmanager
def terminable() -> Iterator[None]:
    """Leave by an exception when told to terminate, so that nothing half-written stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
