"""Networks, and the seam that the rest of the library knows them by."""

from frcrn.models.base import MODELS, Enhancer, Estimate, Stage, State
from frcrn.models.dtln import DTLN, DTLNConfig
from frcrn.models.frames import FrameEnhancer
from frcrn.models.frcrn import FRCRN, FRCRNConfig
from frcrn.models.masking import MaskEnhancer
from frcrn.models.nnse import NNSE, NNSEConfig
from frcrn.models.rnnoise import RNNoise, RNNoiseConfig

__all__ = [
    "DTLN",
    "FRCRN",
    "MODELS",
    "NNSE",
    "DTLNConfig",
    "Enhancer",
    "Estimate",
    "FRCRNConfig",
    "FrameEnhancer",
    "MaskEnhancer",
    "NNSEConfig",
    "RNNoise",
    "RNNoiseConfig",
    "Stage",
    "State",
]
