"""Networks, and the seam that the rest of the library knows them by."""

from frcrn.models.base import MODELS, Enhancer, Estimate, Stage, State
from frcrn.models.frcrn import FRCRN, FRCRNConfig
from frcrn.models.masking import MaskEnhancer

__all__ = ["FRCRN", "MODELS", "Enhancer", "Estimate", "FRCRNConfig", "MaskEnhancer", "Stage", "State"]
