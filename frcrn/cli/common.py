"""What the commands share: options, messages, progress."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Update = Callable[[float], None]

_WIDTH = 30
_EVERY = 0.1  # seconds between two drawings


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add --model, which takes what `frcrn.load` takes."""
    parser.add_argument(
        "-m",
        "--model",
        default="default",
        metavar="M",
        help="a model's name, a model directory or a checkpoint file (default: the bundled model)",
    )


def sentence(error: BaseException) -> str:
    """Say an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        named = error.filename if isinstance(error.filename, (str, bytes)) else None
        text = f"{named!s}: {error.strerror}" if named else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


def report_error(error: BaseException) -> None:
    """Write one line to stderr."""
    print(f"frcrn: {sentence(error)}", file=sys.stderr)


@contextmanager
def progress_bar(total: int, label: str) -> Iterator[Update]:
    """Give a function to call with how much of `total` is done; it draws only where a person watches."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    drawn = 0.0

    def update(done: float) -> None:
        nonlocal drawn
        if time.monotonic() - drawn > _EVERY:
            drawn = time.monotonic()
            share = min(1.0, done / max(total, 1))
            bar = "#" * int(share * _WIDTH)
            sys.stderr.write(f"\r\x1b[K{label} [{bar:<{_WIDTH}}] {share:4.0%}")
            sys.stderr.flush()

    try:
        yield update
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
