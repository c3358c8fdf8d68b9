"""Begin the service on an address, and end it on a signal."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from types import FrameType

import uvicorn

from frcrn.serve.app import application
from frcrn.serve.limits import Limits
from frcrn.serve.models import Models
from frcrn.serve.names import names_for
from frcrn.serve.patience import PatientProtocol
from frcrn.serve.service import Service

LARGEST_MESSAGE = 1 << 20
"""Bytes of one message of a stream."""
WAITING_MESSAGES = 2
"""Messages of a stream that are read before the one before them is answered."""
SWITCH = 0.001
"""Seconds after which a thread with a file lets one with a stream go on, where both need Python."""
PATIENCE = 2
"""Seconds in which answers may be finished when the service ends."""
LONGEST_END = 8.0
"""Seconds after a signal in which all has to end by itself."""


class Server(uvicorn.Server):
    """A server that tells its work to end as soon as it is told so itself, and does not wait for it for ever."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.ready: Callable[[], None] = lambda: None
        """Called before the first request is taken, when signals are already."""
        self._deadline: threading.Timer | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take signals, and that of a terminal that closes like the others."""
        with super().capture_signals():
            hang_up = getattr(signal, "SIGHUP", None)
            main = threading.current_thread() is threading.main_thread()
            if hang_up is None or not main or signal.getsignal(hang_up) == signal.SIG_IGN:  # as nohup has it
                yield
                return
            before = signal.signal(hang_up, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(hang_up, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        await super().startup(sockets)
        self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; a second Ctrl-C waits for nothing."""
        self._service.stop()
        super().handle_exit(sig, frame)
        if self.force_exit:
            self._leave(sig)
        if self._deadline is None:
            self._deadline = threading.Timer(LONGEST_END, self._leave, [sig])
            self._deadline.daemon = True
            self._deadline.start()

    def ended(self) -> None:
        """Say that nothing is left to wait for."""
        if self._deadline is not None:
            self._deadline.cancel()

    def _leave(self, sig: int) -> None:
        """End the process, whatever its threads are at."""
        self._service.discard()
        os._exit(128 + sig)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket on an address, or say in one sentence why there is none."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise ValueError(f"{host}, port {port}: {getattr(error, 'strerror', None) or error}") from error


def serve(
    models: Models,
    limits: Limits,
    listening: socket.socket,
    *,
    login: str | None = None,
    hosts: Iterable[str] = (),
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal comes, which is raised again when all is closed.

    Args:
        models: the models to offer.
        limits: how much is taken in.
        listening: a socket, as `listen` gives one.
        login: USER:PASSWORD, or None where everybody may ask.
        hosts: further names by which the server may be called, see `frcrn.serve.names`.
        ready: called before the first request is taken.

    Example:
        >>> serve(Models(["default"]), Limits(), listen("127.0.0.1", 8000))
    """
    sys.setswitchinterval(SWITCH)
    service = Service(models, limits)
    server = prepared(service, listening, login, hosts)
    server.ready = ready
    try:
        server.run(sockets=[listening])
    finally:
        service.close()
        server.ended()
        listening.close()


def prepared(service: Service, listening: socket.socket, login: str | None, hosts: Iterable[str] = ()) -> Server:
    """Return the server of a service."""
    hosts = tuple(hosts)
    names = names_for(listening.getsockname()[0], hosts, login)
    config = uvicorn.Config(
        application(service, login, names),
        log_config=None,
        access_log=False,
        server_header=False,
        http=partial(PatientProtocol, seconds=service.limits.silent_seconds),  # type: ignore[arg-type]
        ws_max_size=LARGEST_MESSAGE,
        ws_max_queue=WAITING_MESSAGES,
        ws_per_message_deflate=False,  # sound does not get smaller by it
        timeout_graceful_shutdown=PATIENCE,
        timeout_keep_alive=15,
        proxy_headers=bool(hosts),  # else a client could name a new address with each wrong password
    )
    return Server(config, service)
