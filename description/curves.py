"""Draw the training curves of a run from its log: python description/curves.py runs/frcrn_small/log.jsonl curves.png"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def records(path: Path, kind: str) -> list[dict[str, Any]]:
    """Return the records of one kind, `train` or `eval`."""
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return [record for record in lines if record["kind"] == kind]


def draw(log: Path, picture: Path) -> None:
    """Write four panels: the loss, and the three scores on the validation split."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train, judged = records(log, "train"), records(log, "eval")
    # the very first steps would dwarf the rest
    highest = max((record["loss"] for record in train[2:]), default=None)
    figure, panels = pyplot.subplots(1, 4, figsize=(14, 3), constrained_layout=True)
    panels[0].plot([record["step"] for record in train], [record["loss"] for record in train], linewidth=0.8)
    panels[0].set(title="training loss", xlabel="step", ylim=(None, highest))
    for panel, (name, title) in zip(
        panels[1:], (("pesq", "WB-PESQ"), ("stoi", "STOI"), ("si_snr", "SI-SNR, dB")), strict=True
    ):
        panel.plot([record["step"] for record in judged], [record[name] for record in judged], marker="o")
        panel.set(title=f"{title}, validation", xlabel="step")
    for panel in panels:
        panel.grid(alpha=0.3)
    figure.savefig(picture, dpi=90)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python description/curves.py LOG.jsonl PICTURE.png")
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
