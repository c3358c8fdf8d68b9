"""Write the program in C of each bundled model anew: python -m description.programs

To be run after a bundled model's weights, or the operations in C, have changed. frcrn/weights/NAME.frcrn, with its
description NAME.json, is what `frcrn enhance` runs without torch. Models that look ahead have none.
"""

from __future__ import annotations

from pathlib import Path

from frcrn.export.native.folder import description
from frcrn.export.native.network import write_program
from frcrn.export.native.standalone import ENDINGS
from frcrn.files import replacing, write_json
from frcrn.models import MaskEnhancer
from frcrn.models.checkpoint import load, names

WEIGHTS = Path(__file__).parent.parent / "frcrn" / "weights"


def write_programs() -> None:
    """Write all programs and remove those whose model is gone."""
    models = {name: load(name) for name in names()}
    models = {name: model for name, model in models.items() if isinstance(model, MaskEnhancer) and model.causal}
    for old in (path for ending in ENDINGS for path in WEIGHTS.glob(f"*{ending}") if path.stem not in models):
        old.unlink()
    for name, model in models.items():
        about, program = (WEIGHTS / f"{name}{ending}" for ending in ENDINGS)
        content = write_program(model)
        write_json(about, description(model, content) | {"program": program.name})
        with replacing(program) as beside:
            beside.write_bytes(content)
        print(f"{program}: {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    write_programs()
