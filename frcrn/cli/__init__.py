"""The command line: `frcrn COMMAND ...`, the same as `python -m frcrn`."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence

from frcrn.cli.common import report_error, show_help
from frcrn.cli.signals import terminable

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
    came: list[int] = []
    try:
        with terminable() as came:
            open_standard_streams()
            args = build_parser().parse_args(argv)
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
    except (ValueError, OSError, ImportError, MemoryError) as error:
        if came:  # it was raised within code that says all that goes wrong as an error of its own
            return 128 + came[-1]
        report_error(error)
        return FAILED


def open_standard_streams() -> None:
    """Open what is closed of input, output and errors; a file of ours would take its number, and what is printed."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if getattr(sys.stdout, "errors", None) == "strict":  # a name that cannot be written there ends no work
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


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
