"""Several systems on the same clips: who is better, by how much, and how surely."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from frcrn.audio import Samples
from frcrn.evaluation.evaluate import Options, Progress, run
from frcrn.evaluation.metrics.scores import HEADLINE
from frcrn.evaluation.report.page import write_report
from frcrn.evaluation.report.tables import about, between, differences, markdown
from frcrn.evaluation.statistics import Report, paired_difference
from frcrn.evaluation.systems import System
from frcrn.files import write_json, write_text

Watch = Callable[[str], AbstractContextManager[Progress | None]]
COMPARISON = "comparison"


class Comparison(NamedTuple):
    """The reports in the order given, the differences of the others to the first, and why any of them is worse."""

    reports: tuple[Report, ...]
    differences: dict[str, dict[str, dict[str, Any]]]
    worse: tuple[str, ...]

    @property
    def markdown(self) -> str:
        """The tables, ready for a README."""
        scores = markdown([report.summary for report in self.reports])
        return scores + "\n" + differences(self.reports[0].label, self.differences)


def compare(
    systems: Sequence[System],
    pairs: Sequence[tuple[str, Samples, Samples]],
    out: str | Path,
    options: Options | None = None,
    watch: Watch = lambda label: nullcontext(),
) -> Comparison:
    """Score systems on the same clips; the first is what the others are measured against.

    `out` gets one folder of scores a system, comparison.md, comparison.json and report.html; `watch` is
    entered once a system and gives its progress function.
    """
    options, folder = options or Options(probes=20), Path(out)
    folders = _folders([system.label for system in systems])
    reports = tuple(
        _watched(system, pairs, options, folder / place, watch) for system, place in zip(systems, folders, strict=True)
    )
    found = {report.label: difference(reports[0], report) for report in reports[1:]}
    worse = tuple(line for report in reports[1:] for line in worse_than(reports[0], report))
    comparison = Comparison(reports, found, worse)
    facts = {"reference": reports[0].label, "differences": found, "worse": list(worse)}
    write_json(folder / f"{COMPARISON}.json", facts)
    write_text(folder / f"{COMPARISON}.md", comparison.markdown)
    write_report(folder, reports, systems, pairs, options.rate, found)
    return comparison


def _watched(
    system: System, pairs: Sequence[tuple[str, Samples, Samples]], options: Options, folder: Path, watch: Watch
) -> Report:
    with watch(system.label) as progress:
        return run(system, pairs, options, folder, progress)


def _folders(labels: Sequence[str]) -> list[str]:
    """Return a folder name for each label, or refuse labels that would share one."""
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} system to compare; expected at least two")
    names = [re.sub(r"[^\w.-]+", "_", label).strip("._") or "system" for label in labels]
    for place, name in enumerate(names):
        if name.lower() in (other.lower() for other in names[:place]):
            raise ValueError(f"{labels[place]}: two systems go by this name; give one another, as in NAME=PLACE")
    return names


def difference(reference: Report, other: Report) -> dict[str, dict[str, Any]]:
    """Return, for each metric, the paired difference of a system to the reference."""
    names = [name for name in reference.summary["metrics"] if name in other.summary["metrics"]]
    return {name: paired_difference(_values(reference, name), _values(other, name)) for name in names}


def _values(report: Report, name: str) -> Mapping[str, float]:
    return {row.name: row.scores.values[name] for row in report.rows if name in row.scores.values}


def worse_than(reference: Report, other: Report) -> list[str]:
    """Say in what a system is worse than the reference beyond the interval, on the headline metrics."""
    lines = []
    for name, found in difference(reference, other).items():
        if name not in HEADLINE:
            continue
        title, digits = about(name).title, about(name).digits
        failed, before = (len(report.rows) - len(_values(report, name)) for report in (other, reference))
        if failed > before:
            lines.append(f"{other.label}: {title} fails on {failed} clips, {reference.label} on {before}")
        if found["high"] is not None and found["high"] < 0:
            lines.append(f"{other.label}: {title} against {reference.label} {between(found, digits, sign=True)}")
        if not found["count"]:
            lines.append(f"{other.label}: {title} has no clip to compare with {reference.label} on")
    return lines
