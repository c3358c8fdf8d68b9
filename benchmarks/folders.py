"""How much faster two processes enhance a folder than one, in turn on the same files; 1.7 times is asked for.

python benchmarks/folders.py                          # 1,000 files of 2 to 6 s, two rounds
python benchmarks/folders.py --files 60 --rounds 1    # a try
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from frcrn import audio
from frcrn.audio.sample import sample

WANTED = 1.7
MEAN = 4.0
"""Seconds of audio a file; the shortest has half of it, the longest one and a half."""


def make(folder: Path, files: int, mean: float = MEAN) -> float:
    """Write pieces of the bundled noisy sample, in ten folders; return the seconds of audio."""
    noisy, rate = sample().samples[0], sample().rate
    noisy = np.tile(noisy, 1 + int(1.5 * mean * rate) // len(noisy))
    random = np.random.default_rng(0)
    total = 0.0
    for number in range(files):
        length = round(random.uniform(0.5, 1.5) * mean * rate)
        path = folder / f"{number % 10}" / f"{number:05}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, np.roll(noisy, number * 997)[:length], rate)
        total += length / rate
    return total


def run(source: Path, jobs: int, model: str) -> float:
    """Enhance the folder from the command line into a new one; return the seconds it took."""
    out = source.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "frcrn", "enhance", str(source), "-o", str(out), "-m", model, "-j", str(jobs)]
    begin = time.perf_counter()
    done = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    elapsed = time.perf_counter() - begin
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    if summary["enhanced"] != summary["files"]:
        sys.exit(f"{jobs} processes: {summary}")
    return elapsed


def main() -> None:
    """Measure one process and several in turn; all of them with one thread each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "in"
        seconds = make(source, args.files)
        print(f"{args.files} files, {seconds / 60:.1f} minutes of audio", flush=True)
        times: dict[int, list[float]] = {1: [], args.jobs: []}
        for _ in range(args.rounds):
            for jobs, taken in times.items():
                taken.append(run(source, jobs, args.model))
                print(f"{jobs} processes: {taken[-1]:.1f} s, {seconds / taken[-1]:.1f} times real time", flush=True)
    ratio = sum(times[1]) / sum(times[args.jobs])
    print(f"{args.jobs} processes are {ratio:.2f} times as fast as one; {WANTED} wanted of two")


if __name__ == "__main__":
    main()
