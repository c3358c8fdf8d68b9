"""Who may ask: names that the server goes by, pages of its own, a user and a password."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Container, MutableMapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response

from frcrn.serve.answers import error
from frcrn.serve.names import host_of

OPEN = ("/health",)
"""What needs no password, so that whoever watches the server need not know it."""
MOST_FAILURES, WITHIN = 10, 60.0
"""Wrong passwords from one address, and the seconds in which they may come."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """Let a request through, or answer it.

    Args:
        app: what answers those that may ask.
        login: USER:PASSWORD, or None where everybody may ask.
        hosts: the names by which the server may be called, or None for all. A page elsewhere whose own name leads to
            this machine could otherwise use a server that it cannot reach itself.
    """

    def __init__(self, app: App, login: str | None = None, hosts: Container[str] | None = None) -> None:
        self._app, self._hosts = app, hosts
        self._login = None if login is None else login.encode()
        self._failures: dict[str, deque[float]] = defaultdict(deque)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await refusal(scope, receive, send)
        else:
            await _refuse_socket(scope, refusal, send)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        host = host_of(request.headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            return error(403, "this server does not go by that name; start it with --allow-host NAME to let it")
        origin = request.headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != request.headers.get("host", "").lower():
            return error(403, "a page from another server may not use this one")
        # not the path of `request.url`, into which a client writes what it likes by the name it calls the server
        if self._login is None or request.scope["path"] in OPEN:
            return None
        return self._unless_known(request)

    def _unless_known(self, request: HTTPConnection) -> Response | None:
        address = request.client.host if request.client else ""
        failures = self._recent(address)
        if len(failures) >= MOST_FAILURES:
            wait = {"Retry-After": str(round(WITHIN))}
            return error(429, "too many wrong passwords came from this address; try again in a minute", wait)
        given = request.headers.get("authorization")
        if given is not None and hmac.compare_digest(credentials(given), self._login or b""):
            return None
        if given is not None:
            self._failures[address].append(time.monotonic())
        asks = {"WWW-Authenticate": 'Basic realm="frcrn", charset="UTF-8"'}
        return error(401, "a user and a password are needed", asks)

    def _recent(self, address: str) -> deque[float]:
        """Return when wrong passwords came from an address of late; what is older is forgotten."""
        oldest = time.monotonic() - WITHIN
        for known in list(self._failures):
            times = self._failures[known]
            while times and times[0] < oldest:
                times.popleft()
            if not times:
                del self._failures[known]
        return self._failures.get(address, deque())


def credentials(header: str) -> bytes:
    """Return USER:PASSWORD as a header of basic authentication has it; empty where it has none."""
    kind, _, content = header.partition(" ")
    try:
        return base64.b64decode(content.strip(), validate=True) if kind.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return b""


def _with_headers(send: Send) -> Send:
    """Tell browsers not to guess types, and not to say where they come from."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            extra = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return sending


async def _refuse_socket(scope: Scope, refusal: Response, send: Send) -> None:
    """Answer a WebSocket that may not be opened, with status and sentence where the server can."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    start = {"type": "websocket.http.response.start", "status": refusal.status_code}
    await send({**start, "headers": refusal.raw_headers})
    await send({"type": "websocket.http.response.body", "body": bytes(refusal.body)})
