"""Make the pictures and the tables of figures again: python -m description.make [--scores OUT]

After new weights: the comparison that description/results.py tells of, then this with `--scores OUT`, then
`python -m notebooks.run`. In results.json `trained_minutes` (on a core), `trained_seconds`
(on a GPU), `trained_hours`, `clean_pesq`, `noise_falls_db`, speeds,
and the peers' sizes and latencies are edited by hand.

description/model.png         the architecture, drawn from the configuration of the bundled model for live sound
description/matrix.png        scores by system, from results.json
description/before_after.png  the bundled sample before and after the bundled model for recordings
README.md, README_zh.md, description/model_card.md   the results between their marks
docs/plugins.md               what the bundled models take in memory (also alone: python -m description.sizes)
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from description import results, sizes
from frcrn.audio.sample import sample
from frcrn.cli.demo import draw
from frcrn.config import FOR_RECORDINGS
from frcrn.models import Enhancer
from frcrn.models.checkpoint import describe, load, names

HERE = Path(__file__).parent
ROOT = HERE.parent
DPI = 90
WIDE, COLOURS = 800, 48
BLUE, GREEN, ORANGE, GREY = "#cfe2f3", "#d9ead3", "#fce5cd", "#eeeeee"


def main() -> None:
    """Read the command line, and make everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, metavar="OUT", help="what `frcrn compare` wrote")
    args = parser.parse_args()
    model = load()
    figures = results.read()
    if args.scores:
        results.take_over(figures, args.scores, {name: describe(load(name)) for name in names()})
        results.write(figures)
    for place, language in results.PLACES.items():
        text = (ROOT / place).read_text(encoding="utf-8")
        (ROOT / place).write_text(results.replaced(text, results.section(figures, language)), encoding="utf-8")
    architecture(model, HERE / "model.png")
    matrix(figures, HERE / "matrix.png")
    before_after(load(FOR_RECORDINGS), HERE / "before_after.png")
    sizes.main()


def before_after(model: Enhancer, picture: Path) -> None:
    """Draw the bundled sample before and after, in a picture that is small enough to be kept."""
    from PIL import Image

    noisy = sample()
    enhanced = model.optimize().enhance(noisy.samples, noisy.rate)
    draw(picture, {"before": noisy.samples[0], "after": enhanced[0]}, noisy.rate)
    small = Image.open(picture).convert("RGB").resize((WIDE, WIDE * 6 // 10), Image.Resampling.LANCZOS)
    small.quantize(COLOURS).save(picture, optimize=True)


def matrix(figures: Mapping[str, Any], picture: Path) -> None:
    """Draw a table of systems and scores, the better the greener."""
    from matplotlib.figure import Figure

    rows = [{**system, **{name: system[name][0] for name in results.METRICS}} for system in figures["systems"]]
    columns = {"pesq": ("WB-PESQ", 2), "stoi": ("STOI", 3), "si_sdr": ("SI-SDR, dB", 1), "dnsmos_ovrl": ("DNSMOS", 2)}
    facts = {"parameters": ("parameters", 0), "latency_ms": ("latency, ms", 0), "rtf": ("RTF, one core", 3)}
    figure = Figure(figsize=(9, 0.6 + 0.5 * len(rows)), layout="constrained")
    axis = figure.subplots()
    axis.axis("off")
    shown = columns | facts
    cells = [[cell(row.get(name), digits) for name, (_, digits) in shown.items()] for row in rows]
    colours = [[shade(row, name, rows) if name in columns else "white" for name in shown] for row in rows]
    labels = {"offline": "offline, files", "streamed": "default, streamed"}
    table = axis.table(
        cellText=cells,
        cellColours=colours,
        rowLabels=[labels.get(row["name"], row["name"]) for row in rows],
        colLabels=[title for title, _ in shown.values()],
        loc="center",
        cellLoc="center",
    )
    table.scale(1, 1.8)
    data = figures["data"]
    axis.set_title(f"{data['clips']} pairs of real speech and noise, {data['minutes']:.1f} minutes")
    figure.savefig(picture, dpi=DPI)


def cell(value: float | None, digits: int) -> str:
    """Write a number; what was not measured stays empty."""
    return "" if value is None else f"{value:,.{digits}f}"


def shade(row: Mapping[str, Any], name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """Return white for the worst of a column, green for the best."""
    values = [other[name] for other in rows]
    share = (row[name] - min(values)) / ((max(values) - min(values)) or 1)
    return (1 - 0.35 * share, 1 - 0.1 * share, 1 - 0.4 * share)


def architecture(model: Enhancer, picture: Path) -> None:
    """Draw the path of the sound, and one U-Net with its levels."""
    from matplotlib.figure import Figure

    config = model.config
    figure = Figure(figsize=(12, 2.6 + 0.62 * len(config.levels)), layout="constrained")
    axis = figure.subplots()
    axis.axis("off")
    depth = len(config.levels)
    axis.set(xlim=(0, 12), ylim=(-0.75 * depth - 1.1, 2.3))
    path = [("wave", GREY), (f"STFT\n{config.window}/{config.hop}", BLUE)]
    numbers = [""] if config.stages == 1 else [f" {stage + 1}" for stage in range(config.stages)]
    path += [(f"complex U-Net{number}", GREEN) for number in numbers]
    path += [("complex ratio mask\n× spectrum", ORANGE), ("inverse STFT", BLUE), ("clean wave", GREY)]
    width = 12 / len(path)
    for number, (text, colour) in enumerate(path):
        box(axis, (number + 0.5) * width, 1.6, 0.82 * width, 0.9, text, colour)
        if number:
            arrow(axis, (number - 0.09) * width, 1.6, (number + 0.09) * width, 1.6)
    for number, level in enumerate(config.levels):
        y, inset = -0.75 * number, 0.35 * number
        along = [("over frequency", level.fsmn), ("over time in each bin", level.time)]
        memories = ", ".join(name for name, there in along if there and number)
        memory = f"\n+ FSMN {memories}" if memories else ""
        weighing = (" + SE over time" if config.causal else " + SE") if level.se and number else ""
        down = f"conv {level.kernel[0]}×{level.kernel[1]}, /{level.stride}, {level.channels} ch{memory}{weighing}"
        up = f"transposed conv {level.up_kernel[0]}×{level.up_kernel[1]}, ×{level.stride}{memory}"
        box(axis, 2.9 + inset, y, 4.4, 0.55, down, GREEN)
        box(axis, 9.4 - inset, y, 3.4, 0.55, up, GREEN)
        arrow(axis, 5.15 + inset, y, 7.65 - inset, y)
        if number + 1 < depth:
            arrow(axis, 2.9 + inset, y - 0.28, 3.25 + inset, y - 0.47)
            arrow(axis, 9.05 - inset, y - 0.47, 9.4 - inset, y - 0.28)
    bottom = -0.75 * depth
    middle = 6.15
    box(axis, middle, bottom, 4.6, 0.55, f"{config.time_layers} complex FSMN over time", ORANGE)
    arrow(axis, 2.9 + 0.35 * (depth - 1), bottom + 0.47, middle - 2.35, bottom + 0.1)
    arrow(axis, middle + 2.35, bottom + 0.1, 9.4 - 0.35 * (depth - 1), bottom + 0.47)
    facts = describe(model)
    kind = "causal" if config.causal else "offline"
    size, late = f"{facts['parameters'] / 1e6:.2f} M parameters", f"{facts['latency_ms']:.0f} ms latency"
    text = f"the bundled model for live sound: {kind}, {size}, {late}"
    axis.text(6, bottom - 0.7, text, ha="center", va="center", fontsize=11)
    figure.savefig(picture, dpi=DPI)


def box(axis: Any, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    """Draw a box around its middle."""
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, y - height / 2)
    axis.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.08", fc=colour, ec="#666666"))
    axis.text(x, y, text, ha="center", va="center", fontsize=9)


def arrow(axis: Any, x: float, y: float, to_x: float, to_y: float) -> None:
    """Draw an arrow."""
    axis.annotate("", (to_x, to_y), (x, y), arrowprops={"arrowstyle": "->", "color": "#444444"})


if __name__ == "__main__":
    main()
