"""How long a corpus takes on a cluster: a seeded simulation, and beside it a real run on this machine with --real.

python benchmarks/scale.py                                   # 100,000 files on 64 cores: skew, node failures, unit size
python benchmarks/scale.py --real --files 1000 --workers 2   # Ray against --jobs on the same files, and the simulation
python benchmarks/scale.py --real --files 600 --seconds 60 --workers 2 --rounds 2
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.folders import MEAN, make, run

PACE = 55.0
"""Hours of audio per core hour; --pace changes it."""
A_FILE, A_UNIT, START = 0.004, 0.02, 8.0
"""Seconds for opening and storing a file, for handing out a unit, and for starting an actor."""


def lengths(files: int, mean: float, skew: float, seed: int = 0) -> np.ndarray:
    """Return seconds [files] of a log-normal law with this mean; skew 0 makes all alike."""
    return np.random.default_rng(seed).lognormal(np.log(mean) - skew**2 / 2, skew, files)


def simulate(seconds: np.ndarray, workers: int, unit: int, failures: float, pace: float, start: float = START) -> float:
    """Return the hours until all is done; `failures` is how often a worker dies in an hour, losing its unit's work."""
    random = np.random.default_rng(0)
    order = np.sort(seconds)[::-1]
    work = [part.sum() / pace + A_FILE * len(part) + A_UNIT for part in np.split(order, range(unit, len(order), unit))]
    free = [start] * workers
    for cost in sorted(work, reverse=True):
        now = heapq.heappop(free)
        while failures and (dies := random.exponential(3600 / failures)) < cost:
            now += dies + start
        heapq.heappush(free, now + cost)
    return max(free) / 3600


def tables(files: int, workers: int, pace: float) -> None:
    """Print how skew, failures and unit size act, one at a time."""
    for name, cases in (
        ("skew of lengths", [(skew, 16, 0.0) for skew in (0.0, 1.0, 2.0, 3.0)]),
        ("files a unit", [(1.0, unit, 0.0) for unit in (1, 16, 64, 512, 4096)]),
        ("deaths a worker hour", [(1.0, 16, rate) for rate in (0.0, 0.1, 1.0, 10.0)]),
        ("deaths, 512 files a unit", [(1.0, 512, rate) for rate in (0.0, 0.1, 1.0, 10.0)]),
    ):
        print(name)
        for skew, unit, rate in cases:
            seconds = lengths(files, 6.0, skew)
            ideal = seconds.sum() / pace / workers / 3600
            found = simulate(seconds, workers, unit, rate, pace)
            print(f"  skew {skew}, unit {unit}, deaths {rate}: {found:.3f} h, {ideal / found:.0%} of the cores used")


class Run(NamedTuple):
    """Seconds until Ray was there, until its first rows and its last, files a second in the second half, CPU time."""

    started: float
    first: float
    last: float
    later: float
    cpu: float


def on_ray(source: Path, out: str, files: int, workers: int) -> Run:
    """Enhance a folder on a cluster that is started for it."""
    from frcrn.scale.cluster import connected
    from frcrn.scale.corpus import enhance_corpus

    came: list[float] = []
    spent: dict[int, float] = {}

    def progress(_: object) -> None:
        came.append(time.perf_counter())
        if len(came) % 20 == 0:
            note(spent)

    begin, before = time.perf_counter(), time.process_time()
    with connected(None, workers):
        started = time.perf_counter() - begin
        counts = enhance_corpus(str(source), out, actors=workers, progress=progress)
        note(spent)
    if counts["enhanced"] != files:
        sys.exit(f"Ray: {counts}")
    half = len(came) // 2
    later = (len(came) - half) / (came[-1] - came[half - 1])
    return Run(started, came[0] - begin, came[-1] - begin, later, sum(spent.values()) - before)


def note(spent: dict[int, float]) -> None:
    """Note the CPU time of this process and of all that it started; those that end keep what was noted last."""
    import psutil

    mine = psutil.Process()
    for each in (mine, *mine.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            spent[each.pid] = sum(each.cpu_times()[:2])


def children() -> float:
    """Return the CPU time of all processes that were started from here and have ended."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def real(files: int, mean: float, workers: int, rounds: int) -> None:
    """Measure Ray and processes on the same files in turn, and what the simulation says of the pace found."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "in"
        seconds = make(source, files, mean)
        print(f"{files} files, {seconds / 3600:.2f} hours of audio", flush=True)
        for number in range(rounds):
            before = children()
            plain = run(source, workers, "default")
            used = children() - before
            print(f"--jobs {workers}: CPU time of all processes {used:.1f} s", flush=True)
            cluster = on_ray(source, f"{temporary}/ray{number}", files, workers)
            print(f"--jobs took {used / cluster.cpu:.2f} times the CPU time of Ray")
            compare(files, seconds, workers, plain, cluster)


def compare(files: int, seconds: float, workers: int, plain: float, cluster: Run) -> None:
    """Print a round, and the simulation of it: with the pace of the processes, and the start that was measured."""
    print(f"--jobs {workers}: {plain:.1f} s, {files / plain:.1f} files a second")
    print(f"Ray: there after {cluster.started:.1f} s, first rows after {cluster.first:.1f} s, all {cluster.last:.1f} s")
    print(f"its second half: {cluster.later:.1f} files a second, {cluster.later * plain / files:.2f} times --jobs")
    print(f"start included: {plain / cluster.last:.2f} times --jobs; CPU time of all processes {cluster.cpu:.1f} s")
    pace, unit = seconds / plain / workers, max(1, files // (24 * workers))
    found = 3600 * simulate(np.full(files, seconds / files), workers, unit, 0.0, pace, start=cluster.first)
    print(f"simulated with {pace:.1f} hours of audio per process hour: {found:.1f} s", flush=True)


def main() -> None:
    """Simulate, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--pace", type=float, default=PACE)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=MEAN, help="mean length of the files of a real run")
    parser.add_argument("--real", action="store_true")
    args = parser.parse_args()
    if args.real:
        real(args.files, args.seconds, args.workers, args.rounds)
    else:
        tables(args.files, args.workers, args.pace)


if __name__ == "__main__":
    main()
