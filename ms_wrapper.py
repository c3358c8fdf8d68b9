"""What ModelScope runs of a model directory with `allow_remote`: it registers our classes."""

import frcrn.plugin  # noqa: F401
