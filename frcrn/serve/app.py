"""The service's addresses, and what begins and ends with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Container, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from frcrn import __version__
from frcrn.serve import job_requests
from frcrn.serve.answers import READ, described, failed, not_here, refused, without_room
from frcrn.serve.files import enhance
from frcrn.serve.guard import App, Guard, Receive, Scope, Send
from frcrn.serve.jobs import Jobs
from frcrn.serve.limits import Refusal
from frcrn.serve.metrics import resident_bytes
from frcrn.serve.openapi import description
from frcrn.serve.options import formats
from frcrn.serve.page import Page, index, static
from frcrn.serve.service import ClientLeft, Service
from frcrn.serve.streams import stream

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TIDY = 10.0  # seconds between two looks for what is old


def routes() -> list[Route | WebSocketRoute]:
    """Return all addresses."""
    return [
        Route("/", index),
        Route("/static/{path:path}", static),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/v1/models", models),
        Route("/v1/sample", sample),
        Route("/v1/enhance", enhance, methods=["POST"]),
        Route("/v1/jobs", job_requests.begin, methods=["POST"]),
        Route("/v1/jobs/{id}", job_requests.report, methods=["GET"]),
        Route("/v1/jobs/{id}", job_requests.delete, methods=["DELETE"]),
        Route("/v1/jobs/{id}/audio", job_requests.fetch),
        Route("/openapi.json", openapi),
        WebSocketRoute("/v1/stream", stream),
    ]


def application(service: Service, login: str | None = None, hosts: Container[str] | None = None) -> Starlette:
    """Return the application; it closes the service when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        keeping = asyncio.create_task(_tidying(app.state.jobs))
        try:
            yield
        finally:
            keeping.cancel()
            service.stop()
            await asyncio.to_thread(service.close)

    handlers: Any = {
        Refusal: refused,
        ClientLeft: _left,
        ClientDisconnect: _left,
        HTTPException: not_here,
        OSError: without_room,
        Exception: failed,
    }
    middleware = [Middleware(Counting, service=service), Middleware(Guard, login=login, hosts=hosts)]
    app = Starlette(routes=routes(), lifespan=lifespan, exception_handlers=handlers, middleware=middleware)
    app.state.service, app.state.jobs, app.state.page = service, Jobs(service), Page()
    return app


async def _tidying(jobs: Jobs) -> None:
    while True:
        await asyncio.sleep(TIDY)
        with suppress(OSError):
            jobs.tidy()


async def _left(request: Request, error: Exception) -> Response:
    """Nobody reads this; the status is what the counts say."""
    return Response(status_code=499)


class Counting:
    """Count each request with its address, status and duration."""

    def __init__(self, app: App, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 499

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        async def receiving() -> MutableMapping[str, Any]:
            message = await receive()
            scope[READ] = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, receiving, sending)
        finally:
            seconds = time.monotonic() - begun
            self._service.metrics.answered(address(scope), method(scope), status, seconds)


def address(scope: Scope) -> str:
    """Return the address of a request as the routes have it, so that there are as many as there are routes."""
    endpoint = scope.get("endpoint")
    found = (route.path for route in routes() if route.endpoint is endpoint)
    return next(found, "other")


def method(scope: Scope) -> str:
    """Return the method of a request where it is a usual one: a client may make up as many as it likes."""
    given = str(scope.get("method", "GET"))
    return given if given in METHODS else "other"


async def health(request: Request) -> Response:
    """Say that the server answers."""
    service: Service = request.app.state.service
    now = {"active": service.pool.active, "waiting": service.pool.waiting, "streams": service.streams.active}
    return JSONResponse({"status": "ok", "version": __version__, **now})


async def models(request: Request) -> Response:
    """Say which models there are, what is accepted, and how much."""
    service: Service = request.app.state.service
    limits = service.limits
    allowed = {"megabytes": limits.megabytes, "minutes": limits.minutes, "queue": limits.queue}
    allowed |= {"workers": limits.workers, "streams": limits.streams}
    return JSONResponse({"models": service.models.about, "limits": allowed, "formats": formats()})


async def sample(request: Request) -> Response:
    """Answer the bundled noisy sample."""
    content = await asyncio.to_thread(_sample)
    return Response(content, media_type="audio/wav", headers=described("sample.wav", "noisy", ".wav", {}))


def _sample() -> bytes:
    import io

    import soundfile

    from frcrn.audio.sample import sample as read

    found, file = read(), io.BytesIO()
    soundfile.write(file, found.samples.T, found.rate, "PCM_16", format="WAV")
    return file.getvalue()


async def openapi(request: Request) -> Response:
    """Answer the description of this interface."""
    service: Service = request.app.state.service
    return JSONResponse(description(service.models.names))


async def metrics(request: Request) -> Response:
    """Answer counts and durations, for Prometheus."""
    service: Service = request.app.state.service
    jobs: Jobs = request.app.state.jobs
    now = {
        "active": (service.pool.active, "Files that are being enhanced."),
        "waiting": (service.pool.waiting, "Files that are uploaded or wait for a worker."),
        "streams": (service.streams.active, "Streams that are open."),
        "jobs": (sum(jobs.counts().values()), "Jobs that are known, finished ones too."),
        "resident_bytes": (resident_bytes(), "Memory in use."),
    }
    return PlainTextResponse(service.metrics.text(now), media_type="text/plain; version=0.0.4; charset=utf-8")
