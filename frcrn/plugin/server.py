"""The framework's server with a pipeline of this package: nothing that is sent to it names a file of the machine."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from frcrn.audio import Reader
from frcrn.models.checkpoint import MODEL_TYPE as NAME
from frcrn.plugin.pipeline import FRCRNPipeline
from frcrn.plugin.settings import NAMES
from frcrn.plugin.web import fetch, is_url

MEGABYTES = 256
"""Of one request, and of a file that it gives the address of."""
MOST_SAMPLES = 1 << 28
"""Of all channels together: 93 minutes at 48 kHz, a gigabyte in memory."""
FORESEEN = (ValueError, TypeError, RecursionError, MemoryError, ImportError)

Call = Callable[..., Any]


def prepare() -> None:
    """Let the framework's server open model directories, and take from strangers only what is theirs."""
    from modelscope.server import api_server
    from modelscope.server.api.routers import model_router
    from modelscope.server.core import event_handlers

    event_handlers.create_pipeline = partial(create, event_handlers.create_pipeline)
    model_router.call_pipeline_with_json = partial(call, model_router.call_pipeline_with_json)
    api_server.get_app = partial(application, api_server.get_app)


def create(from_hub: Call, model_id: str, *others: Any) -> Any:
    """Return the pipeline of a model directory; any other name goes to the hub as before."""
    from modelscope.pipelines import pipeline

    if not Path(model_id).is_dir():
        return from_hub(model_id, *others)
    return pipeline("acoustic-noise-suppression", model=model_id, pipeline_name=NAME)


def call(as_before: Call, about: Any, pipeline: Any, body: Any) -> Any:
    """Answer a request; the framework itself would take paths to read from, and to write to, from whoever asks."""
    if not isinstance(pipeline, FRCRNPipeline):
        return as_before(about, pipeline, body)
    return pipeline(sound_in(body), **parameters_in(body))


def sound_in(body: Any) -> io.BytesIO:
    """Return the file in a request: in base64, or at a public address."""
    given = body.get("input")
    if isinstance(given, dict) and len(given) == 1:
        (given,) = given.values()
    if not isinstance(given, str):
        raise ValueError('input: expected {"audio": ...} with a file in base64 or a web address')
    if is_url(given):
        file = io.BytesIO(fetch(given, megabytes=MEGABYTES, public=True))
        file.name = given
        return bounded(file)
    try:
        content = base64.b64decode("".join(given.split()), validate=True)
    except ValueError as error:
        raise ValueError("input: expected a file in base64 or a web address; paths are not read here") from error
    return bounded(io.BytesIO(content))


def bounded(file: io.BytesIO) -> io.BytesIO:
    """Return a file of sound if it is not too long: a small one can hold days of silence."""
    count = 0
    with Reader(file, repair=True) as reader:
        for block in reader.blocks():
            count += block.size
            if count > MOST_SAMPLES:
                raise ValueError(f"the sound has more than {MOST_SAMPLES} samples, the most accepted here")
    file.seek(0)
    return file


def parameters_in(body: Any) -> dict[str, Any]:
    """Return the settings in a request; where something is written to is none of them."""
    given = body.get("parameters") or {}
    if not isinstance(given, dict):
        raise ValueError(f"parameters: expected an object, found {type(given).__name__}")
    if unknown := sorted(set(given) - set(NAMES)):
        raise ValueError(f"parameters: found {unknown[0][:40]!r}; accepted here are {', '.join(NAMES)}")
    return given


def application(build: Call, arguments: Any) -> Any:
    """Return the framework's application with bounded requests, and errors of one sentence in place of its code."""
    app = build(arguments)
    app.debug = False
    app.add_middleware(Bounded)
    for kind in FORESEEN:
        app.add_exception_handler(kind, refused)
    return app


async def refused(request: Any, error: Exception) -> Any:
    """Answer what is wrong with a request."""
    from starlette.responses import JSONResponse

    sentence = " ".join(str(error).split()) or f"it cannot be read ({type(error).__name__})"
    return JSONResponse({"detail": sentence}, 400)


class Bounded:
    """Refuse requests that are too large as soon as they are."""

    def __init__(self, app: Call) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Call, send: Call) -> None:
        """Pass a request on, and count its bytes as they come."""
        from starlette.exceptions import HTTPException

        size = 0

        async def counted() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MEGABYTES << 20:
                raise HTTPException(413, f"the request is larger than {MEGABYTES} MB, the most accepted here")
            return message

        await self._app(scope, counted, send)
