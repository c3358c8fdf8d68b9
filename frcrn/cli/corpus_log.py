"""What `frcrn enhance --ray` says while it works: failures, progress with audio hours an hour, a summary."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from frcrn.cli.common import Bar, progress_bar
from frcrn.cli.enhance_log import COLUMNS, FAILURES, refuse_other
from frcrn.texts import cell
from frcrn.visible import visible

if TYPE_CHECKING:
    from frcrn.inference.one_file import Settings
    from frcrn.scale.places import Place
    from frcrn.scale.work import Row


def enhance(args: argparse.Namespace, settings: Settings) -> int:
    """Enhance a corpus, telling what becomes of it; return the exit code."""
    from frcrn.scale.corpus import Corpus

    corpus = Corpus(args.inputs[0], args.output, settings, args.force)
    if corpus.goal.local:
        refuse_other(Path(corpus.goal.path, FAILURES))
    sizes = {piece.name: float(piece.size) for piece in corpus.pieces if not piece.problem}
    with progress_bar(sum(sizes.values()), "") as bar:
        log = CorpusLog(corpus.goal, sizes, bar, as_json=args.json, quiet=args.quiet)
        try:
            with closing(corpus.rows(args.ray or None, args.jobs)) as rows:
                for row in rows:
                    log.add(row)
        except (KeyboardInterrupt, SystemExit):
            log.close(stopped=True)
            raise
        log.close(stopped=False)
    return 2 if log.failures else 0


class CorpusLog:
    """Counts, progress, and the list of failures, which is written at the end."""

    def __init__(self, goal: Place, sizes: dict[str, float], bar: Bar, *, as_json: bool, quiet: bool) -> None:
        self.goal, self.sizes, self.bar, self.as_json, self.quiet = goal, sizes, bar, as_json, quiet
        self.counts: Counter[str] = Counter()
        self.failures: list[Row] = []
        self.seconds = self._bytes = 0.0
        self._begun = time.monotonic()

    def add(self, row: Row) -> None:
        """Note and tell what became of a piece, or of one recording in it."""
        row = row._replace(error=row.error and visible(row.error))
        self.counts[row.status] += 1
        self.seconds += row.seconds
        if row.status == "failed":
            self.failures.append(row)
        self.bar.clear()
        self._tell(row)
        if row.member is None:
            size = self.sizes.pop(row.name, 0.0)  # the second row of a name is that of a problem
            self._bytes += size
            if row.status == "done before":
                self.bar.skip(size)
        pace = self.seconds / max(time.monotonic() - self._begun, 1e-9)
        self.bar.note = f"{sum(self.counts.values())} results, {pace:.1f} hours of audio an hour,"
        self.bar(self._bytes)

    def close(self, *, stopped: bool) -> None:
        """Write failures.csv, or remove it where nothing failed, and print the summary."""
        self.bar.clear()
        if self.failures:
            (self.goal / FAILURES).store(as_csv(self.failures).encode(errors="surrogateescape"))
        else:
            (self.goal / FAILURES).remove()
        elapsed = time.monotonic() - self._begun
        if self.as_json:
            counts = {"files": self.counts.total() - self.counts["copied"], "enhanced": self.counts["enhanced"]}
            counts |= {"done_before": self.counts["done before"], "failed": len(self.failures)}
            times = {"seconds_of_audio": round(self.seconds, 3), "elapsed": round(elapsed, 3)}
            print(json.dumps({"summary": counts | times | {"stopped": stopped}}), flush=True)
        elif self.failures or stopped or not self.quiet:
            print(self._summary(elapsed, stopped=stopped), file=sys.stderr if self.failures or stopped else sys.stdout)

    def _tell(self, row: Row) -> None:
        if self.as_json:
            told = {"source": row.source, "target": row.name, "member": row.member, "status": row.status}
            print(json.dumps(told | {"error": row.error, "seconds_of_audio": row.seconds}), flush=True)
        elif row.status == "failed":
            print(f"frcrn: {row.error}", file=sys.stderr)

    def _summary(self, elapsed: float, *, stopped: bool) -> str:
        before, failed = self.counts["done before"], len(self.failures)
        text = f"{self.counts['enhanced']} recordings enhanced, {failed} failed, {before} files done before"
        text += f"; {self.seconds / 3600:.2f} hours of audio, {self.seconds / max(elapsed, 1e-9):.1f} hours an hour"
        text += f"; the reasons are in {(self.goal / FAILURES).url}" if failed else ""
        return text + ("; give the same command again to go on" if stopped else "")


def as_csv(failures: list[Row]) -> str:
    """Return the list of failures."""
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in failures:
        source = f"{row.source}:{row.member}" if row.member else row.source
        table.writerow([cell(source), cell(row.name), cell(row.error or "")])
    return lines.getvalue()
