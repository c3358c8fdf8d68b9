"""What the commands share: options, messages, progress."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from frcrn.config import PRECISIONS
from frcrn.visible import OneLine, visible

RUNTIMES = ["auto", "native", "onnx", "openvino", "torch"]
"""What `frcrn.inference.opening` knows, here so that options need not wait for numpy."""

DEVICES = ["auto", "cpu", "cuda"]
MOST_THREADS = 4
"""More gain a network of this size nothing."""
_WIDTH = 30
_EVERY = 0.1  # seconds between two drawings
_SETTLED = 2.0  # seconds before the time left is worth saying


def add_model_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --model, which takes what `frcrn.load` takes."""
    parser.add_argument(
        "-m",
        "--model",
        default=default,
        metavar="M",
        help=f"a model's name, a model directory or a checkpoint file (default: {default}, which is bundled)",
    )


def named(text: str) -> str:
    """Take the name of a file or folder; one without letters, which would be the working folder, is refused."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name: expected a file or folder; is a variable of the shell empty?")
    return text


def place(text: str) -> Path:
    """Take the name of a file or folder as a path."""
    return Path(named(text))


def show_help(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Return what a command without its subcommand runs: print the help."""

    def run(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    return run


def sentence(error: BaseException) -> str:
    """Say an error in one line, in characters that can be seen."""
    if isinstance(error, ImportError) and isinstance(error.__cause__, ImportError) and "\n" in str(error).strip():
        error = error.__cause__  # numpy's page of advice ends with what was wrong
    if isinstance(error, OSError) and error.strerror:
        named = error.filename if isinstance(error.filename, (str, bytes)) else None
        text = f"{named!s}: {error.strerror}" if named else error.strerror
    else:
        text = str(error) or type(error).__name__
    return visible(" ".join(text.split()))


def report_error(error: BaseException) -> None:
    """Write one line to stderr."""
    print(f"frcrn: {sentence(error)}", file=sys.stderr)


class Bar:
    """One line on stderr: what, how much of `total`, and after a while the time left; only where a person watches."""

    def __init__(self, total: float, label: str) -> None:
        self.total, self.label, self.note = total, label, ""
        self.left: float | None = None
        """Seconds left, where the caller knows them better than this run's pace tells."""
        self._watched = sys.stderr.isatty()
        self._drawn = self._credit = 0.0
        self._begun = time.monotonic()

    def __call__(self, done: float) -> None:
        """Draw how much is done, at most ten times a second."""
        now = time.monotonic()
        if self._watched and now - self._drawn > _EVERY:
            self._drawn = now
            share = min(1.0, done / max(self.total, 1e-9))
            text = f"{self.label} [{'#' * int(share * _WIDTH):<{_WIDTH}}] {share:4.0%} {self.note}"
            line = visible(f"{text} {self._left(done, now)}".rstrip())
            sys.stderr.write(f"\r\x1b[K{line[: width() - 1]}")  # a line that wraps could not be taken away
            sys.stderr.flush()

    def skip(self, amount: float) -> None:
        """Count something as done before, which says nothing about the time left."""
        self._credit += amount

    def clear(self) -> None:
        """Take the line away, so that another can be printed."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = 0.0

    def _left(self, done: float, now: float) -> str:
        if self.left is not None:
            return f"{clock(self.left)} left"
        worked, taken = done - self._credit, now - self._begun
        if worked <= 0 or taken < _SETTLED:
            return ""
        return f"{clock(taken * (self.total - done) / worked)} left"


def width() -> int:
    """Return how many letters a line of the terminal holds; 80 where it does not say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def clock(seconds: float) -> str:
    """Say a duration as 4:05 or 1:02:03."""
    minutes, second = divmod(round(max(0.0, seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


@contextmanager
def progress_bar(total: float, label: str) -> Iterator[Bar]:
    """Give a bar to call with how much of `total` is done."""
    bar = Bar(total, label)
    try:
        yield bar
    finally:
        bar.clear()


@contextmanager
def watched(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function of (done, total) that moves a bar."""
    with progress_bar(1, label) as update:
        yield lambda done, total: update(done / max(total, 1))


def add_runtime_option(parser: argparse.ArgumentParser) -> None:
    """Add --runtime, --precision and --device."""
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="auto",
        help="what runs the network; auto: native (in C) if that works here, else onnx if installed, else torch "
        "(default: auto)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="what the network multiplies in; bf16 is faster with native and torch on processors with AVX512-BF16, and "
        "less exact (default: fp32)",
    )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="cuda: run the network with torch on a GPU; auto: with the runtime torch, a GPU if there is one "
        "(default: auto)",
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add --device, where torch runs the network in any case."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="device that runs the network; auto: cuda if available (default: auto)",
    )


def show_log() -> None:
    """Print what is logged to stderr, as --verbose asks for."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("frcrn: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def choose_threads() -> None:
    """Take as many threads as cores are free, unless OMP_NUM_THREADS says how many.

    On a busy machine more threads wait for each other: the slowest one sets the pace.
    """
    from frcrn.machine import available_cores

    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if "OMP_NUM_THREADS" not in os.environ:
        set_threads(max(1, min(MOST_THREADS, round(available_cores() - busy))))


def compute_on_one_thread() -> None:
    """Leave the other cores to other processes, unless OMP_NUM_THREADS says otherwise.

    A network that is small gains little from more, and where all cores are busy the threads wait for each other.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        set_threads(1)


def set_threads(count: int) -> None:
    """Let torch use so many threads; it is not loaded for that."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
    else:
        os.environ["OMP_NUM_THREADS"] = str(count)  # torch reads it when it is loaded


def add_band_option(parser: argparse.ArgumentParser) -> None:
    """Add --band."""
    parser.add_argument(
        "--band",
        choices=["full", "speech"],
        default="full",
        help="full: clean and keep frequencies above 8 kHz; speech: remove them (default: full)",
    )
