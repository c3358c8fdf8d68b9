"""Run the notebooks and keep what they show: python -m notebooks.run [NAME ...]

Each runs in an empty folder of its own. Do it again after new weights, so that the outputs are theirs.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS_A_CELL = 900


def notebooks() -> list[Path]:
    """Return the notebooks in their order."""
    return sorted(HERE.glob("*.ipynb"))


def execute(path: Path, folder: Path) -> Any:
    """Run a notebook in a folder and return it with its outputs; an error in a cell is raised."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=SECONDS_A_CELL, kernel_name="python3", resources=resources).execute()
    return notebook


def tidy(notebook: Any) -> Any:
    """Drop what differs from run to run and tells nothing."""
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "text" in output:  # messages name files by their whole paths
                    output.text = re.sub(r"/\S*/frcrn-[a-z]+-\w{8}/", "", output.text)
    return notebook


def main() -> None:
    """Run those that are named, or all, in place."""
    import nbformat

    for path in notebooks():
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as folder:
                notebook = tidy(execute(path, Path(folder)))
            nbformat.write(notebook, path)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
