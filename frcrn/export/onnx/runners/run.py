"""Enhance a 16-bit wav file with the network in this folder: python run.py noisy.wav clean.wav [GRAPH]"""

import json
import os
import struct
import sys
from pathlib import Path

import numpy as np


class Denoiser:
    """One channel; `push` takes [hop] samples, float32 from -1 to 1, and gives as many, `delay` samples late."""

    def __init__(self, folder: str | Path, name: str = "") -> None:
        import onnxruntime

        about = json.loads(Path(folder, "frcrn.json").read_text(encoding="utf-8"))
        name = name or next(iter(about["graphs"]))
        if name not in about["graphs"]:
            raise ValueError(f"found no graph {name}, only {', '.join(about['graphs'])}")
        graph = about["graphs"][name]
        self.rate, self.hop, self.delay = about["sample_rate"], about["hop"], about["latency"] - about["hop"]
        self.session = onnxruntime.InferenceSession(str(Path(folder, graph["file"])))
        self.states = graph.get("states", {})  # none of a graph of whole waves: one push takes it all
        self.past = {name: np.full(s["shape"], s["initial"], np.float32) for name, s in self.states.items()}

    def push(self, hop: np.ndarray) -> np.ndarray:
        feeds = {"audio": hop[None], **self.past}
        clean, *new = self.session.run(["enhanced", *(s["next"] for s in self.states.values())], feeds)
        self.past = dict(zip(self.states, new, strict=True))
        return np.asarray(clean[0])


def sound_in(file: bytearray, rate: int) -> tuple[int, int, int]:
    """Return where a wav file's 16-bit samples begin, their bytes (as many as are there in pipes), and its channels."""
    at, size, chunks = 12, 0, {}
    while file[:4] == b"RIFF" and at + 8 <= len(file) and b"data" not in chunks:
        name, size = struct.unpack_from("<4sI", file, at)
        chunks[name] = at + 8
        at += 8 + size + size % 2
    if not {b"fmt ", b"data"} <= chunks.keys():
        raise ValueError("expected a 16-bit wav file")
    head = file[chunks[b"fmt "] :][:26].ljust(26, b"\0")
    kind, channels, found, _, _, bits, _, _, _, pcm = struct.unpack("<HHIIHHHHIH", head)
    if (pcm if kind == 0xFFFE else kind, bits, found) != (1, 16, rate) or not channels:
        this = f"format {kind} of {bits} bits at {found} Hz with {channels} channels"
        raise ValueError(f"expected 16-bit PCM at {rate} Hz, found {this}")
    here = len(file) - chunks[b"data"]
    if here < size < 0x7FFFE000:  # sizes from there on stand for one that nobody knew
        raise ValueError(f"truncated: its header announces {size} bytes, {here} are there")
    return chunks[b"data"], min(size or here, here), channels


def enhance(source: str, target: str, *graph: str) -> None:
    if Path(target).exists() and not Path(target).is_file():
        raise ValueError(f"{target} is there, and no file")
    file, one = bytearray(Path(source).read_bytes()), Denoiser(Path(__file__).parent, *graph)
    start, size, channels = sound_in(file, one.rate)
    place = slice(start, start + size - size % (2 * channels))
    samples = np.frombuffer(bytes(file[place]), "<i2").reshape(-1, channels).astype(np.float32) / 32768
    for channel, wav in enumerate(samples.T):
        one = Denoiser(Path(__file__).parent, *graph) if channel else one
        hop, late = (one.hop, one.delay) if one.states else (max(1, len(wav)), 0)
        padded = np.pad(wav, (0, late + -(len(wav) + late) % hop)).reshape(-1, hop)
        wav[:] = np.concatenate([one.push(frame) for frame in padded])[late : late + len(wav)]
    file[place] = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
    struct.pack_into("<I", file, start - 4, size)
    struct.pack_into("<I", file, 4, len(file) - 8)
    part = Path(f"{target}.{os.getpid()}.part")
    try:
        part.write_bytes(file)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        if len(sys.argv) not in (3, 4):
            raise ValueError(__doc__)
        enhance(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's are of many kinds
        sys.stderr.write(f"{' '.join(sys.argv[1:2]) or __file__}: {error}\n")
        sys.exit(2)
