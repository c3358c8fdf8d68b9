"""The ModelScope plugin: importing it registers our model, pipeline, trainer and metric.

    import frcrn.plugin
    ans = pipeline(Tasks.acoustic_noise_suppression, model="a/model/directory")

Names: model, pipeline and trainer `frcrn-ans-16k`, metric `frcrn-ans-metric`. `replace_stock()` also takes over the
official names, so that code written for the released model runs on ours.
"""

from frcrn.audio import MissingPackage

try:
    from frcrn.models.checkpoint import MODEL_TYPE as NAME
    from frcrn.plugin.registration import METRIC, register
    from frcrn.plugin.stock import replace_stock
except ImportError as error:
    if (error.name or "").startswith("frcrn"):
        raise
    raise MissingPackage(f'the plugin needs modelscope ({error}): pip install "frcrn[modelscope]"') from error

__all__ = ["METRIC", "NAME", "register", "replace_stock"]

register()
