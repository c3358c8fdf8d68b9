"""Take over the official names, so that code written for the released model runs on ours."""

from __future__ import annotations

import importlib
import logging

from frcrn.models.checkpoint import OFFICIAL_TYPE

logger = logging.getLogger(__name__)

STOCK_MODULES = (
    "modelscope.models.audio.ans.frcrn",
    "modelscope.pipelines.audio.ans_pipeline",
    "modelscope.trainers.audio.ans_trainer",
)


def replace_stock() -> None:
    """Enter our model, pipeline and trainer under the official names; doing it again changes nothing.

    The stock modules are imported first: imported later they would find their names taken, and what shares a file with
    them (ZipEnhancer) could not be used.
    """
    from frcrn.plugin.registration import enter_all

    for module in STOCK_MODULES:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - it needs packages that ours does not (librosa, six)
            logger.debug("%s cannot be imported (%s)", module, error)
    enter_all(OFFICIAL_TYPE)
