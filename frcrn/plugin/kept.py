"""Models by their hub name where the hub cannot be asked: the directories that earlier downloads left here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelscope.utils.constant import DEFAULT_MODEL_REVISION

from frcrn.models.directories import CONFIGURATION

logger = logging.getLogger(__name__)

OFFLINE = "HF_HUB_OFFLINE"
"""The environment variable by which users say that there is no network."""
in_use: dict[tuple[str, str | None], Path] = {}
"""What this process takes in place of a hub name and revision, since the hub could not be asked."""


def offline() -> bool:
    """Say whether the user says that there is no network."""
    return os.environ.get(OFFLINE, "").lower() in {"1", "true", "yes", "on"}


def kept(name: str, revision: str | None = None) -> Path | None:
    """Return the directory in which a download was kept: ModelScope's, else Hugging Face's; None where there is none.

    Without a revision, or for the framework's default one, any that is here will do.
    """
    wanted = None if revision == DEFAULT_MODEL_REVISION else revision
    for look in (by_modelscope, by_hugging_face):
        with suppress(Exception):  # how they say that there is nothing differs between their versions
            folder = Path(look(name, wanted))
            if (folder / CONFIGURATION).is_file():
                return folder
    return None


def by_modelscope(name: str, revision: str | None) -> str:
    """Return the directory in ModelScope's cache, in the layout of any of its versions."""
    from modelscope.hub.snapshot_download import snapshot_download

    return str(snapshot_download(name, revision=revision, local_files_only=True))


def by_hugging_face(name: str, revision: str | None) -> str:
    """Return the directory in Hugging Face's cache."""
    from huggingface_hub import snapshot_download

    return str(snapshot_download(name, revision=revision, local_files_only=True))


def use_kept(name: str, revision: str | None) -> bool:
    """Let this process take what was kept of a model, and say whether there is any."""
    folder = kept(name, revision)
    if folder is not None:
        logger.info("%s: the hub did not give it, using the earlier download in %s", name, folder)
        in_use[name, revision] = folder
    return folder is not None


def downloaded(original: Callable[..., str], name: str, revision: str | None = None, **options: Any) -> str:
    """Download a model, or return the directory of an earlier download where that does not work."""
    if (name, revision) not in in_use and not (offline() and use_kept(name, revision)):
        try:
            return str(original(name, revision=revision, **options))
        except Exception:  # whatever it is that is wrong with the hub or the network
            if not use_kept(name, revision):
                raise
    return str(in_use[name, revision])
