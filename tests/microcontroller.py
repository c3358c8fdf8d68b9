"""Builds an exported network of whole numbers for a Cortex-M, and runs its check on an emulated board.

`python -m tests.microcontroller` writes the table of docs/networks.md.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent / "arm"
COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
FRAMES = 50


class Board(NamedTuple):
    """A processor, the emulated board that has it, where its constants go, and nanoseconds a tick of its timer."""

    processor: str
    machine: str
    constants: int
    tick: float


BOARDS = (
    Board("cortex-m4", "mps2-an386", 0x00080000, 40.0),
    Board("cortex-m55", "mps3-an547", 0x01000000, 31.25),
)


class Found(NamedTuple):
    """What a run said, and bytes and instructions of the network."""

    said: str
    instructions: int
    code: int
    constants: int
    memory: int


def can_build() -> bool:
    return all(shutil.which(name) for name in (COMPILER, EMULATOR))


def compiled(folder: Path, board: Board, build: Path) -> dict[str, tuple[int, int, int]]:
    """Compile a folder's C and link it with the check; return text, data and bss of each object."""
    options = [
        f"-mcpu={board.processor}",
        "-mthumb",
        "-mfloat-abi=soft",
        "-O3",
        "-ffreestanding",
        "-Wall",
        "-Werror",
    ]
    sizes = {}
    sources = sorted(folder.glob("*.c"))
    for path in (*sources, HERE / "startup.c"):
        made = build / f"{path.stem}.o"
        command = [COMPILER, *options, "-DCHECK_ONLY", f"-I{folder}", "-c", str(path), "-o", str(made)]
        subprocess.run(command, check=True)
        rows = subprocess.run(["arm-none-eabi-size", str(made)], check=True, capture_output=True, text=True).stdout
        text, data, bss = map(int, rows.splitlines()[1].split()[:3])
        sizes[path.stem] = (text, data, bss)
    script = (HERE / "link.ld").read_text().replace("CONSTANTS_AT", hex(board.constants))
    (build / "link.ld").write_text(script)
    objects = [str(path) for path in build.glob("*.o")]
    command = [COMPILER, *options, "-nostdlib", "-nostartfiles", "-T", str(build / "link.ld"), *objects]
    # nothing is linked but this: what is missing here, such as memcpy or a float helper, would be an error
    subprocess.run([*command, "-o", str(build / "check.elf")], check=True)
    return sizes


def run(folder: Path, board: Board) -> Found:
    """Return what the check says on the emulated board; the emulator counts each instruction as a nanosecond."""
    with tempfile.TemporaryDirectory() as name:
        build = Path(name)
        sizes = compiled(folder, board, build)
        command = [EMULATOR, "-M", board.machine, "-nographic", "-monitor", "none", "-serial", "none"]
        command += ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]
        command += ["-kernel", str(build / "check.elf")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    said, _, ticks = (done.stdout + done.stderr).strip().rpartition(" ")
    tables = next(size for name, size in sizes.items() if name.startswith("def_"))
    memory = sizes["check"][2]
    return Found(said, round(int(ticks) * board.tick / FRAMES), sizes["fixed"][0], tables[0] + tables[1], memory)


def table() -> str:
    """Return the table of both sizes on both processors."""
    import torch

    from frcrn.export.fixed.folder import export_fixed
    from frcrn.models import NNSE, NNSEConfig

    lines = [
        "| network | processor | program | tables | memory | instructions a frame | of a processor at 100 MHz |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, config in (("`nnse`", NNSEConfig()), ("`nnse` `large`", NNSEConfig.large())):
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            export_fixed(NNSE(config).eval(), folder)
            for board in BOARDS:
                found = run(Path(folder), board)
                assert found.said == "exact", found
                share = found.instructions / 1e6
                lines.append(
                    f"| {label} | {board.processor} | {found.code / 1000:.1f} kB | {found.constants / 1000:.1f} kB "
                    f"| {found.memory / 1000:.1f} kB | {found.instructions / 1e6:.2f} M | {share:.0%} |"
                )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = HERE.parent.parent / "docs" / "networks.md"
    begin, end = "<!-- microcontroller: begin -->\n", "<!-- microcontroller: end -->\n"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(before + begin + table() + end + rest.partition(end)[2], encoding="utf-8")
