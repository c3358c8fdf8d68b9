"""ModelScope's own command line with this plugin registered: `python -m frcrn.plugin server --model_id DIR ...`.

Its programs import no plugins, so that they know no model of ours, and its server asks the hub even for a directory.
This registers first, lets the server take directories, and hands over.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import frcrn.plugin


def serve_directories() -> None:
    """Let the framework's server open a model directory; any other name goes to the hub as before."""
    from modelscope.pipelines import pipeline
    from modelscope.server.core import event_handlers

    from_hub = event_handlers.create_pipeline

    def create(model_id: str, *others: Any) -> Any:
        if not Path(model_id).is_dir():
            return from_hub(model_id, *others)
        return pipeline("acoustic-noise-suppression", model=model_id, pipeline_name=frcrn.plugin.NAME)

    event_handlers.create_pipeline = create


def main() -> None:
    """Hand over to the framework."""
    from modelscope.cli.cli import run_cmd

    with suppress(ImportError):  # the server's packages; the other commands need none of them
        serve_directories()
    run_cmd()


if __name__ == "__main__":
    main()
