"""Training data: DNS folders, rows of HF datasets, and noisy speech mixed on the fly.

`build(config, sample_rate=16000, seed=0)` returns a map-style dataset. `dataset[epoch, index]` is a dict of `noisy`
and `clean`, float32 tensors [T], and a pure function of (seed, epoch, index), so it is the same in any number of
workers. `len(dataset)` is the number of examples in an epoch. It can be pickled: decoded audio stays in one
memory-mapped file, shared by all workers.

    build({"kind": "mixing", "speech": ["speech/"], "noise": ["noise/"], "cache": "audio.cache", "seconds": 3.0,
           "length": 2000, "snr_db": [-5, 20], "split": "train"}, sample_rate=16000, seed=0)

`split` is `train`, `valid` or `all`: `valid` holds `valid_share` of each source, by speaker where `speaker` (a regular
expression on `source/name`) tells it, else by file; noise is split by file. All keys: `frcrn.data.mixing.MixingConfig`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

KINDS = ("mixing",)


def build(config: dict[str, Any], *, sample_rate: int, seed: int) -> Dataset[dict[str, Tensor]]:
    """Build the dataset that `config["kind"]` names; refuse unknown keys and missing folders."""
    from frcrn.data.mixing import Mixing, MixingConfig
    from frcrn.data.settings import from_dict

    values = dict(config)
    kind = values.pop("kind", None)
    if kind == "mixing":
        return Mixing(from_dict(MixingConfig, values, "data"), sample_rate, seed)
    raise ValueError(f"data: expected kind to be one of {', '.join(KINDS)}, found {kind!r}")
