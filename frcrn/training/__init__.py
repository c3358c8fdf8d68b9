"""Training: one loop for any registered network, in one stage or several, exactly resumable."""

from frcrn.training.outcome import Result
from frcrn.training.recipe import Evaluation, Recipe, Train, build_model, parse, read, tables
from frcrn.training.run import train
from frcrn.training.trainer import Trainer

__all__ = ["Evaluation", "Recipe", "Result", "Train", "Trainer", "build_model", "parse", "read", "tables", "train"]
