from __future__ import annotations

import inspect
import re

import pytest

from description import api

NAMES = [name for names in api.SHOWN.values() for name in names]


def test_the_page_is_current() -> None:
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "make it anew: python -m description.api"


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_described_and_there_is_an_example(name: str) -> None:
    thing = api.found(name)
    text = inspect.cleandoc(thing.__doc__ or "")
    described = set(re.findall(r"^    \*{0,2}(\w+): ", text, re.MULTILINE))
    assert described == set(inspect.signature(thing).parameters) - {"self"}
    assert ">>> " in text
