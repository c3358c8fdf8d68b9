"""Compile the interpreter in C, at its first use or for a wheel; `setup.py` runs this: it imports nothing of ours."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

OPTIONS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
TUNED = ["-march=native"] if os.name == "posix" else []
"""For the processor that compiles; on Windows, GCC does not align the stack for vectors wider than those of SSE2."""

AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
LEVELS = {"base": [], "avx2": AVX2, "avx512": AVX512, "avx512bf16": [*AVX512, "-mavx512bf16"]}
"""What a wheel holds, in the order of what `levels.c` returns; processors other than x86-64 have the base alone."""

PROGRAMS = ("run.c",)
"""What has a `main` of its own; all other C files together are the library."""


def parts(names: list[str]) -> list[str]:
    """Return which of these files are compiled into the library."""
    return sorted(name for name in names if name.endswith(".c") and name not in PROGRAMS)


def compiler() -> str | None:
    """Return the C compiler that there is: the one the environment names as CC, else a usual one."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    return next((found for name in names if (found := shutil.which(name))), None)


def compile_library(folder: Path, target: Path, program: str, options: list[str]) -> str | None:
    """Compile the C files of a folder into a library; return the compiler's complaint, None where it is content."""
    files = [str(folder / name) for name in parts(os.listdir(folder))]
    command = [program, *options, *files, "-o", str(target), "-lm"]
    try:
        # what the compiler leaves where it is killed goes with the folder
        there = os.environ | {"TMPDIR": str(folder)}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=there)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["it says nothing"])[0]


def shipped_name(level: str) -> str:
    """Return the file of a compiled form in a wheel."""
    return f"frcrn_{level}.so"


def compile_for_wheel(folder: Path, target: Path) -> list[Path]:
    """Compile all forms for this kind of processor; none at all where that cannot be done, nor on Windows (untried)."""
    program = compiler() if os.name == "posix" else None
    levels = LEVELS if platform.machine() in ("x86_64", "AMD64") else {"base": LEVELS["base"]}
    made = [target / shipped_name(level) for level in levels]
    if program and not any(
        compile_library(folder, path, program, [*OPTIONS, *options, "-s"])
        for path, options in zip(made, levels.values(), strict=True)
    ):
        return made
    for path in made:
        path.unlink(missing_ok=True)
    return []


def platform_tag(made: list[Path], otherwise: str) -> str:
    """Return the tag of a wheel with these libraries: on Linux, that of the oldest glibc that has all they need."""
    found = [int(number) for path in made for number in re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())]
    if not found or not otherwise.startswith("linux_"):
        return otherwise
    return f"manylinux_2_{max(17, *found)}_{otherwise.removeprefix('linux_')}"
