"""Enhance a wav file with the network in this folder: python run.py noisy.wav clean.wav [GRAPH]

Needs numpy and onnxruntime, and no more. The file is 16-bit PCM at the network's rate; copy `Denoiser` for live sound.
"""

from __future__ import annotations

import json
import sys
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Denoiser:
    """One channel, hop by hop; what comes out is `delay` samples late."""

    def __init__(self, folder: Path, name: str = "") -> None:
        import onnxruntime

        about = json.loads(Path(folder, "frcrn.json").read_text(encoding="utf-8"))
        graph = about["graphs"][name or next(iter(about["graphs"]))]
        self.rate, self.hop, self.delay = about["sample_rate"], about["hop"], about["window"] - about["hop"]
        self.states = graph.get("states", {})
        self.session = onnxruntime.InferenceSession(str(Path(folder, graph["file"])))
        self.past = {name: np.full(s["shape"], s["initial"], np.float32) for name, s in self.states.items()}

    def push(self, hop: Samples) -> Samples:
        """Take one hop [hop] of samples from -1 to 1, and give one."""
        names = ["enhanced", *(state["next"] for state in self.states.values())]
        clean, *new = self.session.run(names, {"audio": hop[None], **self.past})
        self.past = dict(zip(self.states, new, strict=True))
        return np.asarray(clean[0])

    def enhance(self, samples: Samples) -> Samples:
        """Take a whole channel [T], and give as much, in time with it."""
        if not self.states:
            return self.push(samples)  # a network that looks ahead hears all at once
        padded = np.pad(samples, (0, self.delay + -(len(samples) + self.delay) % self.hop))
        late = np.concatenate([self.push(hop) for hop in padded.reshape(-1, self.hop)])
        return late[self.delay : self.delay + len(samples)]


def main(source: str, target: str, graph: str = "") -> None:
    """Enhance every channel of a file."""
    with wave.open(source) as file:
        head, data = file.getparams(), file.readframes(file.getnframes())
    networks = [Denoiser(Path(__file__).parent, graph) for _ in range(head.nchannels)]
    if (head.framerate, head.sampwidth) != (networks[0].rate, 2):
        sys.exit(f"{source}: {head.framerate} Hz, {8 * head.sampwidth} bits; expected {networks[0].rate} Hz, 16 bits")
    channels = np.frombuffer(data, "<i2").reshape(-1, head.nchannels).T.astype(np.float32) / 32768
    clean = np.stack([network.enhance(channel) for network, channel in zip(networks, channels, strict=True)])
    with wave.open(target, "wb") as file:
        file.setparams(head)
        file.writeframes(np.clip(np.rint(clean.T * 32768), -32768, 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
