"""Make the picture of the browser's page in docs/plugins.md: python -m description.web_page; needs Chromium."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from frcrn.export.web.folder import export_web
from frcrn.models.checkpoint import load
from tests.browser import Page, opened

PICTURE = Path(__file__).parent / "web_page.png"
WIDTH, HEIGHT, COLOURS = 1120, 740, 128
SECONDS = 8  # of the sample, so that it fills the spectrograms


def play(page: Page) -> None:
    """Let the page play its sample for a while."""
    page.run("document.getElementById('sample').click()")
    time.sleep(SECONDS)


def main() -> None:
    """Open the page, play the sample, and keep what can be seen."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        export_web(load(), folder)
        with opened(Path(folder), "index.html") as page:
            page.resize(WIDTH, HEIGHT)
            play(page)
            page.picture(PICTURE)
    Image.open(PICTURE).convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
