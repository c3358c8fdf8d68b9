"""Our classes in ModelScope's registries, under our names and, where asked for, under the official ones."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from modelscope.exporters.builder import EXPORTERS
from modelscope.metainfo import Metrics, Models, Pipelines, Trainers
from modelscope.metrics.builder import METRICS
from modelscope.models.builder import MODELS
from modelscope.pipelines.builder import PIPELINES
from modelscope.trainers.builder import TRAINERS
from modelscope.utils.constant import Tasks
from modelscope.utils.import_utils import INDEX_KEY, MODULE_KEY, LazyImportModule
from modelscope.utils.logger import get_logger
from modelscope.utils.registry import default_group

from frcrn.models.checkpoint import MODEL_TYPE as NAME
from frcrn.plugin.exporter import FRCRNExporter
from frcrn.plugin.hub import look_here_first
from frcrn.plugin.metric import FRCRNMetric
from frcrn.plugin.model import FRCRNModel
from frcrn.plugin.pipeline import FRCRNPipeline
from frcrn.plugin.trainer import FRCRNTrainer

METRIC = "frcrn-ans-metric"
TASK = Tasks.acoustic_noise_suppression

BY_NAME = (
    (MODELS, TASK, FRCRNModel),
    (PIPELINES, TASK, FRCRNPipeline),
    (TRAINERS, default_group, FRCRNTrainer),
    (EXPORTERS, TASK, FRCRNExporter),
)
"""What a configuration calls by one and the same name."""


def register() -> None:
    """Enter everything under our own names; doing it again changes nothing."""
    enter_all(NAME)
    enter(METRICS, default_group, METRIC, FRCRNMetric)
    for names in (Models, Pipelines, Trainers):
        names.frcrn_ans_16k = NAME
    Metrics.frcrn_ans_metric = METRIC
    look_here_first()
    speak_through_framework()


def enter_all(name: str) -> None:
    """Enter the model, the pipeline, the trainer and the exporter under one name."""
    for registry, group, cls in BY_NAME:
        enter(registry, group, name, cls)


def enter(registry: Any, group: str, name: str, cls: type[Any]) -> None:
    """Enter one class, in place of another of that name, and in the index that look-ups consult first."""
    registry.register_module(group, module_name=name, module_cls=cls, force=True)
    place = {"filepath": inspect.getfile(cls), "imports": [], MODULE_KEY: cls.__module__}
    LazyImportModule.get_ast_index()[INDEX_KEY][registry.name.upper(), group, name] = place


class ToFramework(logging.Handler):
    """Hands our records to the framework's logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on."""
        get_logger().handle(record)


def speak_through_framework() -> None:
    """Let what our library logs appear where the framework logs."""
    ours = logging.getLogger("frcrn")
    if not any(type(handler).__name__ == ToFramework.__name__ for handler in ours.handlers):
        ours.addHandler(ToFramework())
