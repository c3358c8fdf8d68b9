"""`frcrn export`."""

from __future__ import annotations

import argparse

DESCRIPTION = """Write a network as ONNX graphs into a folder that runs without torch and without this package: the
graph of one hop with its states, for streams, where the network can stream; the graph of a whole wave; a description
(frcrn.json); and two programs that enhance a wav file with them, in Python and in JavaScript. Each graph is compared
with the network over 10 s of noisy speech before anything is written."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("export", help="write a network as ONNX graphs", description=DESCRIPTION)
    parser.add_argument("model", nargs="?", default="default", metavar="MODEL", help="what --model takes elsewhere")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="onnx, the only one so far")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, and say what was written."""
    import json

    from frcrn.checkpoint import load
    from frcrn.export.folder import export

    path = export(load(args.model), args.output)
    about = json.loads(path.read_text(encoding="utf-8"))
    for graph in about["graphs"].values():
        size = (path.parent / graph["file"]).stat().st_size / 1e6
        print(f"{path.parent / graph['file']}: {size:.1f} MB, at most {graph['parity']['largest_difference']:.1e} off")
    if "step" not in about["graphs"]:
        ahead = about["lookahead"] / about["sample_rate"]
        print(f"no graph of one hop: this network looks {ahead:g} s ahead and cannot stream; causal ones can")
    print(f"{path}: shapes, states and hashes; run.py and run.js beside it enhance a wav file")
    return 0
