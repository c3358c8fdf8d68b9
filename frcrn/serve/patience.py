"""Time limits of connections: a client that sends half a request, or does not read its answer, is not kept for ever."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_UNREAD = 1 << 23
"""Bytes that wait for the client of a WebSocket; what a stream answers to one piece is far less."""


class PatientProtocol(H11Protocol):
    """HTTP that ends a connection on which nothing moves, also where no request has reached the application.

    Args:
        seconds: the longest time without a whole request, and in which a client reads nothing of its answer.
    """

    def __init__(self, *arguments: Any, seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seconds, self._paused, self._moved = seconds, False, time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def on_response_complete(self) -> None:
        """From now on, another request is waited for."""
        self._moved = time.monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client has to read before more is sent."""
        self._paused, self._moved = True, time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self._paused, self._moved = False, time.monotonic()
        super().resume_writing()

    def _look(self) -> None:
        if self.transport.get_protocol() is not self and self._timer is not None:
            self._look_at_socket()
            return
        now = time.monotonic()
        if self.cycle is not None and not self.cycle.response_complete and not self._paused:
            self._moved = now  # the application works or reads, and has limits of its own
        if now - self._moved > self._seconds:
            self.transport.abort()
            return
        self._look_again()

    def _look_at_socket(self) -> None:
        """End a WebSocket, open or closing, whose client does not read: pings are answered at any rate."""
        now, before = time.monotonic(), self._unread
        self._unread = self.transport.get_write_buffer_size()
        if not self._unread and self.transport.is_closing():
            return
        if not self._unread or self._unread < before:
            self._moved = now
        if now - self._moved > self._seconds or self._unread > MOST_UNREAD:
            self.transport.abort()
            return
        self._look_again()

    def _look_again(self) -> None:
        self._timer = self.loop.call_later(min(1.0, self._seconds / 4), self._look)
