"""`frcrn bench`."""

from __future__ import annotations

import argparse
import json

from frcrn.cli.common import place, progress_bar
from frcrn.config import FOR_STREAMS

DESCRIPTION = """Measure the speed of a model on this machine: parameters, multiplications per second of audio (GMAC),
latency by design, the time of each frame (median, 99th
percentile, worst, the share under half a frame), the real-time factor and
the peak of memory, on one thread and on two, with each runtime that is installed; --vs measures further models
in the same run. An ONNX export, or a graph in it, is measured in ONNX Runtime."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("bench", help="measure the speed of models on this machine", description=DESCRIPTION)
    parser.add_argument(
        "model", nargs="?", default=FOR_STREAMS, metavar="MODEL", help=f"a model or export (default: {FOR_STREAMS})"
    )
    parser.add_argument(
        "--vs",
        nargs="+",
        default=[],
        metavar="OTHER",
        help="more models, exports, or JSON files of ONNX peers; NAME=PLACE names one",
    )
    parser.add_argument(
        "--runtimes",
        nargs="+",
        metavar="R",
        help="torch, onnx, openvino, native, or native:bf16 and torch:bf16 in that precision (default: installed ones)",
    )
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[1, 2], metavar="N", help="numbers of threads (default: 1 2)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="seconds of audio (default: 10.0)")
    parser.add_argument(
        "--no-memory", action="store_true", help="do not measure memory, which needs a process per model"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("-o", "--output", type=place, metavar="DIR", help="write bench.md and bench.json there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    from frcrn.evaluation.speed.benchmark import benchmark
    from frcrn.evaluation.speed.tables import markdown
    from frcrn.files import refuse_links, refuse_no_folder, refuse_others, write_text
    from frcrn.texts import read_json

    if args.output:
        refuse_no_folder(args.output)
        tables = [args.output / name for name in ("bench.md", "bench.json")]
        refuse_links(*tables)
        refuse_others(tables, lambda: "speeds" in read_json(tables[1]))
    with progress_bar(1, "bench") as progress:
        result = benchmark(
            [args.model, *args.vs],
            runtimes=args.runtimes,
            threads=args.threads,
            seconds=args.seconds,
            memory=not args.no_memory,
            progress=progress,
        )
    texts = {"md": markdown(result), "json": json.dumps(result.as_dict(), indent=2) + "\n"}
    print(texts["json" if args.json else "md"], end="")
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        for path in reversed(tables):  # that by which they are known first
            write_text(path, texts[path.suffix[1:]])
    return 0
