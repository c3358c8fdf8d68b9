"""Scores by group, for description/weights.md: python -m description.groups OUT PAIRS.csv --by snr_db noise language

OUT is what `frcrn compare` has written. PAIRS.csv says of each `file` what it is, in columns; what is before a slash in
a column is left out. Prints one Markdown table a column: the mean of each score in each system.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean

DIGITS = {"pesq": 2, "stoi": 3, "si_sdr": 1, "dnsmos_ovrl": 2}
Rows = dict[str, Mapping[str, str]]


def rows(file: Path, key: str) -> Rows:
    """Return the lines of a CSV by the stem of the file in one column."""
    with file.open(encoding="utf-8", newline="") as lines:
        return {Path(line[key]).stem: line for line in csv.DictReader(lines)}


def group_of(value: str) -> str:
    """Return what is behind the last slash."""
    return value.rpartition("/")[2]


def table(scores: Mapping[str, Rows], about: Rows, column: str) -> Iterable[str]:
    """Yield the lines of one table."""
    groups: dict[str, list[str]] = defaultdict(list)
    for stem, line in about.items():
        groups[group_of(line[column])].append(stem)
    metrics = [name for name in DIGITS if all(name in next(iter(of.values())) for of in scores.values())]
    yield f"| {column} | clips | " + " | ".join(f"{name}: {', '.join(scores)}" for name in metrics) + " |"
    yield "|---" * (2 + len(metrics)) + "|"
    for group, stems in sorted(groups.items(), key=lambda item: (len(item[0]), item[0])):
        cells = [", ".join(mean(of, stems, name) for of in scores.values()) for name in metrics]
        yield f"| {group} | {len(stems)} | {' | '.join(cells)} |"


def mean(of: Rows, stems: Iterable[str], name: str) -> str:
    """Return the mean of one score over some clips."""
    values = [float(of[stem][name]) for stem in stems if stem in of and of[stem][name]]
    return f"{fmean(values):.{DIGITS[name]}f}" if values else ""


def main() -> None:
    """Read the command line, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--by", nargs="+", default=["snr_db"], metavar="COLUMN")
    parser.add_argument("--systems", nargs="+", metavar="NAME", help="which, in which order (default: all)")
    args = parser.parse_args()
    names = args.systems or sorted(path.parent.name for path in args.scores.glob("*/scores.csv"))
    scores = {name: rows(args.scores / name / "scores.csv", "clip") for name in names}
    about = rows(args.pairs, "file")
    for column in args.by:
        print("\n".join(table(scores, about, column)), end="\n\n")


if __name__ == "__main__":
    main()
