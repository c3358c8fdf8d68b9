"""`frcrn evaluate` and `frcrn compare`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from frcrn.cli.common import add_device_option, compute_on_one_thread, place, progress_bar
from frcrn.config import FOR_RECORDINGS
from frcrn.texts import from_csv
from frcrn.visible import visible

if TYPE_CHECKING:
    from frcrn.data.pairs import Pairs
    from frcrn.evaluation.evaluate import Options, Progress

WORSE = 1
"""The exit code of `compare --gate` where a system is worse than the first."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score a model on noisy and clean clips",
        description="Score a model on pairs of noisy and clean clips.",
    )
    evaluate.add_argument(
        "--model",
        "-m",
        default=FOR_RECORDINGS,
        help=f"a model, the JSON of an ONNX model, or a folder of enhanced files (default: {FOR_RECORDINGS}, bundled)",
    )
    evaluate.add_argument("-o", "--output", type=place, help="folder for scores.csv, summary.json and report.html")
    add_device_option(evaluate)
    _add_common(evaluate)
    evaluate.set_defaults(run=run_evaluate)

    compare = commands.add_parser(
        "compare",
        help="score several models on the same clips",
        description="Score several models on the same clips and compare each with the first.",
    )
    compare.add_argument(
        "systems",
        nargs="+",
        metavar="SYSTEM",
        help="two or more, the first one the reference: a model, the JSON of an ONNX peer, a folder of enhanced "
        "files, or `noisy` for the clips as they are; NAME=SYSTEM gives it a name",
    )
    compare.add_argument("-o", "--output", type=place, required=True, help="folder for tables, scores and report.html")
    compare.add_argument(
        "--gate",
        action="store_true",
        help="exit with 1 where any later system is worse than the first beyond the interval of the difference, "
        "fails on more clips, has fewer than 2 to compare, or does more harm to speech: its level 0.5 dB further from "
        "the clean one's, 2 %% more of its frames lost, 2 %% more clips over-suppressed",
    )
    _add_common(compare)
    compare.set_defaults(run=run_compare)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        "-d",
        nargs="+",
        required=True,
        metavar="PLACE",
        help="a folder with noisy and clean in it, a Hugging Face set on disk, or a noisy and a clean folder",
    )
    parser.add_argument("--split", help="which split of a Hugging Face set that has several")
    parser.add_argument("--metrics", metavar="A,B,...", help="scores to compute, or `all` (default: pesq,stoi,si_sdr)")
    parser.add_argument("--dnsmos", type=Path, metavar="DIR", help="score with the DNSMOS ONNX models in this folder")
    parser.add_argument("--wer", metavar="RECOGNISER", help="count word errors: pocketsphinx, or module:function")
    parser.add_argument(
        "--transcripts", type=Path, metavar="CSV", help="what is said, in columns clip (no ending) and text"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="scoring processes (default: one per core)")
    parser.add_argument(
        "--probes", type=int, default=20, metavar="N", help="clips to measure damage to speech on (default: 20)"
    )
    parser.add_argument("--fresh", action="store_true", help="start again instead of continuing")


def run_evaluate(args: argparse.Namespace) -> int:
    """Score one system and print its table."""
    from frcrn.evaluation.evaluate import run
    from frcrn.evaluation.report.page import write_report
    from frcrn.evaluation.report.tables import markdown
    from frcrn.evaluation.systems import Network, open_system
    from frcrn.inference.opening import placed

    pairs = _pairs(args)
    options = _options(args, pairs)
    compute_on_one_thread()  # the scores take the other cores
    system = open_system(args.model)
    if isinstance(system, Network):
        system.model = placed(system.model, args.device)
    with _progress(system.label) as progress:
        report = run(system, pairs, options, args.output, progress)
    print(markdown([report.summary]))
    if args.output:
        print(write_report(args.output, [report], [system], pairs, options.rate))
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """Score several systems, print their tables, and say who is worse."""
    from frcrn.evaluation.compare import compare
    from frcrn.evaluation.report.page import REPORT
    from frcrn.evaluation.systems import open_system

    pairs = _pairs(args)
    options = _options(args, pairs)
    compute_on_one_thread()
    found = compare([open_system(place) for place in args.systems], pairs, args.output, options, _progress)
    print(found.markdown)
    print(args.output / REPORT)
    if not args.gate:
        return 0
    for line in found.worse:
        print(f"worse: {line}", file=sys.stderr)
    return WORSE if found.worse else 0


@contextmanager
def _progress(label: str) -> Iterator[Progress]:
    with progress_bar(1, label) as bar:
        yield lambda done, total: bar(done / total)


def _pairs(args: argparse.Namespace) -> Pairs:
    from frcrn.evaluation.evaluate import open_pairs

    if len(args.data) > 2:
        raise ValueError(f"--data: {len(args.data)} places; accepted are one set, or a noisy and a clean folder")
    return open_pairs(*args.data, split=args.split)


def _options(args: argparse.Namespace, pairs: Pairs) -> Options:
    from frcrn.evaluation.evaluate import NAMES, Options
    from frcrn.evaluation.metrics.word_errors import open_recogniser

    for flag in ("workers", "probes"):
        value = getattr(args, flag)
        if value is not None and value < (flag == "workers"):
            raise ValueError(f"--{flag} {value}: accepted are whole numbers from {int(flag == 'workers')}")
    if args.transcripts and not args.wer:
        raise ValueError(f"--transcripts {args.transcripts}: needs --wer, which says who recognises the words")
    if args.wer and ":" in args.wer:
        # where a person keeps the module of a recogniser; last, so that nothing there passes for an installed package
        sys.path.append(os.getcwd())
    return Options(
        names=_names(args) if args.metrics is not None else NAMES,
        workers=args.workers,
        dnsmos_folder=args.dnsmos,
        recogniser=open_recogniser(args.wer) if args.wer else None,
        transcripts=_transcripts(args.transcripts, pairs.names) if args.transcripts else None,
        probes=args.probes,
        fresh=args.fresh,
    )


def _names(args: argparse.Namespace) -> tuple[str, ...]:
    from frcrn.evaluation.metrics.scores import HEADLINE, METRICS, check_names

    if args.metrics == "all":
        return tuple(name for name in METRICS if not name.startswith("dnsmos"))
    wanted = check_names(name.strip() for name in args.metrics.split(","))
    if missing := [name for name in HEADLINE if name not in wanted and getattr(args, "gate", False)]:
        raise ValueError(f"--gate judges {', '.join(HEADLINE)}; --metrics leaves out {', '.join(missing)}")
    return wanted


def _transcripts(path: Path, clips: Sequence[str]) -> dict[str, str]:
    try:
        rows = from_csv(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected comma-separated values in UTF-8") from None
    if rows and not {"clip", "text"} <= rows[0].keys():
        raise ValueError(f"{path}: expected the columns clip and text, found {', '.join(map(str, rows[0]))}")
    said: dict[str, str] = {}
    for row in rows:
        text = row["text"] or ""
        if said.setdefault(row["clip"], text) != text:
            raise ValueError(f"{path}: expected one text for the clip {row['clip']}, found two")
    without = [name for name in clips if name not in said]
    if len(without) == len(clips):
        found = f"no row for any clip; they are called like {clips[0]}"
        raise ValueError(f"{path}: expected the words of the clips in --data, found {found}")
    if without:
        print(
            visible(
                f"frcrn: {path}: {len(without)} of {len(clips)} clips are not in it, such as {without[0]}; they are "
                "compared with what the recogniser hears in their clean form"
            ),
            file=sys.stderr,
        )
    return said
