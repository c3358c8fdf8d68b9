"""Take over the official names, so that code written for the released model runs on ours."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

from frcrn.models.checkpoint import OFFICIAL_TYPE

logger = logging.getLogger(__name__)

STOCK_CLASSES = {
    "FRCRNDecorator": "modelscope.models.audio.ans.frcrn",
    "ANSPipeline": "modelscope.pipelines.audio.ans_pipeline",
    "ANSTrainer": "modelscope.trainers.audio.ans_trainer",
}
"""A stock class -> the module that it is imported from."""


def replace_stock() -> None:
    """Enter our model, pipeline and trainer under the official names; doing it again changes nothing.

    The stock modules are imported first: imported later they would find their names taken, and what shares a file with
    them (ZipEnhancer) could not be used.
    """
    from frcrn.plugin.registration import enter_all

    for module in STOCK_CLASSES.values():
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - it needs packages that ours does not (librosa, six)
            logger.debug("%s cannot be imported (%s)", module, error)
    enter_all(OFFICIAL_TYPE)
    for name, place in STOCK_CLASSES.items():
        put_in_place(name, place)


def put_in_place(name: str, place: str) -> None:
    """Put our class where code imports a stock one from: its module and the packages above that pass it on."""
    ours, package = in_place_of(name), place.rpartition(".")[0]
    for where in (place, package):
        module = sys.modules.get(where)
        if module is not None and (where == place or name in vars(module)):
            setattr(module, name, ours)


def in_place_of(name: str) -> type[Any]:
    """Return our class for a stock one's name."""
    from frcrn.plugin.model import FRCRNModel
    from frcrn.plugin.pipeline import FRCRNPipeline
    from frcrn.plugin.trainer import FRCRNTrainer

    return {"FRCRNDecorator": FRCRNModel, "ANSPipeline": FRCRNPipeline, "ANSTrainer": FRCRNTrainer}[name]
