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
from frcrn.evaluation.report.page import REPORT, write_report
from frcrn.evaluation.report.tables import about, between, differences, markdown
from frcrn.evaluation.statistics import Report, paired_difference
from frcrn.evaluation.systems import System
from frcrn.files import held, refuse_links, refuse_others, write_json, write_text
from frcrn.texts import read_json

Watch = Callable[[str], AbstractContextManager[Progress | None]]
COMPARISON = "comparison"
PATIENCE = 60.0
"""Seconds to wait for another comparison that is just being written into the same folder."""
MORE_HARM = {"speech_level": 0.5, "speech_lost": 0.02}
"""What a system may do to speech beyond the reference before it counts as worse: dB of level, share of its frames."""
MORE_CLIPS = 0.02
"""And the share of clips that are over-suppressed."""


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
    """Score systems on the same clips; the others are measured against the first one.

    Args:
        systems: what `open_system` opened.
        pairs: (name, noisy [T], clean [T]) of each clip, such as `open_pairs` gives.
        out: gets one folder of scores a system, comparison.md, comparison.json and report.html.
        options: how to score; None is `Options()`.
        watch: entered once a system, to show its progress.

    Example:
        >>> compare([open_system("noisy"), open_system("default")], open_pairs("pairs"), "comparison")
    """
    options, folder = options or Options(probes=20), Path(out)
    folders = _folders([system.label for system in systems])
    written = [folder / name for name in (f"{COMPARISON}.json", f"{COMPARISON}.md", REPORT)]
    refuse_links(*(folder / name for name in folders), *written)
    refuse_others(written, lambda: "reference" in read_json(written[0]))
    reports = tuple(
        _watched(system, pairs, options, folder / place, watch) for system, place in zip(systems, folders, strict=True)
    )
    found = {report.label: difference(reports[0], report) for report in reports[1:]}
    worse = tuple(line for report in reports[1:] for line in worse_than(reports[0], report))
    comparison = Comparison(reports, found, worse)
    facts = {"reference": reports[0].label, "differences": found, "worse": list(worse)}
    with held(folder, PATIENCE):
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
        if found["low"] is None:
            few = f"{found['count']} where 2 are the least"
            lines.append(f"{other.label}: {title} has too few clips to compare with {reference.label} on, {few}")
    # the clips as they are lose no speech, and every network is worse than that
    return lines if reference.summary.get("processed") is False else lines + harms_more(reference, other)


def harms_more(reference: Report, other: Report) -> list[str]:
    """Say where a system does more harm to speech than the reference: in its level, in what is lost, in how many clips.

    The level counts by how far it is from the clean clip's, either way.
    """
    lines = []
    for name, limit in MORE_HARM.items():
        before, after = (
            {clip: abs(value) for clip, value in _values(each, name).items()} for each in (reference, other)
        )
        found = paired_difference(before, after)
        if found["low"] is not None and found["low"] > 0 and (found["mean"] or 0) > limit:
            title, digits = about(name).title, about(name).digits
            far = " from the clean clip's" if name == "speech_level" else ""
            lines.append(f"{other.label}: {title}{far} against {reference.label} {between(found, digits, sign=True)}")
    counts = [len(each.summary["over_suppressed"]) for each in (reference, other)]
    if counts[1] - counts[0] > MORE_CLIPS * len(other.rows):
        lines.append(f"{other.label}: {counts[1]} clips over-suppressed, {counts[0]} by {reference.label}")
    return lines
