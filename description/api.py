"""Make docs/api.md from the docstrings: python -m description.api"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "api.md"

SHOWN = {
    "Load and enhance": (
        "frcrn.load",
        "frcrn.Enhancer.enhance",
        "frcrn.enhance_file",
        "frcrn.enhance_folder",
        "frcrn.enhance_dataset",
        "frcrn.scale.corpus.enhance_corpus",
        "frcrn.show",
    ),
    "Stream": (
        "frcrn.Enhancer.stream",
        "frcrn.Stream.push",
        "frcrn.Stream.flush",
        "frcrn.inference.streaming.push_together",
    ),
    "Run faster": ("frcrn.Enhancer.optimize", "frcrn.export.runtime.with_runtime"),
    "Models on disk": (
        "frcrn.models.checkpoint.describe",
        "frcrn.models.checkpoint.save",
        "frcrn.models.checkpoint.save_directory",
    ),
    "Train": ("frcrn.training.read", "frcrn.training.Trainer", "frcrn.training.Trainer.train"),
    "Score and compare": (
        "frcrn.evaluation.metrics.scores.score",
        "frcrn.data.pairs.open_pairs",
        "frcrn.evaluation.systems.open_system",
        "frcrn.evaluation.evaluate.evaluate",
        "frcrn.evaluation.compare.compare",
        "frcrn.evaluation.speed.benchmark.benchmark",
    ),
}

BLOCK = """<!-- check: parse -->
```python
{code}
```"""

WIDTH = 100

HEAD = """# Python interface

Everything below is for use in your own programs. `import frcrn` gives what is under `frcrn` itself; import the rest
from the module that its name begins with. This page is made from the docstrings by `python -m description.api`.
"""


def found(name: str) -> Callable[..., Any]:
    """Return what a dotted name stands for."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            thing: Any = import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part)
        return thing
    raise ImportError(name)


def signature(name: str, thing: Callable[..., Any]) -> str:
    """Return how it is called, one argument a line where it has many."""
    shown = inspect.signature(thing)
    arguments = [each.replace(annotation=inspect.Parameter.empty) for each in shown.parameters.values()]
    arguments = [each for each in arguments if each.name != "self"]
    text = str(shown.replace(parameters=arguments, return_annotation=inspect.Signature.empty))
    text = re.sub(r"<function <lambda>[^>]*>", "None", text).replace("'", '"')
    start = f"def {name.rpartition('.')[2]}"
    if len(start + text) > WIDTH:
        parts = re.split(r", (?![^(]*\))", text[1:-1])  # not at the commas within a default such as (1, 2)
        text = "(\n" + "".join(f"    {part},\n" for part in parts) + ")"
    return f"{start}{text}: ..."


def entry(name: str) -> str:
    """Return the part of the page about one name."""
    thing = found(name)
    text = inspect.cleandoc(thing.__doc__ or "")
    before, _, rest = text.partition("\nArgs:\n")
    arguments, _, example = rest.partition("\nExample:\n") if rest else ("", "", text.partition("\nExample:\n")[2])
    before = before.partition("\nExample:\n")[0].strip()
    parts = [f"### `{name}`", BLOCK.format(code=signature(name, thing)), before]
    if rows := re.findall(r"^    (\*{0,2}\w+): (.+(?:\n        .+)*)", arguments, re.MULTILINE):
        lines = ("| `" + key + "` | " + " ".join(value.split()) + " |" for key, value in rows)
        parts.append("| argument | |\n|---|---|\n" + "\n".join(lines))
    if example:
        code = "\n".join(re.sub(r"^(>>>|\.\.\.) ?", "", line) for line in inspect.cleandoc(example).splitlines())
        parts.append(BLOCK.format(code=code))
    return "\n\n".join(parts)


def page() -> str:
    """Return the whole page."""
    sections = (f"## {title}\n\n" + "\n\n".join(map(entry, names)) for title, names in SHOWN.items())
    return "\n\n".join([HEAD.strip(), *sections]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
