"""`frcrn stream`."""

from __future__ import annotations

import argparse
import sys
from importlib import util
from typing import TYPE_CHECKING, BinaryIO

from frcrn.cli.common import RUNTIMES, add_band_option, add_device_option, add_model_option

if TYPE_CHECKING:
    from frcrn.models.base import Enhancer

DESCRIPTION = """Remove noise from audio in a pipe, in real time: raw samples or wav. Audio is written as soon
as it is ready.
The output is as long as the input."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    stream = commands.add_parser(
        "stream", help="remove noise from audio in a pipe, in real time", description=DESCRIPTION
    )
    stream.add_argument(
        "source", nargs="?", default="-", metavar="IN", help="a file or named pipe (default: -, standard input)"
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
    add_model(stream)
    stream.set_defaults(run=run)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options of a network that runs live."""
    add_model_option(parser)
    parser.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="how much noise to remove, 0 to 1 (default: 1.0)"
    )
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help="the runtime of the network (default: the fastest installed of native, onnx, torch)",
    )
    add_band_option(parser)
    add_device_option(parser)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the network (default: 1)")


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


def load_model(args: argparse.Namespace) -> Enhancer:
    """Load the model in its runtime, with as many threads as wanted; single hops gain nothing from a second one."""
    import torch

    from frcrn.export.runtime import with_runtime
    from frcrn.inference.one_file import placed
    from frcrn.models.checkpoint import load

    if args.threads < 1:
        raise ValueError(f"--threads {args.threads}: at least 1 is needed")
    torch.set_num_threads(args.threads)
    model = load(args.model)
    if model.lookahead:
        return model  # a stream refuses it, and says why
    if args.device == "cuda":
        if args.runtime not in (None, "torch"):
            raise ValueError(f"--device cuda: runs with --runtime torch, not {args.runtime}")
        return placed(with_runtime(model), "cuda")
    if args.runtime:
        return with_runtime(model, args.runtime, args.threads, live=True)
    return _fastest(model, args.threads)


def _fastest(model: Enhancer, threads: int) -> Enhancer:
    """Return what `frcrn bench` finds fastest hop by hop; networks of others stay with torch."""
    from frcrn.audio import MissingPackage
    from frcrn.export.runtime import with_runtime
    from frcrn.models import FrameEnhancer, MaskEnhancer

    if not isinstance(model, (MaskEnhancer, FrameEnhancer)):
        return with_runtime(model)
    try:
        return with_runtime(model, "native")
    except MissingPackage:  # no C compiler, or none that works
        installed = all(util.find_spec(name) for name in ("onnx", "onnxruntime"))
        return with_runtime(model, "onnx" if installed else "torch", threads, live=True)


def _pass_through(args: argparse.Namespace, source: BinaryIO, name: str) -> int:
    from frcrn.inference.pipes import pass_through

    trouble = pass_through(
        load_model(args),
        source,
        sys.stdout.buffer,
        name=name,
        form=args.format,
        rate=args.rate,
        channels=args.channels,
        strength=args.strength,
        band=args.band,
    )
    if trouble:
        print(f"frcrn: {name}: {trouble}", file=sys.stderr)
    return 0
