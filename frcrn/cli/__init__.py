"""The command line: `frcrn COMMAND ...`, the same as `python -m frcrn`."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from frcrn.cli.common import report_error, show_help

GROUPS = {
    "enhance": ["enhance"],
    "demo": ["demo", "info"],
    "train": ["train"],
    "evaluate": ["evaluate", "compare"],
    "data": ["data"],
    "stream": ["stream"],
    "live": ["live", "record"],
    "export": ["export"],
    "convert": ["convert"],
    "serve": ["serve"],
    "bench": ["bench"],
    "completion": ["completion"],
}
"""The modules of this package, and the commands that each adds."""

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
    for group, names in GROUPS.items():
        if importlib.util.find_spec(f"frcrn.cli.{group}"):
            importlib.import_module(f"frcrn.cli.{group}").register(commands)
        else:
            for name in names:
                _add_missing(commands, name)
    return parser


def _add_missing(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add a command that the runtime alone does not have, and that says so whatever it is given."""
    parser = commands.add_parser(name, add_help=False, prefix_chars="\0")  # not in the help; options are no mistake
    parser.add_argument("rest", nargs="*")

    def run(args: argparse.Namespace) -> int:
        raise ImportError(f"frcrn {name} needs the full package, and this is frcrn-runtime: pip install frcrn")

    parser.set_defaults(run=run)


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
