"""Write a mixed set in DNS form: clean, noise and noisy files and a manifest; an interrupted one goes on."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from frcrn.audio import replacing, write
from frcrn.data.mixing import Example, Mixing
from frcrn.data.new_folder import WRITTEN, noted, state_of, written_in
from frcrn.data.speech_activity import decibels, power
from frcrn.files import held, refuse_links, sweep
from frcrn.texts import from_csv, read_json

PARTS = ("clean", "noise", "noisy")
MANIFEST, SETTINGS = "manifest.csv", "mix.json"
FULL_SCALE = 32767 / 32768
FOLDERS = ("speech", "noise", "rooms")
COLUMNS = ("fileid", *PARTS, "seconds", "snr_db", "level_dbfs", "damaged")


def write_mix(
    mixing: Mixing, folder: str | Path, *, force: bool = False, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write examples 0 to len(mixing) - 1 of epoch 0 into `folder`; those that are there already stay.

    A folder with anything else in it is refused; with `force`, a set mixed otherwise is replaced.
    """
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root}: expected a folder to write into, found a file")
    root.mkdir(parents=True, exist_ok=True)
    with held(root):
        _write(mixing, root, force, progress)
    return root


def _write(mixing: Mixing, root: Path, force: bool, progress: Callable[[int, int], None] | None) -> None:
    done = _prepare(root, _settings(mixing), len(mixing), force)
    _refuse_changed(
        root, (name for index in range(len(mixing)) if index not in done for name in _names(index).values())
    )
    with (root / MANIFEST).open("a", newline="") as manifest, (root / WRITTEN).open("a", encoding="utf-8") as written:
        for index in range(len(mixing)):
            if index not in done:
                names = _names(index).values()
                written.writelines(json.dumps([name, None]) + "\n" for name in names)
                written.flush()
                try:
                    row = _write_example(root, index, mixing.example(0, index), mixing.sample_rate)
                finally:
                    written.writelines(noted(root, name) for name in names)
                    written.flush()
                # the row comes last and at once, so the manifest never names a file that is not whole
                manifest.write(_line(row))
                manifest.flush()
            if progress:
                progress(index + 1, len(mixing))


def _settings(mixing: Mixing) -> dict[str, Any]:
    """Return all that decides how examples sound; the number of them and the cache do not."""
    table = asdict(mixing.config) | {"seed": mixing.seed, "sample_rate": mixing.sample_rate}
    table["recordings"] = mixing.fingerprint
    if responses := mixing.responses():
        table["responses"] = responses
    settings: dict[str, Any] = json.loads(json.dumps({k: v for k, v in table.items() if k not in ("length", "cache")}))
    return _by_full_names(settings)


def _by_full_names(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings in which each folder has the one name that it has from everywhere."""
    lists = {key: settings[key] for key in FOLDERS if isinstance(settings.get(key), list)}
    return settings | {key: [os.path.realpath(str(name)) for name in names] for key, names in lists.items()}


def _with_responses(before: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Take earlier sets, which did not note how rooms are simulated, for such as are simulated here."""
    simulated = before and "responses" in settings and not settings["rooms"]
    return {"responses": settings["responses"], **before} if simulated else before


def _prepare(root: Path, settings: dict[str, Any], count: int, force: bool) -> set[int]:
    """Fill or take up the folder, and return the numbers that are written."""
    refuse_links(*(root / name for name in (*PARTS, MANIFEST, WRITTEN, SETTINGS)), *_clips(root))
    sweep([root / SETTINGS, root / MANIFEST, root / WRITTEN])
    before = _with_responses(read_json(root / SETTINGS), settings)
    if any(root.iterdir()) and not before.keys() >= {"seed", "sample_rate"}:
        raise ValueError(f"{root}: expected an empty folder or one written by `frcrn data mix`, found other files")
    if before and _by_full_names(before) != settings:  # earlier sets noted the names as they were given
        if not force:
            raise ValueError(f"{root}: holds a set mixed with other settings or recordings; --force replaces it")
        _clear(root)
    with replacing(root / SETTINGS) as beside:  # first: it marks the others as ours
        beside.write_text(json.dumps(settings, indent=1) + "\n")
    for part in PARTS:
        (root / part).mkdir(exist_ok=True)
    sweep(_half_written(root))
    done = _resume(root)
    if max(done, default=-1) < count:
        return done
    if not force:
        raise ValueError(f"{root}: holds {len(done)} clips, more than {count}; --force replaces them")
    _clear(root)
    return _resume(root)


def _clear(root: Path) -> None:
    """Remove what `write_mix` wrote, and nothing that was changed since."""
    _rows(root / MANIFEST)
    clips = _clips(root)
    _refuse_changed(root, [path.relative_to(root).as_posix() for path in clips])
    for path in (*clips, root / MANIFEST, root / WRITTEN):
        path.unlink(missing_ok=True)


def _refuse_changed(root: Path, names: Iterable[str]) -> None:
    """Refuse to replace a clip that was not written here or was changed since; one that was half-written is ours."""
    written = written_in(root)
    for path, noted_state in ((root / name, written.get(name, ())) for name in names):
        if path.exists() and noted_state not in (None, state_of(path)):
            raise ValueError(
                f"{path}: `frcrn data mix` did not write it, or it was changed since, and it would be replaced; "
                "move it, or choose another folder"
            )


def _clips(root: Path) -> list[Path]:
    """List the files that have the names of clips."""
    named = (path for part in PARTS for path in (root / part).glob(f"{part}_fileid_*.wav"))
    return [path for path in named if path.stem.split("_", 2)[2].isdigit()]


def _half_written(root: Path) -> list[Path]:
    """List the clips that a run which was killed has left half-written."""
    left = (path for part in PARTS for path in (root / part).glob(f".{part}_fileid_*.wav.????????.part"))
    return [path.with_name(path.name[1:].rsplit(".", 2)[0]) for path in left]


def _rows(manifest: Path) -> list[dict[str, str]]:
    """Return the manifest's whole lines; another table is refused."""
    text = manifest.read_text() if manifest.exists() else ""
    rows = from_csv(text[: text.rfind("\n") + 1], str(manifest))
    if any(row.keys() != set(COLUMNS) or None in row.values() or not row["fileid"].isdigit() for row in rows):
        raise ValueError(f"{manifest}: expected the table of a mixed set, found something else")
    return rows


def _resume(root: Path) -> set[int]:
    """Keep the manifest's whole lines whose clips are there, and what was noted whole; return their numbers."""
    there = [row for row in _rows(root / MANIFEST) if all((root / row[part]).is_file() for part in PARTS)]
    with replacing(root / MANIFEST) as beside:
        beside.write_text("".join(map(_line, [dict(zip(COLUMNS, COLUMNS, strict=True)), *there])))
    lines = [json.dumps(file) + "\n" for file in written_in(root).items()]
    with replacing(root / WRITTEN) as beside:
        beside.write_text("".join(lines))
    return {int(row["fileid"]) for row in there}


def _names(index: int) -> dict[str, str]:
    return {part: f"{part}/{part}_fileid_{index}.wav" for part in PARTS}


def _write_example(root: Path, index: int, example: Example, rate: int) -> dict[str, Any]:
    names = _names(index)
    waves = {part: getattr(example, part) for part in PARTS}
    # the noise alone may be louder than the sum, and a file holds nothing above full scale
    gain = np.float32(1 / max(1.0, *(float(np.abs(wave).max()) / FULL_SCALE for wave in waves.values())))
    for part, wave in waves.items():
        write(root / names[part], wave * gain, rate)
    return {
        "fileid": index,
        **names,
        "seconds": len(example.noisy) / rate,
        "snr_db": round(example.snr_db, 2),
        "level_dbfs": round(decibels(power(example.noisy * gain)), 2),
        "damaged": int(example.damaged),
    }


def _line(row: dict[str, Any]) -> str:
    line = io.StringIO()
    csv.DictWriter(line, COLUMNS, lineterminator="\n").writerow(row)
    return line.getvalue()
