"""Word errors, with whatever recogniser is there; nothing is installed or fetched for it."""

from __future__ import annotations

import importlib
import secrets
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from frcrn.audio import MissingPackage, Samples, resample
from frcrn.config import shown
from frcrn.evaluation.metrics.scores import Scores

Recogniser = Callable[[Samples, int], str]
"""Samples [T] and their rate -> text."""
COLUMNS = ("wer", "words")
POCKETSPHINX = "pocketsphinx"
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"
JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}\N{SOFT HYPHEN}"
SPACELESS = ("CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""How names of letters begin whose scripts have no spaces between words; their errors are counted by letters."""


@dataclass(frozen=True)
class Named:
    """A recogniser, and the name that it is known by."""

    name: str
    recognise: Recogniser

    def __call__(self, samples: Samples, rate: int) -> str:
        """Samples [T] and their rate -> text."""
        return self.recognise(samples, rate)


def open_recogniser(name: str) -> Named:
    """Return the function `module:function`, or the installed recogniser `pocketsphinx`."""
    if name == POCKETSPHINX:
        return Named(name, _pocketsphinx())
    module, sign, function = name.partition(":")
    if not sign:
        raise ValueError(f"recogniser {name!r}: accepted are {POCKETSPHINX} and module:function")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        said = str(error) if isinstance(error, (ImportError, AttributeError)) else repr(error)
        raise ValueError(f"recogniser {name!r}: {said}") from error
    return Named(name, checked_recogniser(found, f" {name!r}"))


def checked_recogniser(found: Any, named: str = "") -> Recogniser:
    """Return a recogniser, or refuse what is none."""
    if not callable(found):
        raise ValueError(f"recogniser{named}: expected a function of samples and their rate, found {shown(found)}")
    return cast(Recogniser, found)


def _pocketsphinx() -> Recogniser:
    try:
        package: Any = importlib.import_module(POCKETSPHINX)
    except ImportError as error:
        raise MissingPackage("this recogniser needs a package: pip install pocketsphinx") from error
    decoder = package.Decoder(samprate=16000, loglevel="FATAL")

    def recognise(samples: Samples, rate: int) -> str:
        wave = resample(samples, rate, 16000)
        decoder.start_utt()
        decoder.process_raw((wave.clip(-1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        recognised = decoder.hyp()
        return str(recognised.hypstr) if recognised else ""

    return recognise


def identity_of(recogniser: Recogniser) -> str:
    """Return what tells a recogniser from all others; one without a name is not known again, not even as itself."""
    name = _name_of(recogniser)
    return name or f"{_title(recogniser)} {secrets.token_hex(4)}, which has no attribute `name` to be known by"


def _title(recogniser: Recogniser) -> str:
    return _name_of(recogniser) or str(getattr(recogniser, "__qualname__", type(recogniser).__qualname__))


def _name_of(recogniser: Recogniser) -> str | None:
    """Return its `name`, or else where its module holds it: an instance, a closure or a part of one is held nowhere."""
    name = getattr(recogniser, "name", None)
    if isinstance(name, str):
        return name
    module, path = getattr(recogniser, "__module__", None), getattr(recogniser, "__qualname__", "")
    found: Any = sys.modules.get(str(module))
    for part in path.split("."):
        found = getattr(found, part, None)
    return f"{module}:{path}" if found is recogniser else None


def words(text: str) -> list[str]:
    """Split a text into lower-case words without punctuation; each letter of a script without spaces is one."""
    found, alone = "", False
    for letter in unicodedata.normalize("NFKC", text.lower()):
        kind = unicodedata.category(letter)[0]
        if letter in APOSTROPHES:
            found += "'"
        elif kind == "M":  # vowel signs and accents belong to the letter before
            found += letter
        elif kind in "LN":
            was_alone, alone = alone, unicodedata.name(letter, "").startswith(SPACELESS)
            found += f" {letter}" if alone or was_alone else letter
        elif letter not in JOINERS:
            found, alone = found + " ", False
    return [word for each in found.split() if (word := each.strip("'"))]


def word_errors(reference: Sequence[str], recognised: Sequence[str]) -> int:
    """Count the least substitutions, insertions and deletions from one to the other."""
    distances = np.arange(len(recognised) + 1)
    for place, word in enumerate(reference, start=1):
        substituted = distances[:-1] + np.array([word != other for other in recognised], dtype=int)
        best = np.concatenate([[place], np.minimum(substituted, distances[1:] + 1)])
        # an insertion costs one more than its left neighbour: a running minimum once the slope is taken off
        slope = np.arange(len(recognised) + 1)
        distances = np.minimum.accumulate(best - slope) + slope
    return int(distances[-1])


def word_scores(
    clip: str, recogniser: Recogniser, enhanced: Samples, clean: Samples, rate: int, said: str | None
) -> Scores:
    """Return the word error rate of an enhanced clip against `said`, or else the clean clip's words."""
    reference = words(_heard(clip, recogniser, clean, rate) if said is None else said)
    if not reference:
        return Scores(failures=dict.fromkeys(COLUMNS, "there are no words to compare with"))
    wrong = word_errors(reference, words(_heard(clip, recogniser, enhanced, rate)))
    return Scores({"wer": wrong / len(reference), "words": float(len(reference))})


def _heard(clip: str, recogniser: Recogniser, samples: Samples, rate: int) -> str:
    """Return the text, or say who found none, and in which clip."""
    try:
        text = recogniser(samples, rate)
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code:  # it may be a signal that came
            raise
        failed = f"failed with {type(error).__name__}: {error}"
        raise ValueError(f"{clip}: recogniser {_title(recogniser)} {failed}") from error
    if not isinstance(text, str):
        raise ValueError(f"{clip}: recogniser {_title(recogniser)}: expected text, found {shown(text)}")
    return text
