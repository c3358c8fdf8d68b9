"""What all requests share: models, threads, counts, and a temporary folder that ends with the service."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request

from frcrn.files import own_folder, remove_left
from frcrn.inference.network import Network
from frcrn.serve.limits import Limits, Refusal
from frcrn.serve.metrics import Metrics
from frcrn.serve.models import Models
from frcrn.serve.pool import Cancelled, Pool, StreamThreads, Ticket
from frcrn.serve.work import Upload

T = TypeVar("T")

PREFIX = "frcrn-serve-"
"""How the temporary folder of a service is called."""


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


class Service:
    """One service; `close` ends its threads and removes what it has written."""

    def __init__(self, models: Models, limits: Limits) -> None:
        self.models, self.limits, self.metrics = models, limits, Metrics()
        self.pool, self.streams = Pool(limits), StreamThreads(limits)
        self.parts = ThreadPoolExecutor(1, "frcrn-part")
        """Writes parts of jobs, one after another; who waits for one keeps no thread."""
        self._removals = ThreadPoolExecutor(1, "frcrn-removal")
        remove_left(PREFIX)
        self.folder, self._lock = own_folder(PREFIX)

    def stop(self) -> None:
        """Let all work end at its next block."""
        self.pool.stop()

    def close(self) -> None:
        """End the threads, and remove all files."""
        self.pool.close()
        self.streams.close()
        for each in (self.parts, self._removals):
            each.shutdown(wait=True, cancel_futures=True)
        self.discard()
        self._lock.close()

    def discard(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def take(self) -> tuple[Ticket, Path]:
        """Give an upload its place in the queue and an empty folder, or neither."""
        ticket = self.pool.ticket()
        try:
            return ticket, self._new_folder()
        except BaseException:
            ticket.release()
            raise

    def _new_folder(self) -> Path:
        """Return an empty folder; where a cleaner of temporary files has taken ours, in another one."""
        if not self.folder.is_dir():
            self._lock.close()
            self.folder, self._lock = own_folder(PREFIX)
        return Path(tempfile.mkdtemp(dir=self.folder))

    def leave(self, ticket: Ticket, folder: Path) -> None:
        """End the work of a request, and remove its files when it has ended."""
        ticket.cancel()
        ticket.afterwards(lambda: self.remove(folder))

    def remove(self, folder: Path) -> None:
        """Remove a folder soon; whoever calls need not wait for the disk."""
        with suppress(RuntimeError):  # the service has been closed, which removes everything
            self._removals.submit(shutil.rmtree, folder, ignore_errors=True)

    def network(self, upload: Upload) -> Network:
        """Return the network that an upload asks for, for the thread that calls."""
        return self.models.get(upload.options.settings.model)

    def run(self, ticket: Ticket, work: Callable[[], T]) -> Future[T]:
        """Let a worker do something."""
        return self.pool.submit(ticket, work)


@contextmanager
def as_refusals() -> Iterator[None]:
    """Turn what is wrong with a sound into an answer of one sentence."""
    try:
        yield
    except ValueError as error:
        raise Refusal(415, str(error)) from error
    except ImportError as error:
        raise Refusal(501, str(error)) from error


async def unless_left(request: Request, work: Future[T], ticket: Ticket) -> T:
    """Wait for work whose request has been read; if its sender leaves, the work ends."""
    future, leaving = asyncio.wrap_future(work), asyncio.ensure_future(_left(request))
    try:
        either: set[asyncio.Future[Any]] = {future, leaving}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise ClientLeft
        with as_refusals():
            return future.result()
    except Cancelled:
        raise Refusal(503, "the server is stopping", {"Retry-After": "10"}) from None
    finally:
        leaving.cancel()
        if not future.done():
            ticket.cancel()
            future.add_done_callback(_looked_at)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _looked_at(future: asyncio.Future[T]) -> None:
    """Take the error of work that nobody waits for, so that it is not logged as forgotten."""
    if not future.cancelled():
        future.exception()
