"""A model over noisy and clean pairs -> one row of scores a clip, and a summary with intervals."""

from __future__ import annotations

import hashlib
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frcrn.audio import Samples
from frcrn.data.pairs import open_pairs
from frcrn.evaluation import side_effects
from frcrn.evaluation.metrics import dnsmos, word_errors
from frcrn.evaluation.metrics.pool import Scorers
from frcrn.evaluation.metrics.scores import HEADLINE, Scores, check_names, snr
from frcrn.evaluation.metrics.word_errors import Recogniser
from frcrn.evaluation.report.page import REPORT, write_report
from frcrn.evaluation.scores_csv import RUN, Journal
from frcrn.evaluation.statistics import Report, Row, summarise
from frcrn.evaluation.systems import Network, System, Unprocessed
from frcrn.files import refuse_links, refuse_others, write_json
from frcrn.models.base import Enhancer
from frcrn.texts import read_json
from frcrn.threads import Promised

__all__ = ["ALWAYS", "NAMES", "Options", "Progress", "Report", "evaluate", "open_pairs", "run"]

NAMES = HEADLINE
ALWAYS = ("speech_level", "speech_lost")
"""Cheap, and they show over-suppression, which the means hide."""
SUMMARY = "summary.json"
PACKAGES = ("frcrn", "torch", "numpy", "pesq", "pystoi", "onnxruntime")
Progress = Callable[[int, int], None]
"""Gets the clips done and the clips in all."""


@dataclass(frozen=True)
class Options:
    """How to score."""

    names: tuple[str, ...] = NAMES
    rate: int = 16000
    """Of the pairs; PESQ asks for 16000."""
    workers: int | None = None
    """Scoring processes; None = one a core."""
    dnsmos_folder: Path | None = None
    recogniser: Recogniser | None = None
    """Known again, where a run goes on, by its `name`, or else as a function that its module holds."""
    transcripts: Mapping[str, str] | None = None
    """Clip -> what is said in it; where it has none, what the recogniser hears in the clean clip."""
    probes: int = 0
    """Clips to measure the harm done to clean speech, and the noise left, on."""
    fresh: bool = False
    """Throw away the scores that an earlier run left in the folder."""

    def __post_init__(self) -> None:
        if self.recogniser is not None:
            word_errors.checked_recogniser(self.recogniser)

    @property
    def measured(self) -> tuple[str, ...]:
        """The metrics of the scoring processes."""
        extra = dnsmos.available(self.dnsmos_folder) if self.dnsmos_folder else ()
        return check_names((*self.names, *ALWAYS, *extra))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of a score table."""
        return (*self.measured, *(word_errors.COLUMNS if self.recogniser else ()))

    def identity(self) -> dict[str, Any]:
        """Return what scores depend on besides the model and the clips."""
        said = sorted((self.transcripts or {}).items())
        return {
            "metrics": list(self.columns),
            "rate": self.rate,
            "dnsmos": dnsmos.fingerprint(self.dnsmos_folder) if self.dnsmos_folder else None,
            "recogniser": word_errors.identity_of(self.recogniser) if self.recogniser else None,
            "transcripts": hashlib.sha256(repr(said).encode()).hexdigest()[:16] if said else None,
        }


def evaluate(
    model: Enhancer | System,
    pairs: Iterable[tuple[str, Samples, Samples]],
    *,
    names: Iterable[str] = NAMES,
    workers: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Enhance and score clips; where `out` holds the scores of an earlier run of the same kind, it goes on from there.

    Args:
        model: a network, or a system that `open_system` opened.
        pairs: (name, noisy [T], clean [T]) of each clip, such as `open_pairs` gives.
        names: the metrics.
        workers: processes that compute metrics; None is one a core.
        out: a folder for scores.csv, summary.json and report.html; None writes nothing.
        progress: called as clips are done.
        **options: those of `Options`.

    Example:
        >>> report = evaluate(frcrn.load(), open_pairs("pairs"), out="scores")
    """
    chosen = Options(names=tuple(names), workers=workers, **({"probes": 20 if out else 0} | options))
    system = Network(model) if isinstance(model, Enhancer) else model
    clips = pairs if isinstance(pairs, Sequence) else list(pairs)
    report = run(system, clips, chosen, Path(out) if out else None, progress)
    if out:
        write_report(Path(out), [report], [system], clips, chosen.rate)
    return report


def run(
    system: System,
    pairs: Sequence[tuple[str, Samples, Samples]],
    options: Options,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Score a system; with a folder, keep scores.csv and summary.json there and go on where they stopped."""
    identity = {"model": system.fingerprint(), **options.identity(), **_scoring_versions()}
    scorers = Scorers(options.measured, rate=options.rate, workers=options.workers, dnsmos_folder=options.dnsmos_folder)
    if folder:
        written = (folder / SUMMARY, folder / REPORT)
        refuse_links(*written)
        refuse_others(written, (folder / RUN).exists)  # which is written first
    journal = Journal(folder, identity, options.columns, options.fresh) if folder else None
    with scorers, journal or nullcontext():
        work = ClipWork(system, options, scorers, {} if journal is None else journal.rows)
        rows = _run(work, pairs, journal, progress)
        known = read_json(folder / SUMMARY) if folder else {}
        summary = summarise(rows, options.columns) | {
            "label": system.label,
            "processed": not isinstance(system, Unprocessed),
            "model": identity["model"],
            "data": digest_of(rows),
            "source": str(getattr(pairs, "source", "clips")),
            "unmatched": list(getattr(pairs, "unmatched", ())),
            "versions": versions(),
        }
        summary["harm"] = _harm(work, pairs, known, summary)
    if folder:
        write_json(folder / SUMMARY, summary)
    return Report(system.label, tuple(rows), summary)


class ClipWork(NamedTuple):
    """What every clip needs."""

    system: System
    options: Options
    scorers: Scorers
    known: Mapping[str, Row]


def _run(
    work: ClipWork, pairs: Sequence[tuple[str, Samples, Samples]], journal: Journal | None, progress: Progress | None
) -> list[Row]:
    rows: list[Row] = []
    seen: set[str] = set()
    for row in _finished((_start(work, *pair) for pair in pairs), limit=2 * work.scorers.workers + 2):
        if row.name in seen:
            raise ValueError(f"{row.name}: two clips have this name; each needs its own")
        seen.add(row.name)
        rows.append(row)
        if journal is not None and row.name not in journal.rows:
            journal.add(row)
        if progress:
            progress(len(rows), len(pairs))
    if not rows:
        raise ValueError("no clips to score; at least one is needed")
    if journal is not None:
        journal.rewrite(rows)
    return rows


class Started(NamedTuple):
    """A clip that is being scored."""

    row: Row
    scores: Promised[Scores] | None


def _start(work: ClipWork, name: str, noisy: Samples, clean: Samples) -> Started:
    """Enhance one clip and queue its scoring, unless its scores are known."""
    noisy, clean = np.asarray(noisy, dtype=np.float32), np.asarray(clean, dtype=np.float32)
    mark = digest(noisy, clean)
    if name in work.known:
        if work.known[name].digest != mark:
            raise ValueError(f"{name}: the clip has changed since it was scored; choose another folder or start fresh")
        return Started(work.known[name], None)
    usable = len(noisy) == len(clean) and clean.any()
    row = Row(name, len(noisy) / work.options.rate, mark, snr(noisy, clean) if usable else float("nan"), 0.0, Scores())
    begin = time.perf_counter()
    try:
        if len(noisy) != len(clean):
            raise ValueError(f"the noisy clip has {len(noisy)} samples, the clean one {len(clean)}")
        enhanced = work.system.enhance(name, noisy, work.options.rate)
    except ValueError as error:
        return Started(row._replace(scores=Scores(failures=dict.fromkeys(work.options.columns, str(error)))), None)
    row = row._replace(processing=time.perf_counter() - begin)
    if work.options.recogniser:
        said = (work.options.transcripts or {}).get(name)
        found = word_errors.word_scores(name, work.options.recogniser, enhanced, clean, work.options.rate, said)
        row = row._replace(scores=found)
    return Started(row, work.scorers.submit(clean, enhanced))


def _finished(started: Iterator[Started], limit: int) -> Iterator[Row]:
    """Yield rows in order while up to `limit` clips are being scored."""
    waiting: deque[Started] = deque()
    for item in started:
        waiting.append(item)
        if len(waiting) > limit:
            yield _complete(waiting.popleft())
    while waiting:
        yield _complete(waiting.popleft())


def _complete(started: Started) -> Row:
    if started.scores is None:
        return started.row
    own, measured = started.row.scores, started.scores.result()
    return started.row._replace(scores=Scores(measured.values | own.values, measured.failures | own.failures))


def _harm(
    work: ClipWork, pairs: Sequence[tuple[str, Samples, Samples]], known: Mapping[str, Any], summary: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Measure the harm on clips spread over the set, unless an earlier run did so on the same."""
    probes = work.options.probes
    if not (probes and work.system.live):
        return None
    same = all(known.get(key) == summary[key] for key in ("model", "data", "versions"))
    harm: Any = known.get("harm")
    if same and not work.options.fresh and side_effects.is_measured(harm) and harm.get("probes") == probes:
        return dict(harm)
    places = np.unique(np.linspace(0, len(pairs) - 1, min(probes, len(pairs))).astype(int))
    found = side_effects.measure(work.system, (pairs[place] for place in places), work.scorers, work.options.rate)
    return found | {"probes": probes}


def digest(*waves: Samples) -> str:
    """Return a short hash of samples."""
    state = hashlib.sha256()
    for wave in waves:
        state.update(np.ascontiguousarray(wave, dtype=np.float32).tobytes() + b"|")
    return state.hexdigest()[:16]


def digest_of(rows: Iterable[Row]) -> str:
    """Return the hash of a set, whatever the order of its clips."""
    lines = sorted(f"{row.name} {row.digest}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def versions() -> dict[str, str]:
    """Return what the scores were computed with."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _scoring_versions() -> dict[str, str]:
    return {f"version of {name}": text for name, text in versions().items() if name in ("frcrn", "pesq", "pystoi")}
