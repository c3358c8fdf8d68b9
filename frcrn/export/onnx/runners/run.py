"""Enhance a 16-bit wav file with the network in this folder: python run.py noisy.wav clean.wav [GRAPH]"""

import json
import struct
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np


class Denoiser:
    """One channel; `push` takes [hop] samples, float32 from -1 to 1, and gives as many, `delay` samples late."""

    def __init__(self, folder: str | Path, name: str = "") -> None:
        path, fits = Path(folder, "frcrn.json"), False
        with suppress(AttributeError, LookupError, TypeError, ValueError):
            about = json.loads(path.read_bytes())
            self.rate, self.hop, late, graphs = (about[k] for k in ("sample_rate", "hop", "latency", "graphs"))
            states = [s for graph in graphs.values() for s in graph["file"] and graph.get("states", {}).values()]
            small = all(s["next"] and abs(s["initial"]) < 2**24 and np.prod(s["shape"]) < 2**28 for s in states)
            fits = graphs and small and self.rate in range(2**24) and self.hop in range(1, late + 1) and late < 2**24
        require(fits, f"{path}: expected the description of an export; export again")
        require((name := name or next(iter(graphs))) in graphs, f"found no graph {name}, only {', '.join(graphs)}")
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(Path(folder, graphs[name]["file"])))
        self.states = graphs[name].get("states", {})
        self.delay = late - self.hop if self.states else 0  # a graph of whole waves takes all in one push
        self.past = self.fresh = {n: np.full(s["shape"], s["initial"], np.float32) for n, s in self.states.items()}

    def push(self, hop: np.ndarray) -> np.ndarray:
        feeds = {"audio": hop[None], **self.past}
        clean, *new = self.session.run(["enhanced", *(s["next"] for s in self.states.values())], feeds)
        self.past = dict(zip(self.states, new, strict=True))
        return np.asarray(clean[0])


def require(fits: object, sentence: str) -> None:
    if not fits:
        raise ValueError(sentence)


def sound_in(file: bytearray, rate: int) -> tuple[slice, int, int]:
    """Return where a wav file's 16-bit samples are, their bytes (as many as are there in pipes), and its channels."""
    at, size, chunks = 12, 0, {}
    while file[:4] + file[8:12] == b"RIFFWAVE" and at + 8 <= len(file) and b"data" not in chunks:
        name, size = struct.unpack_from("<4sI", file, at)
        chunks[name] = at + 8
        at += 8 + size + size % 2
    require({b"fmt ", b"data"} <= chunks.keys(), "expected a 16-bit wav file")
    kind, channels, found, bits, pcm = struct.unpack_from("<HHI6xH8xH", file + bytes(26), chunks[b"fmt "])
    fits = (pcm if kind == 0xFFFE else kind, bits, found) == (1, 16, rate) and 0 < channels <= 1024
    this = f"format {kind} of {bits} bits at {found} Hz with {channels} channels"
    require(fits, f"expected 16-bit PCM at {rate} Hz with 1 to 1024 channels, found {this}")
    start, here, end = chunks[b"data"], len(file) - chunks[b"data"], 8 + int.from_bytes(file[4:8], "little")
    size = here if size >= 0x7FFF0000 or (not size and not start < end < 0x7FFF0000) else size  # of a pipe
    require(size <= here, f"truncated: its header announces {size} bytes, {here} are there")
    require(size >= 2 * channels, "it holds no samples; at least one is needed")
    return slice(start, start + size - size % (2 * channels)), size, channels


def enhance(source: str, target: str, *graph: str) -> None:
    require(Path(target).is_file() or not Path(target).exists(), f"{target} is there, and no file")
    file, one = bytearray(Path(source).read_bytes()), Denoiser(Path(__file__).parent, *graph)
    place, size, channels = sound_in(file, one.rate)
    samples = np.frombuffer(bytes(file[place]), "<i2").reshape(-1, channels).astype(np.float32) / 32768
    hop = one.hop if one.states else len(samples)
    for wav in samples.T:
        one.past, padded = one.fresh, np.pad(wav, (0, one.delay + -(len(wav) + one.delay) % hop)).reshape(-1, hop)
        wav[:] = np.concatenate([one.push(frame) for frame in padded])[one.delay : one.delay + len(wav)]
    file[place] = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
    file[4:8], file[place.start - 4 : place.start] = (struct.pack("<I", n) for n in (len(file) - 8, size))
    with TemporaryDirectory(suffix=".part", dir=Path(target).parent) as part:
        Path(part, "wav").write_bytes(file)
        Path(part, "wav").replace(target)


if __name__ == "__main__":
    try:
        require(len(sys.argv) in (3, 4), __doc__)
        enhance(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's are of many kinds
        sys.exit(sys.stderr.write(f"{' '.join(sys.argv[1:2]) or __file__}: {' '.join(str(error).split())}\n") and 2)
