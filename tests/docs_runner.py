"""Find and run the code blocks of Markdown pages, in a folder with the sample files that they speak of."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frcrn import audio
from frcrn.cli import build_parser, main
from tests.made_audio import corpus, noise, speech

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?:^<!-- check: (?P<check>.+?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
RATE = 16000

# what the pages' commands get in addition, so that they end soon
SHORT = {
    "train": "--set train.max_steps=2 --set train.batch_size=2 --set train.workers=0 --set evaluation.every=2 "
    "--set evaluation.examples=2 --set evaluation.clips=1 --set data.length=8 --set data.seconds=1 "
    "--set valid.length=2 --set valid.seconds=2 --set valid.valid_share=0.34 --set data.valid_share=0.34",
    "evaluate": "--workers 1 --probes 0 --fresh",
    "compare": "--workers 1 --probes 0 --fresh",
}


class Block(NamedTuple):
    """One block of code, and what a comment before it says about its check."""

    page: str
    line: int
    language: str
    code: str
    check: str

    @property
    def name(self) -> str:
        """What a test of it is called."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """The pages whose blocks are run."""
    found = [ROOT / "README.md", ROOT / "README_zh.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        yield Block(page, line, found["language"], found["code"], found["check"] or "")


def samples(folder: Path) -> Path:
    """Write what the pages speak of: recordings, pairs, sets of speech and noise, released weights, this repository."""
    for number, name in enumerate(("noisy.wav", "noisy.flac", "recordings/a.wav", "recordings/deep/b.flac")):
        store(folder / name, speech(1.5, number) + noise(1.5, number))
    store(folder / "stereo.wav", np.stack([speech(1, 5), noise(1, 5)]))
    store(folder / "cut.wav", speech(1, 6))
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[:20000])
    for number in range(2):
        clean = speech(3, number + 20)
        store(folder / f"pairs/clean/{number}.wav", clean)
        store(folder / f"pairs/noisy/{number}.wav", clean + noise(3, number))
    corpus(folder, speakers=4, each=3)
    for name in ("configs", "benchmarks", "description"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "path/to/this").mkdir(parents=True)
    (folder / "path/to/this/repository").symlink_to(ROOT)
    return folder


def store(path: Path, wave: np.ndarray) -> None:
    """Write a wave, folders and all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, wave, RATE)


def lines(code: str) -> list[str]:
    """The commands of a shell block, continued lines joined, comments left out."""
    joined = code.replace("\\\n", " ")
    return [line for line in (without_comment(line) for line in joined.splitlines()) if line]


def without_comment(line: str) -> str:
    """Cut off what follows a # that begins a word."""
    return re.sub(r"(^|\s)#.*$", "", line).strip()


def shortened(words: list[str]) -> list[str]:
    """Add what makes a command of ours end soon."""
    return words + shlex.split(SHORT.get(words[0], ""))


def run_command(line: str) -> None:
    """Run one command of a shell block: ours in this process, everything else in a shell that finds ours."""
    words = shlex.split(line)
    if words[0] == "frcrn" and not set(words) & {"|", ">", "<", "&&"}:
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            try:
                code = main(shortened(words[1:]))
            except SystemExit as left:
                code = int(left.code or 0)
        assert code == 0, f"{line}: exit code {code}\n{said.getvalue()}"
        return
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    environment = os.environ | {"PATH": os.pathsep.join(places), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-ec", f"set -o pipefail; {line}"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}: exit code {done.returncode}\n{done.stderr}"


def parse(line: str) -> None:
    """Check a command without running it: its options, the make target, the extras, the file that it names."""
    words = shlex.split(line)
    if words[0] == "frcrn":
        build_parser().parse_args(words[1:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), line
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file() or words[1] == "-m", line
    elif words[:2] == ["pip", "install"]:
        known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.M)
        for extras in re.findall(r"\[(.*?)\]", line):
            assert set(extras.split(",")) <= set(known), line
    else:
        assert shutil.which(words[0]) or words[0] in ("sudo", "apt-get", "brew", "source"), line
