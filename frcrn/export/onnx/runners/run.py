"""Enhance a 16-bit wav file with the network in this folder: python run.py noisy.wav clean.wav [GRAPH]"""

import json
import sys
import wave
from pathlib import Path

import numpy as np


class Denoiser:
    """One channel; `push` takes [hop] samples, float32 from -1 to 1, and gives as many, `delay` samples late."""

    def __init__(self, folder: str | Path, name: str = "") -> None:
        import onnxruntime

        about = json.loads(Path(folder, "frcrn.json").read_text(encoding="utf-8"))
        graph = about["graphs"][name or next(iter(about["graphs"]))]
        self.rate, self.hop, self.delay = about["sample_rate"], about["hop"], about["latency"] - about["hop"]
        self.session = onnxruntime.InferenceSession(str(Path(folder, graph["file"])))
        self.states = graph.get("states", {})  # none of a graph of whole waves: one push takes it all
        self.past = {name: np.full(s["shape"], s["initial"], np.float32) for name, s in self.states.items()}

    def push(self, hop: np.ndarray) -> np.ndarray:
        feeds = {"audio": hop[None], **self.past}
        clean, *new = self.session.run(["enhanced", *(s["next"] for s in self.states.values())], feeds)
        self.past = dict(zip(self.states, new, strict=True))
        return np.asarray(clean[0])


if __name__ == "__main__":
    source, target, *graph = sys.argv[1:]
    Path(source).read_bytes()[:4] == b"RIFF" or sys.exit(f"{source}: expected a 16-bit wav file")
    with wave.open(source) as file:
        head, data = file.getparams(), file.readframes(file.getnframes())
    denoisers = [Denoiser(Path(__file__).parent, *graph) for _ in range(head.nchannels)]
    if (head.framerate, head.sampwidth) != (denoisers[0].rate, 2):
        sys.exit(f"{source}: expected 16 bits at {denoisers[0].rate} Hz")
    samples = np.frombuffer(data, "<i2").reshape(-1, head.nchannels).astype(np.float32) / 32768
    for one, wav in zip(denoisers, samples.T, strict=True):
        hop, late = (one.hop, one.delay) if one.states else (max(1, len(wav)), 0)
        padded = np.pad(wav, (0, late + -(len(wav) + late) % hop)).reshape(-1, hop)
        wav[:] = np.concatenate([one.push(frame) for frame in padded])[late : late + len(wav)]
    with wave.open(target, "wb") as file:
        file.setparams(head)
        file.writeframes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes())
