"""`frcrn convert`."""

from __future__ import annotations

import argparse

from frcrn.cli.common import named

DESCRIPTION = """Read a checkpoint of any known form and write it as a model directory, which every command, the Python
functions and the ModelScope pipeline take. Known are this package's files, the released model's pytorch_model.bin (bare
or wrapped, with or without the prefix model.), epoch_N.pth of ModelScope's trainers, and ClearerVoice's checkpoints of
FRCRN_SE_16K (the file, or the folder with last_best_checkpoint). Where the network is the released one, DIR/released
holds it in the released form too, for the stock code."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("convert", help="write a checkpoint as a model directory", description=DESCRIPTION)
    parser.add_argument("model", metavar="SRC", help="a model's directory or checkpoint file")
    parser.add_argument("-o", "--output", type=named, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--force", action="store_true", help="replace a model that is in DIR already")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    from frcrn.models.convert import convert

    for number, folder in enumerate(convert(args.model, args.output, force=args.force)):
        print(f"{folder}: {'the released form' if number else 'a model directory'}")
    return 0
