"""`frcrn stream`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, BinaryIO

from frcrn.cli.common import add_band_option, add_model_option, add_runtime_option, named, set_threads, show_log
from frcrn.config import FOR_STREAMS

if TYPE_CHECKING:
    from frcrn.inference.network import Network

DESCRIPTION = """Remove noise from audio in a pipe, in real time: raw samples or wav. Audio is written as soon
as it is ready.
The output is as long as the input."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    stream = commands.add_parser(
        "stream", help="remove noise from audio in a pipe, in real time", description=DESCRIPTION
    )
    stream.add_argument(
        "source",
        type=named,
        nargs="?",
        default="-",
        metavar="IN",
        help="a file or named pipe (default: -, standard input)",
    )
    stream.add_argument(
        "--format",
        default="auto",
        metavar="F",
        help="wav, or raw samples as s16le, f32le, s24le, s32le, u8 or f64le (default: auto, wav or "
        "s16le by the header, and wav output; with a raw format, raw output)",
    )
    stream.add_argument("--rate", type=int, metavar="HZ", help="sample rate of raw samples (default: the model's)")
    stream.add_argument("--channels", type=int, metavar="N", help="channels of raw samples (default: 1)")
    stream.add_argument(
        "--vad",
        type=named,
        metavar="CSV",
        help="at the end also write where speech was, a row for each stretch with file, start, end and its mean "
        "probability; for models that say so, such as an rnnoise",
    )
    add_model(stream)
    stream.set_defaults(run=run)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options of a network that runs live."""
    add_model_option(parser, FOR_STREAMS)
    parser.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="how much noise to remove, 0 to 1 (default: 1.0)"
    )
    add_runtime_option(parser)
    add_band_option(parser)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the network (default: 1)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print log messages")


def run(args: argparse.Namespace) -> int:
    """Enhance from standard input, or a file, to standard output."""
    if sys.stdout.isatty():
        raise ValueError("standard output is a terminal; send the sound to a file or a program: frcrn stream - > FILE")
    if args.source != "-":
        with open(args.source, "rb") as source:
            return _pass_through(args, source, args.source)
    if sys.stdin.isatty():
        raise ValueError("standard input is a terminal; send sound into it: frcrn stream - < FILE > FILE")
    return _pass_through(args, sys.stdin.buffer, "standard input")


def load_model(args: argparse.Namespace) -> Network:
    """Load the model in its runtime, with as many threads as wanted; single hops gain nothing from a second one."""
    from frcrn.inference.opening import open_network

    if args.verbose:
        show_log()
    if args.threads < 1:
        raise ValueError(f"--threads {args.threads}: at least 1 is needed")
    set_threads(args.threads)
    return open_network(args.model, args.runtime, args.threads, args.device, live=True, precision=args.precision)


def _pass_through(args: argparse.Namespace, source: BinaryIO, name: str) -> int:
    from frcrn.files import refuse_written_over
    from frcrn.inference.pipes import pass_through
    from frcrn.inference.voice_activity import refuse_taken, require_speech

    refuse_written_over(sys.stdout.buffer, [source], "standard output")
    if args.vad is not None:
        refuse_taken(args.vad, [source], [sys.stdout.buffer], args.model)
    network = load_model(args)
    trouble = pass_through(
        network if args.vad is None else require_speech(network, args.model),
        source,
        sys.stdout.buffer,
        name=name,
        form=args.format,
        rate=args.rate,
        channels=args.channels,
        strength=args.strength,
        band=args.band,
        vad=args.vad,
    )
    if trouble:
        print(f"frcrn: {name}: {trouble}", file=sys.stderr)
    return 0
