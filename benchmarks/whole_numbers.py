"""Enhance a folder as a microcontroller would: python -m benchmarks.whole_numbers MODEL NOISY/ -o OUT/

MODEL is an NNSE; OUT gets files of the input's names, from its tables of 8-bit weights. What that costs:

    frcrn compare float=MODEL tables=OUT/ --data PAIRS/ -o SCORES/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from frcrn import audio
from frcrn.audio.resampling import mono
from frcrn.export.fixed.folder import in_whole_numbers
from frcrn.models import NNSE
from frcrn.models.checkpoint import load


def main() -> None:
    """Read the command line, and enhance each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an NNSE")
    parser.add_argument("noisy", type=Path, help="a folder of recordings")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    model = load(args.model).eval()
    if not isinstance(model, NNSE):
        parser.error(f"{args.model}: expected an NNSE, found a {type(model).__name__}")
    args.output.mkdir(parents=True, exist_ok=True)
    for path in audio.find([args.noisy]):
        clean, _ = in_whole_numbers(model, mono(audio.read(path), model.sample_rate))
        audio.write(args.output / f"{path.stem}.wav", clean, model.sample_rate)


if __name__ == "__main__":
    main()
