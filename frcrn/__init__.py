"""FRCRN speech enhancement: speech out of noise, whole files and live."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from frcrn._copies import find_copies_of

if TYPE_CHECKING:
    from frcrn.audio.show import show
    from frcrn.inference.enhance import enhance_file
    from frcrn.inference.folder import enhance_folder
    from frcrn.inference.opening import load
    from frcrn.inference.streaming import Stream
    from frcrn.models import FRCRN, Enhancer, FRCRNConfig
    from frcrn.scale.dataset import enhance_dataset

__version__ = "0.1.0"
__all__ = [
    "FRCRN",
    "Enhancer",
    "FRCRNConfig",
    "Stream",
    "enhance_dataset",
    "enhance_file",
    "enhance_folder",
    "load",
    "show",
]

# Found at their first use, so that what needs no network does not wait for torch.
_HOMES = {
    "FRCRN": "frcrn.models",
    "Enhancer": "frcrn.models",
    "FRCRNConfig": "frcrn.models",
    "Stream": "frcrn.inference.streaming",
    "enhance_dataset": "frcrn.scale.dataset",
    "enhance_file": "frcrn.inference.enhance",
    "enhance_folder": "frcrn.inference.folder",
    "load": "frcrn.inference.opening",
    "show": "frcrn.audio.show",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("frcrn."):
            raise
        raise ImportError(f"frcrn.{name} needs the full package: pip install frcrn") from error
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if __name__ == "frcrn":
    find_copies_of("frcrn")
