"""Attack the readers in Python with changed files: sound, recipes, configurations, descriptions, weights, manifests.

    python -m tests.fuzz.readers SECONDS

Whatever is neither read nor refused in a sentence is kept in build/fuzz/found, and ends it with status 1.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from frcrn import audio
from frcrn.evaluation import peers
from frcrn.export.onnx.folder import ABOUT, described
from frcrn.inference.manifest import NAME, Manifest
from frcrn.models.checkpoint import load
from frcrn.models.directories import CONFIGURATION
from frcrn.scale.planning import plan
from frcrn.training import recipe
from tests.limits import bounded
from tests.strange_audio import BASES, made
from tests.strange_models import weights
from tests.test_strange_names import ABOUT_IT

CONFIGS = Path(__file__).parents[2] / "configs"
FOUND = Path("build", "fuzz", "found")
TOKENS = (
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b'""',
    b"[]",
    b"{}",
    b"[[[[",
    b'"\\ud800"',
    b"9" * 20,
)
"""What a piece of JSON is exchanged for."""


def at(name: str, reader: Callable[[Path], Any], content: bytes, folder: Path) -> None:
    """Give a reader the folder in which a file has this content."""
    (folder / name).write_bytes(content)
    reader(folder)


def whole(name: str, reader: Callable[[Path], Any]) -> Callable[[bytes, Path], None]:
    return partial(_of_file, name, reader)


def _of_file(name: str, reader: Callable[[Path], Any], content: bytes, folder: Path) -> None:
    at(name, lambda place: reader(place / name), content, folder)


def of_folder(name: str, reader: Callable[[Path], Any]) -> Callable[[bytes, Path], None]:
    return partial(at, name, reader)


def a_manifest() -> bytes:
    lines = [{"settings": "a", "are": {}}, {"file": "a.wav", "source": "0", "settings": "a", "target": "1"}]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def rows_of_json() -> bytes:
    rows: list[dict[str, Any]] = [{"path": "a.wav", "id": "x", "start": 0.1, "end": None}, {"path": "file:///b.wav"}]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def rows_of(name: str) -> Callable[[bytes, Path], None]:
    """Plan what a list of recordings asks for."""
    return of_folder(name, lambda folder: plan(str(folder / name), str(folder / "out")))


def targets() -> list[tuple[str, list[bytes], Callable[[bytes, Path], None]]]:
    """Return what is attacked: its name, files that are right, and how a changed one is read."""
    recipes, networks = (
        [path.read_bytes() for path in sorted(folder.glob("*.json"))] for folder in (CONFIGS, CONFIGS / "peers")
    )
    return [
        ("sound", [made(*kind) for kind in BASES], whole("a", audio.read)),
        ("recipe", recipes, whole("a.json", recipe.read)),
        (
            "peer",
            [path.read_bytes() for path in sorted((CONFIGS / "peers").glob("*.json"))],
            whole("a.json", peers.describe),
        ),
        ("configuration", [(CONFIGS.parent / CONFIGURATION).read_bytes()], of_folder(CONFIGURATION, load)),
        ("export", [json.dumps(ABOUT_IT).encode()], of_folder(ABOUT, described)),
        ("weights", [weights()], whole("model.safetensors", load)),
        ("rows", [rows_of_json()], rows_of("rows.jsonl")),
        ("table", [b"path,id,start,end\na.wav,x,0.1,0.5\nfile:///b.wav,,,\n"], rows_of("rows.csv")),
        ("manifest", [a_manifest()], of_folder(NAME, lambda place: Manifest(place).records)),
    ]


def changed(content: bytes, chance: random.Random) -> bytes:
    """Flip bits, put other numbers or tokens in, cut, repeat; mostly near the beginning."""
    copy = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        end = max(1, min(len(copy), chance.choice((64, 200, len(copy) or 1))))
        place, kind = chance.randrange(end), chance.randrange(6)
        if kind == 0 and copy:
            copy[min(place, len(copy) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            copy[place : place + 4] = chance.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(4, "little")
        elif kind == 2:
            stop = next((i for i in range(place, len(copy)) if copy[i : i + 1] in b",]}\n"), place)
            begin = max(copy.rfind(b":", 0, stop), copy.rfind(b"[", 0, stop), copy.rfind(b",", 0, stop)) + 1
            copy[begin:stop] = chance.choice(TOKENS)
        elif kind == 3:
            del copy[place : place + chance.choice((1, 4, 100, len(copy)))]
        elif kind == 4:
            copy[place:place] = copy[place : place + chance.choice((1, 8, 64))]
        else:
            copy[place : place + 1] = bytes([chance.randrange(256)])
    return bytes(copy)


def attack(seconds: float, seed: int, most: int = 2**62) -> tuple[Counter[str], list[str]]:
    """Return how many files each reader got, and what went wrong."""
    chance, counts, wrong, aims = random.Random(seed), Counter[str](), [], targets()
    end = time.monotonic() + seconds
    while time.monotonic() < end and counts.total() < most and len(wrong) < 20:
        name, seeds, reader = aims[counts.total() % len(aims)]
        content = changed(chance.choice(seeds), chance)
        counts[name] += 1
        if reason := trouble(reader, content):
            FOUND.mkdir(parents=True, exist_ok=True)
            (FOUND / f"{name}-{seed}-{counts[name]}").write_bytes(content)
            wrong.append(f"{name}-{seed}-{counts[name]}: {reason}")
    return counts, wrong


def trouble(reader: Callable[[bytes, Path], None], content: bytes) -> str | None:
    """Return what was wrong with how a reader took a file; None where it read or refused it."""
    with bounded(seconds=20, gigabytes=6):
        return taken(reader, content)


def taken(reader: Callable[[bytes, Path], None], content: bytes) -> str | None:
    """The same, without limits of its own."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader(content, Path(folder))
        except (TimeoutError, UnicodeError) as error:
            return repr(error)
        except (ValueError, OSError, ImportError) as error:
            return None if "\n" not in str(error) else f"more than a line: {error}"
        except BaseException as error:  # noqa: BLE001 - whatever else there is is what is looked for
            return f"{type(error).__name__}: {error}\n{traceback.format_exc()[-600:]}"
    return None


def main(seconds: float) -> int:
    """Attack for so long; print how often."""
    counts, wrong = attack(seconds, seed=int(time.time()))
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())), f"- {counts.total()} files in all")
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
