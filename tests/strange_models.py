"""Model files that strangers could have made: what they claim is not so, or what they hold is no network."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from frcrn import FRCRNConfig
from tests.networks import tiny

CONFIG = FRCRNConfig.tiny().to_dict()


class Code:
    """A pickle that would leave a file behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.folder}/ran",)


def header(entries: dict[str, Any], size: int = 64, length: int | None = None) -> bytes:
    """A safetensors file with this header and so many bytes after it."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(size)


def entry(shape: list[int], start: int = 0, end: int = 64, kind: str = "F32") -> dict[str, Any]:
    return {"w": {"dtype": kind, "shape": shape, "data_offsets": [start, end]}}


def weights(change: Callable[[dict[str, torch.Tensor]], Any] = lambda state: None, **config: Any) -> bytes:
    """A whole model, its weights and configuration changed."""
    state = {name: value.clone() for name, value in tiny().state_dict().items()}
    change(state)
    return bytes(save(state, {"frcrn": json.dumps({**CONFIG, **config})}))


def other(network: str, **config: Any) -> bytes:
    """Weights that claim to be those of another network."""
    return bytes(save({"w": torch.zeros(1)}, {"frcrn": json.dumps({"network": network, **config})}))


def filled(value: float) -> Callable[[dict[str, torch.Tensor]], Any]:
    def change(state: dict[str, torch.Tensor]) -> None:
        next(each for each in state.values() if each.is_floating_point()).fill_(value)

    return change


def cast(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, torch.Tensor]], Any]:
    """Change each weight, and leave the counts of batches."""
    return lambda state: state.update({k: change(each) for k, each in state.items() if each.is_floating_point()})


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def bomb(path: Path) -> None:
    """A PyTorch file of a few kilobytes that would be a gigabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/version", "3\n")
        with archive.open("archive/data/0", "w", force_zip64=True) as file:
            for _ in range(1024):
                file.write(bytes(1 << 20))


def folder(path: Path, configuration: str | bytes, content: bytes | None = None) -> None:
    """A model directory."""
    path.mkdir()
    data = configuration if isinstance(configuration, bytes) else configuration.encode()
    (path / "configuration.json").write_bytes(data)
    if content is not None:
        (path / "model.safetensors").write_bytes(content)


def linked(path: Path, name: str, target: str) -> None:
    folder(path, "{}", weights() if name != "model.safetensors" else None)
    (path / name).unlink(missing_ok=True)
    (path / name).symlink_to(target)


def stored(made: Callable[[], Any]) -> Callable[[Path], Any]:
    """A PyTorch file with this under a name."""
    return lambda at: torch.save({"w": made()}, at)


def inside_itself(at: Path) -> None:
    """A state dict that wraps itself."""
    state: dict[str, Any] = {}
    state["state_dict"] = state
    torch.save(state, at)


HUGE = 10**9
MANY_DIGITS = "1" + 400 * "0"
FC = {"kind": "fc", "size": 241, "activation": "sigmoid"}
LEVEL = dict(CONFIG["levels"][0])
BYTES: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda _: b"",
    "one byte": lambda _: b"\x80",
    "zeros": lambda _: bytes(100_000),
    "pickle with code": lambda at: pickle.dumps({"state_dict": Code(at)}),
    "pickle with code, old": lambda at: pickle.dumps({"w": Code(at)}, protocol=0),
    "pickle of a number": lambda _: pickle.dumps(5),
    "pickle of a deep list": lambda _: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "pickle of a 100 GB bytearray": lambda _: b"\x80\x05\x96" + struct.pack("<Q", 10**11) + b".",
    "header longer than the file": lambda _: header({}, length=10**6),
    "header of 2^63 bytes": lambda _: header({}, length=2**63),
    "header of 100 GB": lambda _: header({}, length=10**11),
    "header that is no JSON": lambda _: struct.pack("<Q", 8) + b"{nojson}",
    "header that is a list": lambda _: struct.pack("<Q", 2) + b"{]" + bytes(8),
    "header of 100 thousand levels": lambda _: struct.pack("<Q", 200_006) + b'{"a":' + deep(100_000).encode() + b"}",
    "tensor of 100 GB": lambda _: header(entry([10**5, 250_000], 0, 10**11)),
    "tensor whose size wraps around": lambda _: header(entry([2**32, 2**32, 2**32])),
    "tensor beyond the file": lambda _: header(entry([16], 64, 128)),
    "tensor that ends before it begins": lambda _: header(entry([16], 64, 0)),
    "tensor of fewer bytes than it says": lambda _: header(entry([16], 0, 32)),
    "tensor of an unknown kind": lambda _: header(entry([16], kind="F99")),
    "negative sizes": lambda _: header(entry([-16])),
    "weights that are no numbers": lambda _: weights(filled(float("nan"))),
    "infinite weights": lambda _: weights(filled(float("inf"))),
    "weights beyond float32": lambda _: weights(cast(lambda value: value.double() * 1e300)),
    "whole numbers for weights": lambda _: weights(cast(lambda value: value.to(torch.int8))),
    "yes and no for weights": lambda _: weights(cast(lambda value: value.bool())),
    "complex weights": lambda _: weights(cast(lambda value: torch.complex(value, value))),
    "one weight too few": lambda _: weights(lambda state: state.popitem()),
    "one weight too many": lambda _: weights(lambda state: state.update(more=torch.zeros(1))),
    "configuration of 100 thousand levels": lambda _: bytes(save({"w": torch.zeros(1)}, {"frcrn": deep(100_000)})),
    "configuration of a billion channels": lambda _: weights(levels=[{**LEVEL, "channels": HUGE}]),
    "configuration of a billion taps": lambda _: weights(memory=HUGE),
    "configuration of a billion frames": lambda _: weights(se_frames=HUGE),
    "configuration of a billion hidden features": lambda _: weights(time_hidden=HUGE),
    "configuration of a billion stages": lambda _: weights(stages=HUGE),
    "configuration of a window of a billion": lambda _: weights(window=HUGE, hop=HUGE // 2),
    "configuration of a billion layers": lambda _: weights(time_layers=HUGE),
    "configuration of a kernel of a billion": lambda _: weights(levels=[{**LEVEL, "kernel": [HUGE, 2]}]),
    "configuration of thirty gigabytes": lambda _: weights(
        levels=[{**LEVEL, "channels": 4096, "kernel": [200, 2]}] * 2
    ),
    "configuration of a hundred thousand tensors": lambda _: weights(levels=[LEVEL] * 32, stages=16, time_layers=64),
    "DTLN of a billion units": lambda _: other("dtln", units=HUGE),
    "DTLN of a billion layers": lambda _: other("dtln", layers=HUGE),
    "DTLN of a window of a billion": lambda _: other("dtln", window=HUGE, hop=HUGE // 2),
    "NNSE of a billion units": lambda _: other("nnse", layers=[FC, {**FC, "size": HUGE, "activation": "tanh"}, FC]),
    "NNSE of many wide layers": lambda _: other("nnse", layers=[*[{**FC, "size": 16384}] * 9, FC]),
    "NNSE of a billion frames": lambda _: other("nnse", layers=[{**FC, "kind": "conv1d", "kernel": HUGE}, FC]),
    "NNSE of a billion bands": lambda _: other("nnse", bands=HUGE),
    "RNNoise of a billion bands": lambda _: other("rnnoise", bands=HUGE),
    "RNNoise of a billion units": lambda _: other("rnnoise", gain_units=HUGE),
    "RNNoise of a window of a billion": lambda _: other("rnnoise", window=HUGE, hop=HUGE // 2),
    "configuration of a rate of 0": lambda _: weights(sample_rate=0),
    "configuration with another type": lambda _: weights(window="128"),
    "configuration with an unknown key": lambda _: weights(run="rm"),
}
PLACES: dict[str, Callable[[Path], Any]] = {
    "zip bomb": bomb,
    "a loop of links": lambda at: at.symlink_to(at),
    "a link to nowhere": lambda at: at.symlink_to("/nowhere/at/all"),
    "a pipe": lambda at: os.mkfifo(at),
    "a device": lambda at: at.symlink_to("/dev/zero"),
    "a folder without anything": lambda at: at.mkdir(),
    "a folder whose configuration is a device": lambda at: linked(at, "configuration.json", "/dev/zero"),
    "a folder whose weights are a device": lambda at: linked(at, "model.safetensors", "/dev/zero"),
    "a folder whose configuration has 100 thousand levels": lambda at: folder(at, deep(100_000), weights()),
    "a folder whose configuration is a list": lambda at: folder(at, "[]", weights()),
    "a folder whose configuration is no text": lambda at: folder(at, b"\xff\xfe\xfd", weights()),
    "a folder that names a model elsewhere": lambda at: folder(at, '{"model": {"bundled": "../../etc/passwd"}}'),
    "a folder of numbers of 400 digits": lambda at: folder(
        at, f'{{"model": {{"mask_bound": {MANY_DIGITS}}}}}', bytes(save({"w": torch.zeros(1)}))
    ),
    "a folder of numbers of 5000 digits": lambda at: folder(
        at, f'{{"model": {{"mask_bound": {MANY_DIGITS * 13}}}}}', bytes(save({"w": torch.zeros(1)}))
    ),
    "four terabytes of one value": stored(lambda: torch.zeros(1).expand(2**20, 2**20)),
    "a sparse tensor of exabytes": stored(lambda: torch.sparse_coo_tensor([[0], [0]], [1.0], (2**30, 2**30))),
    "a tensor without values": stored(lambda: torch.empty(4, device="meta")),
    "numbers of eight bits": stored(lambda: torch.ones(3).to(torch.float8_e4m3fn)),
    "a state dict that holds itself": inside_itself,
    "a folder of a network that nobody knows": lambda at: folder(at, '{"model": {"network": "os"}}', header({})),
}
MODELS: dict[str, Callable[[Path], Any]] = {
    **{name: lambda at, made=made: at.write_bytes(made(at.parent)) for name, made in BYTES.items()},  # type: ignore[misc]
    **PLACES,
}
"""What makes each at a place."""
