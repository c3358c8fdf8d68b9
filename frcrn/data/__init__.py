"""Training data: noisy speech mixed on the fly, DNS folders, rows of Hugging Face datasets, and blends of these.

`build(config, sample_rate=16000, seed=0)` returns a map-style dataset. `dataset[epoch, index]` is a dict of `noisy`
and `clean`, float32 tensors [T], and a pure function of (seed, epoch, index), so it is the same in any number of
workers. `len(dataset)` is the number of examples in an epoch. It can be pickled: decoded audio stays in one
memory-mapped file, shared by all workers.

    build({"kind": "mixing", "speech": ["speech/"], "noise": ["noise/"], "cache": "audio.cache", "seconds": 3.0,
           "length": 2000, "snr_db": [-5, 20], "split": "train"}, sample_rate=16000, seed=0)
    build({"kind": "dns", "folder": "set/", "seconds": 1.0}, ...)
    build({"kind": "hf", "path": "saved/", "seconds": 1.0}, ...)
    build({"kind": "shards", "paths": ["shards/*.tar"], "seconds": 1.0}, ...)
    build({"kind": "blend", "parts": [{"kind": ...}, {"kind": ...}], "weights": [1, 3], "length": 2000}, ...)

In the mixing, `split` is `train`, `valid` or `all`: `valid` holds `valid_share` of each source, by speaker where
`speaker` (a regular expression on `source/name`) or the directories tell it, else by file; noise is split by file. All
keys with defaults: `MixingConfig`, `DnsConfig`, `HfConfig`, `BlendConfig`. A dataset in memory: `HFRows(dataset)`;
a streaming one: `StreamedRows`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from frcrn.config import build as checked
from frcrn.data.blend import Blend, BlendConfig
from frcrn.data.dns import DnsConfig, open_dns
from frcrn.data.hf import HfConfig, HFRows, open_hf
from frcrn.data.mixing import Mixing, MixingConfig
from frcrn.data.shards import ShardsConfig, open_shards
from frcrn.data.streamed import StreamedRows

__all__ = [
    "Blend",
    "BlendConfig",
    "DnsConfig",
    "HFRows",
    "HfConfig",
    "Mixing",
    "MixingConfig",
    "ShardsConfig",
    "StreamedRows",
    "build",
]

KINDS = ("mixing", "dns", "hf", "shards", "blend")


def build(config: dict[str, Any], *, sample_rate: int, seed: int, where: str = "data") -> Dataset[dict[str, Tensor]]:
    """Build the dataset that `config["kind"]` names; refuse unknown keys, impossible values and missing folders."""
    values = {key: value for key, value in config.items() if key != "kind"}
    kind = config.get("kind")
    if kind == "mixing":
        return Mixing(checked(MixingConfig, values, where), sample_rate, seed)
    if kind == "dns":
        return open_dns(checked(DnsConfig, values, where), sample_rate, seed)
    if kind == "hf":
        return open_hf(checked(HfConfig, values, where), sample_rate, seed)
    if kind == "shards":
        return open_shards(checked(ShardsConfig, values, where), sample_rate, seed)
    if kind == "blend":
        return _blend(checked(BlendConfig, values, where), sample_rate, seed, where)
    raise ValueError(f"{where}.kind: expected one of {', '.join(KINDS)}, found {kind!r}")


def _blend(config: BlendConfig, sample_rate: int, seed: int, where: str) -> Blend:
    parts = [
        build(part, sample_rate=sample_rate, seed=seed, where=f"{where}.parts[{place}]")
        for place, part in enumerate(config.parts)
    ]
    lengths = {len(part[0, 0]["noisy"]) for part in parts}
    if len(lengths) > 1:
        raise ValueError(f"{where}.parts: expected the same seconds in all, found {sorted(lengths)} samples")
    return Blend(parts, config.weights, seed, config.length)
