"""Attack the reader of model files in C with libFuzzer, AddressSanitizer and UBSan: python -m tests.fuzz SECONDS

What it finds is kept in build/fuzz/found, what it grew its inputs to in build/fuzz/grown. It needs clang.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from frcrn.export.native import library
from tests.fuzz.seeds import seeds

FOLDER = Path("build", "fuzz")
OPTIONS = ["-g", "-O2", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]
BOUNDED = "-DMOST_COST=(1<<19)"  # steps of a millisecond at most, so that there are many


def built(folder: Path, *more: str) -> Path:
    """Return the fuzzer, compiled into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in library.SOURCES:
        (folder / name).write_bytes(library.source(name))
    shutil.copy(Path(__file__).with_name("model_fuzzer.c"), folder)
    command = [
        "clang",
        *OPTIONS,
        *more,
        BOUNDED,
        "model_fuzzer.c",
        "frcrn.c",
        "band.c",
        "denoiser.c",
        "-o",
        "model_fuzzer",
        "-lm",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "model_fuzzer"


def run(fuzzer: Path, folder: Path, *limits: str) -> subprocess.CompletedProcess[str]:
    """Fuzz from the seeds on, within limits; anything that is found ends it."""
    corpus, grown, found = (folder / name for name in ("corpus", "grown", "found"))
    for each in (corpus, grown, found):
        each.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (corpus / f"{name}.frcrn").write_bytes(content)
    command = [str(fuzzer.resolve()), "-max_len=34000", "-timeout=10", "-rss_limit_mb=4000", "-print_final_stats=1"]
    command += [*limits, f"-artifact_prefix={found}/", str(grown), str(corpus)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)


def main(seconds: int) -> int:
    """Half of the time with vectors of this machine, half with those that every machine has."""
    for options in ("-march=native",), ():
        done = run(built(FOLDER, *options), FOLDER, f"-max_total_time={max(1, seconds // 2)}")
        print("\n".join(line for line in done.stderr.splitlines() if "stat::number_of_executed_units" in line))
        if done.returncode:
            print(done.stderr[-4000:])
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
