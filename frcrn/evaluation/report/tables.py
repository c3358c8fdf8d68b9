"""Scores as Markdown, ready for a README, and the wording that tables and pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from frcrn.evaluation.metrics.scores import HEADLINE, METRICS, Metric

OTHERS = {
    "wer": Metric(lambda clip: float("nan"), "WER", "word errors over words, mean of clips", -1, 3),
    "words": Metric(lambda clip: float("nan"), "words", "words in what was said", 0, 1),
}
HIDDEN = ("words", "speech_level", "speech_lost")
"""Not quality: they have their place in the table of harm."""


def about(name: str) -> Metric:
    """Return what a column is."""
    return METRICS.get(name) or OTHERS[name]


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """Write a number, or a dash for none."""
    return "–" if value is None else f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def between(found: Mapping[str, Any], digits: int, *, sign: bool = False) -> str:
    """Write a mean with its interval."""
    mean = number(found["mean"], digits, sign=sign)
    if found["low"] is None:
        return mean
    return f"{mean} ({number(found['low'], digits, sign=sign)} to {number(found['high'], digits, sign=sign)})"


def shown(summary: Mapping[str, Any]) -> list[str]:
    """Return the columns that people want to see, the headline first."""
    names = [name for name in summary["metrics"] if name not in HIDDEN]
    return [name for name in HEADLINE if name in names] + [name for name in names if name not in HEADLINE]


def best(values: Sequence[float | None], better: int) -> float | None:
    """Return the best of some means; None where neither way is better or nothing is compared."""
    known = [value * better for value in values if value is not None]
    return max(known) * better if better and len(known) > 1 else None


def markdown(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Return one row a system and one column a metric, the best of each in bold, and what the columns mean."""
    names = [name for name in shown(summaries[0]) if all(name in summary["metrics"] for summary in summaries)]
    lines = ["| | " + " | ".join(about(name).title for name in names) + " | failed | RTF |"]
    lines.append("|---|" + "---|" * (len(names) + 2))
    tops = {name: best([each["metrics"][name]["mean"] for each in summaries], about(name).better) for name in names}
    lines += [_row(summary, names, tops) for summary in summaries]
    return "\n".join(lines) + "\n\n" + legend(summaries[0], names) + "\n"


def _row(summary: Mapping[str, Any], names: Sequence[str], tops: Mapping[str, float | None]) -> str:
    cells = []
    for name in names:
        found = summary["metrics"][name]
        text = between(found, about(name).digits)
        cells.append(f"**{text}**" if found["mean"] is not None and found["mean"] == tops[name] else text)
    speed = number(summary["real_time_factor"], 3)
    return f"| {_cell(summary['label'])} | " + " | ".join(cells) + f" | {summary['failed_clips']} | {speed} |"


def differences(reference: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one row a system: its paired difference to the reference, with its interval."""
    names = [name for name in next(iter(found.values())) if name not in HIDDEN]
    lines = [f"| minus {_cell(reference)} | " + " | ".join(about(name).title for name in names) + " |"]
    lines.append("|---|" + "---|" * len(names))
    for label, values in found.items():
        cells = [between(values[name], about(name).digits, sign=True) for name in names]
        lines.append(f"| {_cell(label)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def legend(summary: Mapping[str, Any], names: Sequence[str]) -> str:
    """Say what the columns are and how the intervals come about."""
    minutes = summary["seconds"] / 60
    what = "; ".join(f"{about(name).title}: {about(name).about}" for name in names)
    return (
        f"{summary['clips']} clips, {minutes:.1f} minutes. Mean over clips (95 % bootstrap interval). {what}. "
        "failed: clips on which a metric has no value. RTF: time taken over time of audio."
    )
