"""How well the band above 8 kHz is kept and cleaned, and what that costs.

    python benchmarks/band.py [48-kHz files of clean speech ...]

Without files, four sentences of espeak-ng, whose voices reach 11 kHz. Noises are made here (seed 100 and on). Shown for
each noise and SNR: the log-spectral distance to the clean file, 8 to 20 kHz (espeak-ng: to 10.5 kHz), in bins of 23 Hz
and not below -100 dBFS, of the noisy file, of the speech band alone, and of the full band; by how much the low band
(to 7.5 kHz) and the high one (from 8.2 kHz) fall in pauses; and the level of the high band while someone speaks,
against the clean file's. Then what it costs beside the network, all in turn in one run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

import frcrn
from frcrn.audio import resample
from frcrn.export.native.library import SOURCES, compiler, source
from frcrn.export.native.network import write_program
from frcrn.export.runtime import with_runtime

RATE = 48000
SNRS = (0, 5, 10, 15)
SENTENCES = {
    "en-us": "She sells sixty fresh fish sticks at six, and this is a test of the speech system.",
    "de": "Sechs sehr schnelle Schiffe fischten frische Fische. Das ist ein Versuch.",
    "fr": "Ces six saucissons sont si secs qu'on ne sait si c'en sont.",
    "en-gb": "Seven chefs chose cheese, and watched the ships pass by the shore.",
}


def spoken() -> dict[str, np.ndarray]:
    """Sentences of espeak-ng at 48 kHz."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for voice, text in SENTENCES.items():
            path = Path(folder) / f"{voice}.wav"
            subprocess.run(["espeak-ng", "-v", voice, "-w", path, text], check=True)
            wave, rate = soundfile.read(path, dtype="float32")
            found[voice] = resample(wave, rate, RATE)
    return found


def coloured(random: np.random.Generator, length: int, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Noise [T] with a spectrum of this shape over frequency."""
    spectrum, hertz = np.fft.rfft(random.standard_normal(length)), np.fft.rfftfreq(length, 1 / RATE)
    return np.fft.irfft(spectrum * shape(np.maximum(hertz, 20)), length)


def noises(length: int, seed: int) -> dict[str, np.ndarray]:
    """White noise, a fan, typing, and traffic, [T] each."""
    random, seconds = np.random.default_rng(seed), np.arange(length) / RATE
    white = random.standard_normal(length)
    fan = coloured(random, length, lambda hertz: 1 / np.sqrt(1 + (hertz / 400) ** 2))
    fan += 0.015 * sum(np.sin(2 * np.pi * k * 117 * seconds + k) / k for k in range(1, 6))
    keys, place, click = np.zeros(length), 0, int(0.03 * RATE)
    while (place := place + int(RATE * random.uniform(0.08, 0.25))) + click < length:
        sound = coloured(random, click, lambda hertz: np.exp(-np.square(np.log(hertz / 4000)) / 2))
        keys[place : place + click] += sound * np.exp(-np.arange(click) / RATE / 0.004) * random.uniform(0.5, 1)
    keys += 1e-3 * rms(keys) * random.standard_normal(length)
    slow = np.convolve(np.abs(random.standard_normal(length // 4800 + 2)), np.ones(12) / 12, "same")
    passing = np.interp(np.arange(length), np.arange(len(slow)) * 4800, slow) ** 2
    traffic = passing * coloured(random, length, lambda hertz: 1 / (1 + hertz / 150))
    traffic += 0.05 * passing * coloured(random, length, lambda hertz: (1 + (hertz / 1500) ** 2) ** -0.75)
    return {"white": white, "fan": fan, "keyboard": keys, "traffic": traffic}


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.square(wave, dtype=np.float64).mean()))


def active(wave: np.ndarray) -> np.ndarray:
    """Which samples [T] are in frames of 20 ms within 40 dB of the loudest."""
    size = RATE // 50
    power = np.square(wave[: len(wave) // size * size]).reshape(-1, size).mean(axis=1)
    found = np.repeat(power > power.max() * 1e-4, size)
    return np.pad(found, (0, len(wave) - len(found)))


def pauses(wave: np.ndarray) -> np.ndarray:
    """Which samples [T] are at least 50 ms from speech."""
    quiet = np.convolve(active(wave), np.ones(RATE // 10), "same") < 0.5
    quiet[: RATE // 10] = quiet[-RATE // 10 :] = False
    return quiet


def distance(clean: np.ndarray, wave: np.ndarray, top: float) -> float:
    """Log-spectral distance in dB from 8 kHz to `top`."""
    window = np.hanning(2049)[:-1]
    levels = [
        10 * np.log10(np.square(np.abs(np.fft.rfft(frames * window) * 2 / window.sum())) + 1e-20)
        for frames in (np.lib.stride_tricks.sliding_window_view(each, 2048)[::512] for each in (clean, wave))
    ]
    first, last = int(8000 * 2048 / RATE), int(top * 2048 / RATE)
    one, other = (np.maximum(level[:, first:last], -100) for level in levels)
    return float(np.sqrt(np.square(one - other).mean(axis=1)).mean())


def level(wave: np.ndarray, chosen: np.ndarray, low: float, high: float) -> float:
    """The level in dB of a band, over the chosen samples."""
    spectrum, hertz = np.fft.rfft(wave), np.fft.rfftfreq(len(wave), 1 / RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    return float(10 * np.log10(np.square(np.fft.irfft(spectrum, len(wave))[chosen]).mean() + 1e-20))


def quality(model: frcrn.Enhancer, clips: dict[str, np.ndarray], top: float) -> None:
    """Print a row for each noise and SNR, means over the clips."""
    print("noise     SNR   noisy  speech  full     fall in pauses: low  high   high band in speech")
    rows: dict[tuple[str, int], list[list[float]]] = {}
    for number, sound in enumerate(clips.values()):
        clean = np.pad(sound, RATE // 2)
        clean = (clean * 10 ** (-26 / 20) / rms(clean[active(clean)])).astype(np.float32)
        quiet, talk = pauses(clean), active(clean)
        mixed = {("none", 99): clean}
        for kind, noise in noises(len(clean), 100 + number).items():
            gain = rms(clean[talk]) / rms(noise)
            mixed |= {(kind, snr): (clean + noise * gain * 10 ** (-snr / 20)).astype(np.float32) for snr in SNRS}
        for key, noisy in mixed.items():
            speech, full = (model.enhance(noisy, RATE, band=band) for band in ("speech", "full"))
            row = [distance(clean, each, top) for each in (noisy, speech, full)]
            for low, high in ((100, 7500), (8200, 24000)):
                row.append(level(noisy, quiet, low, high) - level(full, quiet, low, high))
            row.append(level(full, talk, 8200, top) - level(clean, talk, 8200, top))
            rows.setdefault(key, []).append(row)
    for (kind, snr), found in rows.items():
        noisy, speech, full, low, high, kept = np.mean(found, axis=0)
        mark = "" if full < min(noisy, speech) or kind == "none" else "  not better than both"
        distances = f"{noisy:6.2f}  {speech:6.2f}  {full:5.2f}"
        print(f"{kind:9} {snr:3}  {distances}  {low:20.1f}  {high:4.1f}  {kept:+8.2f} dB{mark}")


def cost(model: frcrn.Enhancer, seconds: int = 10, turns: int = 7) -> None:
    """Print what both bands take beside the network alone, whole and hop by hop."""
    random = np.random.default_rng(0)
    wave = (0.05 * random.standard_normal(RATE * seconds)).astype(np.float32)
    low = torch.from_numpy(resample(wave, RATE, model.sample_rate)[None])
    hop = model.hop * RATE // model.sample_rate

    def alone() -> None:
        with torch.inference_mode():
            model(low)

    def hops(rate: int, sound: np.ndarray, size: int) -> None:
        stream = model.stream(rate)
        for start in range(0, len(sound), size):
            stream.push(sound[start : start + size])

    ways: dict[str, Callable[[], object]] = {
        "the network alone": alone,
        "enhance, 48 kHz, speech band": lambda: model.enhance(wave, RATE, band="speech"),
        "enhance, 48 kHz, full band": lambda: model.enhance(wave, RATE),
        "stream by 20 ms, 16 kHz": lambda: hops(model.sample_rate, low[0].numpy(), model.hop),
        "stream by 20 ms, 48 kHz, full band": lambda: hops(RATE, wave, hop),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
    first = float(np.median(taken["the network alone"]))
    for name, times in taken.items():
        middle = float(np.median(times))
        print(f"{name:36} {1000 * middle / seconds:7.2f} ms for a second of sound  {middle / first:5.2f}")


def in_c() -> None:
    """Print what both bands take in C beside the network, hop by hop in turn."""
    home = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        for name in SOURCES:
            (Path(folder) / name).write_bytes(source(name))
        (Path(folder) / "model.frcrn").write_bytes(write_program(frcrn.load()))
        tuned = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math")
        parts = ("band.c", "frcrn.c", "-o", "cost", "-lm")
        command = [compiler() or "cc", *tuned, "-I", folder, home / "band_cost.c", *parts]
        subprocess.run(command, cwd=folder, check=True)
        for rate in (48000, 44100, 96000, 48000, 44100, 96000):
            subprocess.run(["./cost", "model.frcrn", str(rate)], cwd=folder, check=True)


def main() -> None:
    torch.set_num_threads(1)
    model = with_runtime(frcrn.load(), "native")
    files = {path: soundfile.read(path, dtype="float32")[0] for path in sys.argv[1:]}
    quality(model, files or spoken(), 20000 if files else 10500)
    cost(model)
    in_c()


if __name__ == "__main__":
    main()
