"""Make the picture of the service's page in docs/page.md: python -m description.service_page; needs Chromium."""

from __future__ import annotations

from pathlib import Path

from tests.browser import visited
from tests.service_page import BEGIN, serving

PICTURE = Path(__file__).parent.parent / "docs" / "page.png"
WIDTH, HEIGHT = 1170, 830
KEPT, COLOURS = 1000, 48
"""Pixels across, and colours, of the picture that is kept: less than 200 kB."""
PLACE = 2.4
"""Seconds of the sample at which its playhead stands."""
SCRIPT = f"""
at("example").click();
await until(() => queue.recordings.length); await idle(); await shown();
await player.seek({PLACE});
await until(() => stage.pictures.removed.latest.canvas.width === stage.canvases.removed.clientWidth);
"""


def main() -> None:
    """Open the page, have the example enhanced, and keep what can be seen."""
    from PIL import Image

    with serving() as address, visited(address) as page:
        page.ask("Emulation.setScrollbarsHidden", hidden=True)
        page.resize(WIDTH, HEIGHT)
        page.run(BEGIN + SCRIPT)
        page.picture(PICTURE)
    small = Image.open(PICTURE).convert("RGB").resize((KEPT, HEIGHT * KEPT // WIDTH), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
