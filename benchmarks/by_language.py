"""Make noisy pairs of several languages, ten of each, to tell whether one of them fails.

    python -m benchmarks.by_language --speech English=DIR --speech "French=DIR/fr*" --noise DIR -o PAIRS/
    frcrn compare noisy offline --data PAIRS/ -o SCORES/
    python -m description.groups SCORES/ PAIRS/pairs.csv --by language noise snr_db

Each language is a folder or a pattern of recordings. Six seconds of each pair are whole recordings one after another,
0.2 s apart; the noises take turns, every language hears the same ones, and the SNR over active speech is 0, 5, 10, 15
and 5 dB in turn. The same recordings and seed give the same pairs.
"""

from __future__ import annotations

import argparse
import csv
import glob
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frcrn import audio
from frcrn.data.speech_activity import active_power, power

RATE, SECONDS, PAUSE = 16000, 6, 0.2
SNRS = (0, 5, 10, 15, 5)
PEAK = 0.9
Wave = NDArray[np.float32]


def recordings(place: str) -> list[Path]:
    """Return the files of a folder or of a pattern."""
    pattern = f"{glob.escape(place)}/*" if Path(place).is_dir() else place
    return sorted(Path(name) for name in glob.glob(pattern) if Path(name).is_file())


def wave_of(file: Path) -> Wave:
    """Return one channel at 16 kHz."""
    sound = audio.read(file)
    wave: Wave = audio.resample(sound.samples.mean(0), sound.rate, RATE).astype(np.float32)
    return wave


def filled(parts: Iterator[Path], pause: float) -> Wave:
    """Return recordings one after another, until there are enough."""
    found: list[Wave] = []
    while sum(map(len, found)) < SECONDS * RATE:
        found += [wave_of(next(parts)), np.zeros(round(pause * RATE), np.float32)]
    return np.concatenate(found)[: SECONDS * RATE]


def main() -> None:
    """Read the command line, and write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", required=True, metavar="LANGUAGE=PLACE")
    parser.add_argument("--noise", action="append", required=True, metavar="PLACE")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10, help="pairs a language (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    noises = [file for place in args.noise for file in recordings(place)]
    languages = {name: recordings(place) for name, _, place in (entry.partition("=") for entry in args.speech)}
    for name, files in {**languages, "--noise": noises}.items():
        if not files:
            sys.exit(f"{name}: no recordings there")
    for folder in ("clean", "noisy"):
        (args.output / folder).mkdir(parents=True, exist_ok=True)
    lines = []
    for language, files in languages.items():
        np.random.default_rng(args.seed).shuffle(files)  # type: ignore[arg-type]
        speech = cycle(files)
        for number in range(args.count):
            noise = noises[number % len(noises)]
            clean, around = filled(speech, PAUSE), filled(cycle([noise]), 0.0)
            snr = SNRS[number % len(SNRS)]
            around *= np.sqrt(active_power(clean, RATE) / max(power(around), 1e-12)) * 10 ** (-snr / 20)
            scale = min(1.0, PEAK / float(np.abs(clean + around).max()))
            name = f"{language}_{number:02d}_{snr}dB.flac"
            audio.write(args.output / "clean" / name, scale * clean, RATE)
            audio.write(args.output / "noisy" / name, scale * (clean + around), RATE)
            lines.append({"file": name, "language": language, "noise": noise.stem, "snr_db": snr})
    with (args.output / "pairs.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    print(f"{len(lines)} pairs of {len(languages)} languages, {len(noises)} noises")


if __name__ == "__main__":
    main()
