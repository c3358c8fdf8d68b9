"""Training: one loop for any registered network, exactly resumable."""

from frcrn.training.recipe import Evaluation, Recipe, Train, build_model, parse, read
from frcrn.training.trainer import Result, Trainer

__all__ = ["Evaluation", "Recipe", "Result", "Train", "Trainer", "build_model", "parse", "read"]
