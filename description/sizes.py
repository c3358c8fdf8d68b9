"""The table of sizes in docs/plugins.md, for machines with little memory: python -m description.sizes

What each bundled model takes, and the code for each processor whose compiler is installed; the other rows of code are
left as they are.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from frcrn.export.native.library import SOURCES, source
from frcrn.export.native.network import write_program
from frcrn.export.web.folder import WASM, package
from frcrn.models.checkpoint import load, names

PAGE = Path(__file__).parent.parent / "docs" / "plugins.md"
OPTIONS = ("-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math")


class Target(NamedTuple):
    """A processor: its name, its compiler in Debian, more options, and what runs its programs here."""

    name: str
    compiler: str
    options: tuple[str, ...]
    emulator: str


NEON = ("-mfpu=neon", "-funsafe-math-optimizations")
TARGETS = (
    Target("AArch64, NEON", "aarch64-linux-gnu-gcc", (), "qemu-aarch64"),
    Target("ARMv7, NEON", "arm-linux-gnueabihf-gcc", NEON, "qemu-arm"),
)


def model_rows() -> list[str]:
    """Return a row for each bundled model."""
    rows = ["| model | file | memory: weights and program | state of a stream | scratch |", "|---|---|---|---|---|"]
    for name in names():
        content = write_program(load(name))
        _, _, _, state, scratch, words, weights, _ = struct.unpack_from("<8i", content, 8)
        sizes = (len(content), 4 * (weights + words), 4 * state, 4 * scratch)
        rows.append(f"| {name} | {' | '.join(f'{size / 1e3:,.0f} kB' for size in sizes)} |")
    return rows


def compile_to(target: Target, path: Path, main: bytes | None, *options: str, names: Sequence[str] = SOURCES) -> None:
    """Compile the C of streams for another processor: a program with this main file, or one object of these sources."""
    with tempfile.TemporaryDirectory() as folder:
        for name in SOURCES:
            Path(folder, name).write_bytes(source(name))
        files = [name for name in names if name.endswith(".c")]
        if main is not None:
            Path(folder, "main.c").write_bytes(main)
            files.append("main.c")
        kind = ["-r", "-nostdlib"] if main is None else ["-lm"]
        command = [target.compiler, *OPTIONS, *target.options, *options, *files, "-o", str(path.absolute()), *kind]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def code_size(target: Target, names: Sequence[str]) -> int:
    """Return how many bytes of code and constants these sources become."""
    with tempfile.TemporaryDirectory() as folder:
        compile_to(target, path := Path(folder, "all.o"), None, names=names)
        tool = target.compiler.removesuffix("gcc") + "size"
        found = subprocess.run([tool, str(path)], check=True, capture_output=True, text=True).stdout
    return int(found.splitlines()[1].split()[0])


def code_rows(before: str) -> list[str]:
    """Return a row for each processor; those that cannot be compiled for here are as they were."""
    rows = ["| processor | `frcrn.c` alone | with `denoiser.c`, for any rate |", "|---|---|---|"]
    for target in TARGETS:
        if shutil.which(target.compiler):
            sizes = [code_size(target, names) for names in (["frcrn.c"], SOURCES)]
            rows.append(f"| {target.name} | {' | '.join(f'{size / 1e3:,.0f} kB' for size in sizes)} |")
        elif kept := re.search(rf"^\| {re.escape(target.name)} \|.*$", before, re.MULTILINE):
            rows.append(kept[0])
    rows.append(f"| WebAssembly, SIMD, with libm and malloc | | {len(package()[WASM]) / 1e3:,.0f} kB |")
    return rows


def replaced(text: str, name: str, rows: list[str]) -> str:
    """Return a page with other rows between its marks."""
    before, begin, rest = text.partition(f"<!-- {name}: begin -->\n")
    _, end, after = rest.partition(f"<!-- {name}: end -->\n")
    return before + begin + "\n".join(rows) + "\n" + end + after


def main() -> None:
    """Write both tables."""
    text = PAGE.read_text(encoding="utf-8")
    text = replaced(text, "models", model_rows())
    PAGE.write_text(replaced(text, "code", code_rows(text)), encoding="utf-8")


if __name__ == "__main__":
    main()
