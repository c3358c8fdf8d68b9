"""The options of a request: one table from which they are read, checked and described."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from frcrn.audio.formats import CONTAINERS, MEDIA
from frcrn.inference.one_file import OPTIONS as SETTINGS
from frcrn.inference.one_file import Settings
from frcrn.inference.pipes import BYTES
from frcrn.serve.limits import Refusal

LONGEST_NAME = 120
FASTEST = 1 << 20
"""Samples a second of what has no header; as bytes of 128 channels, they still fit into the header that it gets."""
RAW = tuple(BYTES)
"""Encodings of samples without a header."""


class Option(NamedTuple):
    """A name, its JSON schema, how a text becomes its value, and what it does."""

    name: str
    schema: dict[str, Any]
    read: Callable[[str], Any]
    about: str


def switch(text: str) -> bool:
    """Read true or false."""
    found = {"true": True, "1": True, "yes": True, "on": True, "": True, "false": False, "0": False, "no": False}
    if text.lower() not in found:
        raise ValueError
    return found[text.lower()]


NUMBER, WHOLE, SWITCH, TEXT = ({"type": kind} for kind in ("number", "integer", "boolean", "string"))

OPTIONS = (
    Option("model", TEXT, str, "the name of a model, as /v1/models lists them (default: the first one)"),
    Option("strength", NUMBER | {"minimum": 0, "maximum": 1}, float, "how much noise to remove, 0 to 1 (default: 1)"),
    Option(
        "max_attenuation_db",
        NUMBER | {"minimum": 0},
        float,
        "attenuate by at most this many dB (default: unlimited)",
    ),
    Option("residual", SWITCH, switch, "return the removed noise instead of the speech (default: false)"),
    Option("mono", SWITCH, switch, "mix to one channel (default: false, enhance each channel)"),
    Option("repair", SWITCH, switch, "replace NaN and Inf by zeros; enhance the readable part of truncated files"),
    Option("track", WHOLE | {"minimum": 1}, int, "the audio track of a video to enhance (default: 1)"),
    Option(
        "band",
        TEXT | {"enum": ["full", "speech"]},
        str,
        "full: clean and keep frequencies above 8 kHz; speech: remove them (default: full)",
    ),
    Option(
        "passes",
        WHOLE | {"minimum": 1},
        int,
        "average over so many runs of the network (default: what the model asks for, 2 for the bundled ones)",
    ),
    Option("normalise", NUMBER, float, "set the loudness in LUFS, such as -16 (default: unchanged)"),
    Option("format", TEXT, str, "of the answer: wav, flac, ogg, opus, mp3 and others (default: the upload's)"),
    Option("name", TEXT, str, "the file's name, where a raw body is sent; its extension chooses the answer's format"),
    Option("encoding", TEXT | {"enum": list(RAW)}, str, "the body is samples without a header, encoded like this"),
    Option("rate", WHOLE | {"minimum": 1}, int, "samples a second, with encoding"),
    Option("channels", WHOLE | {"minimum": 1}, int, "channels, with encoding (default: 1)"),
)
NAMES = {option.name: option for option in OPTIONS}


class Options(NamedTuple):
    """What a request asks for; `suffix` is that of the answer, empty for the upload's own."""

    settings: Settings
    suffix: str = ""
    name: str = ""
    raw: tuple[str, int, int] | None = None
    """Encoding, rate and channels of a body without a header."""


def parsed(pairs: Iterable[tuple[str, str]], models: Iterable[str]) -> Options:
    """Read options as they stand in an address or a form; a dash is as good as an underscore."""
    found: dict[str, Any] = {}
    for given, text in pairs:
        option = NAMES.get(given.replace("-", "_"))
        if option is None:
            raise Refusal(400, f"unknown option {shown(given)}; there are {', '.join(NAMES)}")
        if not text.strip() and option.read is not switch:
            continue  # a field of a form that was left empty
        if found.setdefault(option.name, value := _value(option, text)) != value:
            raise Refusal(400, f"{option.name} is given twice, with different values")
    return _checked(found, list(models))


def _value(option: Option, text: str) -> Any:
    try:
        value = option.read(text.strip())
    except ValueError:
        value = math.nan
    if value != value:
        raise Refusal(400, f"{option.name} {shown(text)}: expected {option.schema['type']}")
    return value


def _checked(found: Mapping[str, Any], models: list[str]) -> Options:
    model = found.get("model", models[0])
    if model not in models:
        raise Refusal(404, f"no model {shown(model)}; there are {', '.join(models)}")
    try:
        settings = Settings(model=model, **{name: found[name] for name in SETTINGS if name in found})
    except ValueError as error:
        raise Refusal(400, str(error)) from error
    if settings.track is not None and settings.track < 1:
        raise Refusal(400, f"track {settings.track}: accepted are whole numbers from 1")
    name = plain_name(found["name"]) if found.get("name") else ""
    return Options(settings, suffix_of(found.get("format", "")), name, _raw(found))


def _raw(found: Mapping[str, Any]) -> tuple[str, int, int] | None:
    encoding, rate, channels = (found.get(name) for name in ("encoding", "rate", "channels"))
    if encoding is None:
        if rate is not None or channels is not None:
            raise Refusal(400, "rate and channels describe samples without a header; name their encoding too")
        return None
    if encoding not in RAW or rate is None:
        raise Refusal(400, f"encoding: choose {', '.join(RAW)}, and give the rate in samples a second")
    if not 1 <= rate <= FASTEST or not 1 <= (channels or 1) <= 128:
        raise Refusal(400, f"rate and channels: accepted are a rate from 1 to {FASTEST}, and 1 to 128 channels")
    return encoding, rate, channels or 1


def suffix_of(form: str) -> str:
    """Return the extension for the name of a format; empty stays empty."""
    name = form.lower().lstrip(".")
    if not name or name in RAW or f".{name}" in {**CONTAINERS, **MEDIA}:
        return f".{name}" if name else ""
    raise Refusal(415, f"format {shown(form)} cannot be written; choose from {', '.join(formats())}")


def formats() -> list[str]:
    """Return the names of all formats that can be asked for here."""
    from frcrn.audio.reading import media_installed

    return [suffix[1:] for suffix in (*CONTAINERS, *(MEDIA if media_installed() else ()))] + list(RAW)


def plain_name(name: str) -> str:
    """Return the last part of a file's name in characters that can be seen, so that nobody is led elsewhere by it."""
    last = name.replace("\\", "/").rpartition("/")[2]
    seen = "".join(char for char in last if char.isprintable() and char not in '"<>|:*?;').lstrip(". ")
    path = PurePosixPath(seen or "audio")
    return path.stem[: LONGEST_NAME - len(path.suffix[:12])] + path.suffix[:12]


def shown(text: object) -> str:
    """Return what a client gave, short and in characters that can be seen."""
    return ascii(str(text)[:60])
