"""`frcrn export`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from frcrn.cli.common import named

if TYPE_CHECKING:
    from frcrn.export.onnx.folder import Graphs
    from frcrn.models import Enhancer

MOST_LOST = 0.05
"""PESQ that an int8 graph may lose."""

DESCRIPTION = """Write a network as ONNX graphs into a folder that runs without torch and without this package: the
graph of one hop with its states, for streams, where the network can stream; the graph of a whole wave; a description
(frcrn.json); and two programs that enhance a wav file with them, in Python and in JavaScript. Each graph is compared
with the network over 10 s of noisy speech before anything is written. With --format c it is a program for streams in C,
with its sources, that needs nothing but a C compiler. With --format web it is a package for the browser: WebAssembly,
an audio node that uses it, and a page to try it with. With --format ladspa it is a plugin for PipeWire and for audio
programs on Linux, with a configuration that makes a noise-free microphone. With --format c-int8 an nnse is written as
tables of 8-bit weights and a program without floating point, for microcontrollers, with a check of both."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("export", help="write a network as ONNX graphs or in C", description=DESCRIPTION)
    parser.add_argument(
        "model",
        nargs="?",
        default="default",
        metavar="MODEL",
        help="a model's name, directory or checkpoint (default: bundled)",
    )
    parser.add_argument("-o", "--output", type=named, required=True, metavar="DIR", help="the folder to write")
    formats = ["onnx", "c", "c-int8", "ladspa", "web"]
    parser.add_argument("--format", choices=formats, default="onnx", help="the format to write (default: onnx)")
    parser.add_argument("--int8", action="store_true", help="also write a smaller graph with 8-bit integer weights")
    parser.add_argument(
        "--calibrate",
        metavar="FOLDER",
        help="for --int8: noisy and clean clips in FOLDER/noisy and FOLDER/clean (default: the bundled sample)",
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        metavar="P",
        help="refuse an int8 graph that loses more PESQ than this, or ten times as many dB of SI-SDR (default: 0.05)",
    )
    parser.add_argument(
        "--net-id", type=int, metavar="N", help="for c-int8: a number in the names of files (default: 0)"
    )
    parser.add_argument("--net-name", metavar="NAME", help="for c-int8: what the network is called in C (default: se)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, and say what was written."""
    from frcrn.files import refuse_no_folder
    from frcrn.inference.network import unlevelled
    from frcrn.models.checkpoint import load

    if not args.int8 and args.calibrate:
        raise ValueError("--calibrate belongs to --int8; give both")
    if args.int8 and args.format != "onnx":
        raise ValueError("--int8 belongs to --format onnx; a program in C is in single precision")
    if args.format != "c-int8" and (args.net_id, args.net_name) != (None, None):
        raise ValueError("--net-id and --net-name belong to --format c-int8")
    if args.max_loss is not None and not args.int8:
        raise ValueError("--max-loss belongs to --int8; give both")
    if args.max_loss is not None and not args.max_loss >= 0:
        raise ValueError(f"--max-loss {args.max_loss}: accepted are numbers from 0")
    refuse_no_folder(args.output)
    model = load(args.model)
    forms = {"web": _for_the_browser, "c": _in_c, "c-int8": _in_whole_numbers, "ladspa": _as_plugin, "onnx": _in_onnx}
    forms[args.format](args, model)
    if model.streams and (left_out := unlevelled(model)) is not None:
        print(f"note: {left_out}")
    return 0


def _in_onnx(args: argparse.Namespace, model: Enhancer) -> None:
    import json

    from frcrn.export.onnx.folder import export

    path = export(model, args.output, more=_in_int8(args, model) if args.int8 else None)
    about = json.loads(path.read_text(encoding="utf-8"))
    for graph in about["graphs"].values():
        size = (path.parent / graph["file"]).stat().st_size / 1e6
        print(f"{path.parent / graph['file']}: {size:.1f} MB, {_how_exact(graph)}")
    if "step" not in about["graphs"]:
        ahead = about["lookahead"] / about["sample_rate"]
        print(f"no graph of one hop: this network looks {ahead:g} s ahead and cannot stream; causal ones can")
    print(f"{path}: shapes, states and hashes; run.py and run.js beside it enhance a wav file")


def _in_c(args: argparse.Namespace, model: Enhancer) -> None:
    import json

    from frcrn.export.native.folder import PROGRAM, RUNNER, export_program

    path = export_program(model, args.output)
    exact = json.loads(path.read_text(encoding="utf-8"))["parity"]["largest_difference"]
    size = (path.parent / PROGRAM).stat().st_size / 1e6
    print(f"{path.parent / PROGRAM}: {size:.1f} MB, at most {exact:.1e} off")
    print(f"{path.parent / RUNNER}: enhances raw sound with it, and says how to compile; the interface is in frcrn.h")


def _for_the_browser(args: argparse.Namespace, model: Enhancer) -> None:
    from frcrn.export.native.folder import PROGRAM
    from frcrn.export.web.folder import WASM, export_web

    page = export_web(model, args.output)
    for name in (PROGRAM, WASM):
        print(f"{page.with_name(name)}: {page.with_name(name).stat().st_size / 1e6:.2f} MB")
    print(f"{page}: a page to try it with; python -m http.server -d {args.output}, then http://localhost:8000")


def _in_whole_numbers(args: argparse.Namespace, model: Enhancer) -> None:
    import json

    from frcrn.export.fixed.folder import export_fixed

    given = {"number": args.net_id, "name": args.net_name}
    path = export_fixed(model, args.output, **{key: value for key, value in given.items() if value is not None})
    about = json.loads(path.read_text(encoding="utf-8"))
    tables, memory = about["table_bytes"] / 1000, about["memory_bytes"] / 1000
    print(f"{path.parent / ('def_' + about['network'] + '.c')}: {tables:.1f} kB of tables, {memory:.1f} kB of memory")
    print(f"{about['si_sdr_to_float_db']:.1f} dB between the output in floating point and what the rounding changed")
    print(f"{path.parent / 'check.c'}: compares it with the reference; cc -O2 -o check {path.parent}/*.c && ./check")


def _as_plugin(args: argparse.Namespace, model: Enhancer) -> None:
    from pathlib import Path

    from frcrn.export.ladspa.folder import MICROPHONE, PLUGINS, README, export_ladspa

    about, folder = export_ladspa(model, args.output), Path(args.output)
    for name in PLUGINS.values():
        size = (folder / name).stat().st_size / 1e6
        print(f"{folder / name}: {size:.1f} MB, at most {about['largest_difference']:.1e} off")
    late = 1000 * about["latency"] / about["rate"]
    print(f"{folder / MICROPHONE}: makes a noise-free microphone in PipeWire, {late:.0f} ms late")
    print(f"{folder / README}: how to use them")


def _in_int8(args: argparse.Namespace, model: Enhancer) -> Callable[[Graphs], Graphs]:
    from frcrn.evaluation.int8 import clips, int8

    pairs = clips(args.calibrate, model.sample_rate)
    loss = MOST_LOST if args.max_loss is None else args.max_loss

    def more(graphs: Graphs) -> Graphs:
        name = next(iter(graphs))  # the graph of one hop, if there is one
        return {f"{name}_int8": int8(model, name, graphs[name], pairs, loss)}

    return more


def _how_exact(graph: dict[str, Any]) -> str:
    if "parity" in graph:
        return f"at most {graph['parity']['largest_difference']:.1e} off"
    before, after = graph["quality"]["fp32"], graph["quality"]["int8"]
    return (
        f"PESQ {after['pesq']:.3f} (fp32 {before['pesq']:.3f}), SI-SDR {after['si_sdr']:.2f} dB "
        f"(fp32 {before['si_sdr']:.2f}); clips scored: {graph['quality']['clips_scored']}"
    )
