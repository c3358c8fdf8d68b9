"""FRCRN speech enhancement: speech out of noise, whole files and live."""

from frcrn._copies import find_copies_of
from frcrn.audio.show import show
from frcrn.inference.enhance import enhance_file
from frcrn.inference.folder import enhance_folder
from frcrn.inference.streaming import Stream
from frcrn.models import FRCRN, Enhancer, FRCRNConfig
from frcrn.models.checkpoint import load

__version__ = "0.1.0"
__all__ = ["FRCRN", "Enhancer", "FRCRNConfig", "Stream", "enhance_file", "enhance_folder", "load", "show"]

if __name__ == "frcrn":
    find_copies_of("frcrn")
