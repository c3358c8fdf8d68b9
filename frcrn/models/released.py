"""The released checkpoints' form: their names, their unused parts, and how both correspond to ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from frcrn.models.frcrn import FRCRNConfig
from frcrn.models.layers.stft import analysis_basis

OFFICIAL_TYPE = "speech_frcrn_ans_cirm_16k"
ARGUMENTS = {
    "complex": True,
    "model_complexity": 45,
    "model_depth": 14,
    "log_amp": False,
    "padding_mode": "zeros",
    "win_len": 640,
    "win_inc": 320,
    "fft_len": 640,
    "win_type": "hann",
}
"""What the released configuration says of the network; nothing else has released weights."""

ALIASES = (
    (re.compile(r"^(unet2?)\.(encoder|decoder)(\d)\."), r"\1.\2s.\3."),
    (re.compile(r"^(unet2?)\.se_layer_(enc|dec)(\d)\."), r"\1.se_layers_\2.\3."),
    (re.compile(r"^(unet2?)\.fsmn_(enc|dec)(\d)\."), r"\1.fsmn_\2.\3."),
)
"""Each layer is stored twice; these bring the first name of a pair to the second."""

PREFIXES = ("module.", "model.")
"""What wrappers put before names: torch's for several devices, and classes that hold the network."""
LEVELS = 7
UNUSED = re.compile(r"^unet2?\.(fsmn_enc\.0|fsmn_dec\.6|se_layers_enc\.6|se_layers_dec\.5)\.")
TWINS = {
    ".fsmn_enc.1.": ".fsmn_enc.0.",
    ".fsmn_dec.5.": ".fsmn_dec.6.",
    ".se_layers_enc.5.": ".se_layers_enc.6.",
    ".se_layers_dec.4.": ".se_layers_dec.5.",
}
"""A layer in use of the shape of each unused one."""

STFT_KEYS = {
    "stft.weight": (642, 1, 640),
    "istft.weight": (642, 1, 640),
    "istft.window": (1, 640, 1),
    "istft.enframe": (640, 1, 640),
}


def config_from_arguments(arguments: Mapping[str, object]) -> FRCRNConfig:
    """Return the configuration that the released one's arguments describe; refuse any other network."""
    if unknown := sorted(set(arguments) - set(ARGUMENTS)):
        raise ValueError(f"unknown key {', '.join(unknown)}; the released network has {', '.join(ARGUMENTS)}")
    for name, value in arguments.items():
        if value != ARGUMENTS[name]:
            raise ValueError(f"{name}={value!r} in the configuration: the released network has {ARGUMENTS[name]!r}")
    return FRCRNConfig()


def without_prefix(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the prefixes `module.` and `model.`, in any order and number, where every entry has them."""
    result = dict(entries)
    while result and (prefix := common_prefix(result)):
        result = {name.removeprefix(prefix): value for name, value in result.items()}
    return result


def common_prefix(names: Iterable[str]) -> str:
    """Return which of the known prefixes all names have, empty where none."""
    known = list(names)
    return next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in known)), "")


def is_official(entries: Mapping[str, Tensor]) -> bool:
    """Say whether a state dict is of the released form (with or without the prefix)."""
    return any(re.match(r"^(module\.|model\.)*unet2?\.", name) for name in entries)


def counterpart(name: str) -> str:
    """Return the released name of one of our entries; of a batch norm's, the name of its real half."""
    name = name.replace("unets.0.", "unet.").replace("unets.1.", "unet2.")
    for way in ("se_enc", "se_dec", "fsmn_dec", "decoders"):
        if found := re.search(rf"\.{way}\.(\d)\.", name):
            name = name.replace(found[0], f".{way}.{position(way, int(found[1]))}.")
    name = re.sub(r"\.norm\.", ".bn.bn_re.", name)
    name = re.sub(r"(encoders\.\d)\.conv\.(re|im)\.", r"\1.conv.conv_\2.", name)
    name = re.sub(r"(decoders\.\d)\.conv\.(re|im)\.", r"\1.transconv.tconv_\2.", name)
    name = re.sub(r"\.head\.(re|im)\.", r".linear.conv_\1.", name)
    name = re.sub(r"\.bottleneck\.(\d)\.(re|im)\.", lambda m: f".fsmn.fsmn_{m[2]}_L{int(m[1]) + 1}.", name)
    name = re.sub(r"\.fsmn_(enc|dec)\.(\d)\.(re|im)\.", r".fsmn_\1.\2.fsmn_\3_L1.", name)
    name = re.sub(r"\.se_(enc|dec)\.(\d)\.(r|i)[em]\.", r".se_layers_\1.\2.fc_\3.", name)
    return name.replace(".memory.weight", ".conv1.weight")


def position(kind: str, level: int) -> int:
    """Return a layer's place in their lists, which follow the order of running, from the level that it belongs to."""
    return level - 1 if kind == "se_enc" else LEVELS - 1 - level


def stored_as(name: str) -> list[str]:
    """Return the released names of one of our entries: of a batch norm's, the real and the imaginary half."""
    first = counterpart(name)
    return [first, first.replace(".bn_re.", ".bn_im.")] if ".bn_re." in first else [first]


def canonical(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring every entry to the second of its two names; two copies that differ are an error."""
    result: dict[str, Tensor] = {}
    for name, value in without_prefix(entries).items():
        for pattern, replacement in ALIASES:
            name = pattern.sub(replacement, name)
        if name in result and not torch.equal(result[name], value):
            raise ValueError(f"{name}: the two stored copies differ")
        result[name] = value
    return result


def from_official(entries: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return our state dict, and their entries that nothing of ours uses; what is missing stays missing."""
    theirs = canonical(entries)
    result: dict[str, Tensor] = {}
    for name in ours:
        names = stored_as(name)
        halves = [theirs.pop(half) for half in names if half in theirs]
        if len(halves) == len(names):
            # the count of batches is one number, the same in both halves
            result[name] = torch.cat(halves) if halves[0].ndim else halves[0]
    left = [name for name in theirs if name not in STFT_KEYS and not UNUSED.match(name)]
    return result, left


def foreign_stft(entries: Mapping[str, Tensor]) -> list[str]:
    """List the Fourier kernels of a checkpoint that are not the released ones' size."""
    kernels = {name: tuple(value.shape) for name, value in without_prefix(entries).items() if name in STFT_KEYS}
    return [f"{name} {shape} not {STFT_KEYS[name]}" for name, shape in kernels.items() if shape != STFT_KEYS[name]]


def to_official(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the released form of the state dict of an offline network of the released shape, both names of each."""
    theirs = stft_entries()
    for name, value in ours.items():
        names = stored_as(name)
        halves = value.chunk(len(names)) if value.ndim else [value] * len(names)
        theirs |= {half: part.clone() for half, part in zip(names, halves, strict=True)}
    for used, unused in TWINS.items():
        theirs |= {name.replace(used, unused): torch.zeros_like(theirs[name]) for name in list(theirs) if used in name}
    return theirs | {first_alias(name): value for name, value in theirs.items()}


def first_alias(name: str) -> str:
    """Return the other name under which the released form stores an entry, or the same where it has one only."""
    name = re.sub(r"\.(encoder|decoder)s\.(\d)\.", r".\1\2.", name)
    name = re.sub(r"\.se_layers_(enc|dec)\.(\d)\.", r".se_layer_\1\2.", name)
    return re.sub(r"\.fsmn_(enc|dec)\.(\d)\.", r".fsmn_\1\2.", name)


def stft_entries() -> dict[str, Tensor]:
    """Return the released form's Fourier kernels."""
    window = ARGUMENTS["win_len"]
    assert isinstance(window, int)
    forward, inverse = analysis_basis(window)
    taper = torch.sin(torch.pi * torch.arange(window, dtype=torch.float64) / window).float()
    return {
        "stft.weight": forward.T[:, None].contiguous(),
        "istft.weight": inverse[:, None].contiguous(),
        "istft.window": taper[None, :, None],
        "istft.enframe": torch.eye(window)[:, None],
    }
