"""What answers have in common: types, names, headers, and errors of one sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from frcrn.files import is_full
from frcrn.serve.limits import NO_ROOM, Refusal

TYPES = {
    ".wav": "audio/wav",
    ".wave": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
    ".aiff": "audio/aiff",
    ".aif": "audio/aiff",
    ".aifc": "audio/aiff",
    ".au": "audio/basic",
    ".caf": "audio/x-caf",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".aac": "audio/aac",
    ".amr": "audio/amr",
    ".mka": "audio/x-matroska",
    ".wma": "audio/x-ms-wma",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".3gp": "video/3gpp",
}
READ = "frcrn.read"
"""The key in a request's scope that says whether its body was read to the end."""
PATIENCE = 5.0
"""Seconds in which the rest of a refused upload is read."""
UNKNOWN = "application/octet-stream"
PRINTED = "".join(map(chr, range(32, 127))).replace("%", "")
"""What stands in a header as it is."""


def type_of(suffix: str) -> str:
    """Return the media type for an extension."""
    return TYPES.get(suffix.lower(), UNKNOWN)


def described(name: str, part: str, suffix: str, facts: Mapping[str, object]) -> dict[str, str]:
    """Return the headers of an answer with sound: its name, and what is known of it."""
    file = f"{PurePath(name).stem}.{part}{suffix}"
    plain = file.encode("ascii", "replace").decode().replace("?", "_")
    found = {f"X-Frcrn-{key.replace('_', '-').title()}": quote(str(value), PRINTED) for key, value in facts.items()}
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file)}", **found}


def error(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error of one sentence."""
    return JSONResponse({"error": " ".join(sentence.split())}, status, dict(headers or {}))


async def refused(request: Request, exception: Exception) -> Response:
    """Answer a refusal."""
    assert isinstance(exception, Refusal)
    await _drained(request)
    # where the body was not read to its end, no other request can follow it on this connection
    return error(exception.status, exception.sentence, {"Connection": "close", **exception.headers})


async def _drained(request: Request) -> None:
    """Read on for a while: many clients look at an answer only after they have sent everything."""
    if "expect" in request.headers and READ not in request.scope:
        return  # this one asked before it sends
    deadline = time.monotonic() + PATIENCE
    with suppress(asyncio.TimeoutError):
        while not request.scope.get(READ):
            await asyncio.wait_for(request.receive(), deadline - time.monotonic())


async def without_room(request: Request, exception: Exception) -> Response:
    """Answer for a disk that is full; other trouble of the system is nothing that was foreseen."""
    if not is_full(exception):
        raise exception
    return await refused(request, Refusal(507, NO_ROOM, {"Retry-After": "60"}))


async def failed(request: Request, exception: Exception) -> Response:
    """Answer what nobody foresaw; the details are for the log."""
    return error(500, "the server made a mistake; its log says more")


async def not_here(request: Request, exception: Exception) -> Response:
    """Answer for an address or a method that does not exist."""
    status = getattr(exception, "status_code", 404)
    known = {404: "there is nothing at this address", 405: "this address does not take this method"}
    return error(status, known.get(status, str(getattr(exception, "detail", exception))))
