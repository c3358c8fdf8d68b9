"""FRCRN speech enhancement: speech out of noise, whole files and live."""

from frcrn.batch import enhance_folder
from frcrn.checkpoint import load
from frcrn.copies import find_copies_of
from frcrn.enhance import enhance_file
from frcrn.models import FRCRN, Enhancer, FRCRNConfig
from frcrn.showing import show
from frcrn.streaming import Stream

__version__ = "0.1.0"
__all__ = ["FRCRN", "Enhancer", "FRCRNConfig", "Stream", "enhance_file", "enhance_folder", "load", "show"]

if __name__ == "frcrn":
    find_copies_of("frcrn")
