"""One self-contained page about one system or several: tables, plots, and the clips to look at and listen to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from frcrn.audio import Samples
from frcrn.evaluation.metrics.scores import HEADLINE
from frcrn.evaluation.report import charts, clips
from frcrn.evaluation.report.tables import about, best, between, number, shown
from frcrn.evaluation.statistics import OVER_SUPPRESSED_DB, OVER_SUPPRESSED_SHARE, Report
from frcrn.evaluation.systems import System
from frcrn.files import write_text

REPORT = "report.html"
LISTED = 50
Differences = Mapping[str, Mapping[str, Mapping[str, Any]]]


def write_report(
    folder: Path,
    reports: Sequence[Report],
    systems: Sequence[System],
    pairs: Sequence[tuple[str, Samples, Samples]],
    rate: int,
    differences: Differences | None = None,
) -> Path:
    """Write report.html; the systems run again on the clips that it shows."""
    path = folder / REPORT
    write_text(path, page(reports, systems, pairs, rate, differences or {}))
    return path


def page(
    reports: Sequence[Report],
    systems: Sequence[System],
    pairs: Sequence[tuple[str, Samples, Samples]],
    rate: int,
    differences: Differences,
) -> str:
    """Return the whole page."""
    title = " · ".join(report.label for report in reports)
    summaries = [report.summary for report in reports]
    first = summaries[0]
    parts = [
        f"<h1>{escape(title)}</h1><p>{escape(first['source'])}: {first['clips']} clips, {first['seconds'] / 60:.1f} "
        f"minutes, {rate} Hz. Means over clips with their 95 % bootstrap intervals.</p>",
        _key(reports),
        _section("Scores", _scores(summaries) + _differences(reports[0].label, differences)),
        _section("Do no harm", _harm(summaries)),
        _section("Against the input", f"<div class=charts>{_charts(reports)}</div>"),
        *_clips(reports, systems, pairs, rate, differences),
        _section("Failed and over-suppressed clips", _problems(reports)),
        _section("How this was measured", _method(summaries)),
    ]
    filled = {"title": escape(title), "body": "\n".join(parts)}
    return re.sub(r"{{(title|body)}}", lambda found: filled[found[1]], _template())


def _template() -> str:
    return (resources.files("frcrn.evaluation.report") / "page.html").read_text(encoding="utf-8")


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    lines = (f"<th>{row[0]}</th>" + "".join(f"<td>{cell}</td>" for cell in row[1:]) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _key(reports: Sequence[Report]) -> str:
    if len(reports) == 1:
        return ""
    names = (f'<span class="swatch s{place}"></span>{escape(report.label)}' for place, report in enumerate(reports))
    return f"<p class=key>{' '.join(names)}</p>"


def _scores(summaries: Sequence[Mapping[str, Any]]) -> str:
    names = shown(summaries[0])
    if len(summaries) == 1:
        found = summaries[0]["metrics"]
        rows = [_metric_row(name, found[name]) for name in names]
        return _table(["metric", "mean", "95 % interval", "median", "clips", "failed", "what it is"], rows)
    rows = []
    for name in names:
        columns = [summary["metrics"][name] for summary in summaries]
        top = best([column["mean"] for column in columns], about(name).better)
        cells = [_marked(between(column, about(name).digits), column["mean"] == top) for column in columns]
        rows.append([escape(about(name).title), *cells, escape(about(name).about)])
    failed = [str(summary["failed_clips"]) for summary in summaries]
    rows.append(["failed clips", *failed, "clips on which a metric has no value; listed below"])
    return _table(["metric", *(escape(summary["label"]) for summary in summaries), "what it is"], rows)


def _marked(text: str, is_best: bool) -> str:
    return f"<b>{text}</b>" if is_best else text


def _metric_row(name: str, found: Mapping[str, Any]) -> list[str]:
    digits = about(name).digits
    spread = "–" if found["low"] is None else f"{number(found['low'], digits)} to {number(found['high'], digits)}"
    values = [number(found["mean"], digits), spread, number(found["median"], digits)]
    counts = [str(found["count"]), str(found["failed"])]
    return [escape(about(name).title), _marked(values[0], True), *values[1:], *counts, escape(about(name).about)]


def _differences(reference: str, differences: Differences) -> str:
    if not differences:
        return ""
    names = list(next(iter(differences.values())))
    columns = list(differences.values())
    rows = [[escape(about(name).title), *(_difference(column[name], name) for column in columns)] for name in names]
    head = ["difference", *(escape(f"{label} minus {reference}") for label in differences)]
    return "<h3>Paired differences</h3>" + _table(head, rows)


def _difference(found: Mapping[str, Any], name: str) -> str:
    """Colour what lies beyond its interval."""
    text, better = between(found, about(name).digits, sign=True), about(name).better
    if found["low"] is None or not better or found["low"] <= 0 <= found["high"]:
        return text
    return f"<span class={'good' if found['mean'] * better > 0 else 'bad'}>{text}</span>"


def _harm(summaries: Sequence[Mapping[str, Any]]) -> str:
    head = ["", "clean speech: PESQ-WB", "level, dB", "removed, dB", "noise alone: left, dB", "over-suppressed", "RTF"]
    rows = [[escape(each["label"]), *_harm_cells(each), number(each["real_time_factor"], 3)] for each in summaries]
    return _table(head, rows) + (
        "<p>Clean clips and the noises alone (noisy minus clean) are run through the system too. Removed: what is "
        "taken from clean speech, against it. Over-suppressed: clips whose speech band lies over "
        f"{-OVER_SUPPRESSED_DB:g} dB under the clean one's, or that lose over {OVER_SUPPRESSED_SHARE:.0%} of their "
        "speech frames. RTF: time taken over time of audio, on the machine that made this page.</p>"
    )


def _harm_cells(summary: Mapping[str, Any]) -> list[str]:
    count, found = len(summary["over_suppressed"]), summary["harm"]
    flagged = f"<span class=bad>{count}</span>" if count else "0"
    if not found:
        return ["–"] * 4 + [flagged]
    speech, left = found["clean_speech"], found["noise_alone"]["remaining_db"]
    columns = ((speech.get("pesq"), 2), (speech["speech_level"], 2), (speech["removed_db"], 1), (left, 1))
    return [*(between(column, digits) if column else "–" for column, digits in columns), flagged]


def _charts(reports: Sequence[Report]) -> str:
    drawn = []
    names = [name for name in HEADLINE if name in reports[0].summary["metrics"]]
    for name in names:
        drawn.append(charts.scatter([_points(report, name) for report in reports], "input SNR, dB", about(name).title))
    for name in names:
        values = [[row.scores.values[name] for row in report.rows if name in row.scores.values] for report in reports]
        drawn.append(charts.histogram(values, about(name).title))
    return "".join(drawn)


def _points(report: Report, name: str) -> list[charts.Point]:
    rows = (row for row in report.rows if name in row.scores.values and not math.isnan(row.input_snr))
    return [charts.Point(row.input_snr, row.scores.values[name], row.name) for row in rows]


def _clips(
    reports: Sequence[Report],
    systems: Sequence[System],
    pairs: Sequence[tuple[str, Samples, Samples]],
    rate: int,
    differences: Differences,
) -> list[str]:
    """Return the sections with the clips at both ends of the first metric, or of the last system's difference in it."""
    name = next((name for name in shown(reports[0].summary) if reports[-1].summary["metrics"][name]["count"]), None)
    if name is None:
        return []
    columns = [{row.name: row.scores.values.get(name) for row in report.rows} for report in (reports[0], reports[-1])]
    values = {place: _worth(columns, row.name, bool(differences)) for place, row in enumerate(reports[0].rows)}
    known = {place: value for place, value in values.items() if value is not None}
    what = about(name).title + (f" of {reports[-1].label} minus {reports[0].label}" if differences else "")
    ends = clips.choose(known, about(name).better, clips.clips_at_each_end(len(systems)), what)
    sections = []
    for title, choices in zip((f"Worst clips by {what}", f"Best clips by {what}"), ends, strict=True):
        cards = [
            clips.card(
                choice,
                pairs[choice.place],
                [(system, report.rows[choice.place]) for system, report in zip(systems, reports, strict=True)],
                rate,
            )
            for choice in choices
        ]
        sections.append(_section(title, "".join(cards)))
    return sections


def _worth(columns: Sequence[Mapping[str, float | None]], clip: str, paired: bool) -> float | None:
    reference, last = (column.get(clip) for column in columns)
    if not paired or last is None:
        return last
    return None if reference is None else last - reference


def _problems(reports: Sequence[Report]) -> str:
    parts = []
    for report in reports:
        parts.append(_list(f"{report.label}: no value", _failures(report.summary["failed"])))
        parts.append(_list(f"{report.label}: over-suppressed", report.summary["over_suppressed"]))
    parts.append(_list("files without a partner", reports[0].summary["unmatched"]))
    return "".join(parts) or "<p>None.</p>"


def _failures(failed: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a line for each clip and reason, with the metrics that it stopped."""
    stopped: dict[tuple[str, str], list[str]] = {}
    for each in failed:
        stopped.setdefault((each["clip"], each["reason"]), []).append(about(each["metric"]).title)
    return [f"{clip}: {', '.join(titles)}: {reason}" for (clip, reason), titles in stopped.items()]


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines[:LISTED])
    more = f"<li>and {len(lines) - LISTED} more; see summary.json</li>" if len(lines) > LISTED else ""
    return f"<h3>{escape(title)} ({len(lines)})</h3><ul>{items}{more}</ul>"


def _method(summaries: Sequence[Mapping[str, Any]]) -> str:
    first = summaries[0]
    models = "".join(f"<li>{escape(each['label'])}: <code>{each['model'][:16]}</code></li>" for each in summaries)
    packages = ", ".join(f"{name} {text}" for name, text in first["versions"].items())
    return (
        "<p>Intervals: percentile bootstrap of the mean over clips, 2000 resamples. Clips on which a metric has no "
        "value are left out of its mean, counted and listed.</p>"
        f"<ul><li>data: <code>{first['data'][:16]}</code></li>{models}<li>{escape(packages)}</li></ul>"
    )
