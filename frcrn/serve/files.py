"""POST /v1/enhance: a file in, its clean form out; a long one is sent while it is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from frcrn.audio import AudioFormat, writer
from frcrn.serve import growing
from frcrn.serve.answers import described, type_of
from frcrn.serve.options import RAW
from frcrn.serve.pool import Cancelled, Ticket
from frcrn.serve.service import Service, unless_left
from frcrn.serve.uploads import receive
from frcrn.serve.work import Enhancement, Opened, Upload, opened, stored_as, suffix_for

LONG = 30.0
"""Seconds of sound from which on an answer is sent while it is made, where its format allows that."""


class Answer(NamedTuple):
    """A file that is there or grows, what is known of it, and the bytes it will have where that is known."""

    path: Path
    suffix: str
    facts: dict[str, Any]
    size: int | None


class Begun(Future[Answer]):
    """The answer, as soon as its headers can be sent; who waits for it cannot cancel it."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()

    def give_up(self, work: Future[None]) -> None:
        """Pass on the error of work that ended before there was an answer."""
        if not self.done():
            self.set_exception(Cancelled() if work.cancelled() else work.exception() or Cancelled())


async def enhance(request: Request) -> Response:
    """Answer a file by its clean form."""
    service: Service = request.app.state.service
    ticket, folder = service.take()
    begun = Begun()
    try:
        upload = await receive(request, folder, service.limits, service.models.names)
        done = service.pool.submit(ticket, lambda: work(service, upload, ticket, begun))
        done.add_done_callback(begun.give_up)
        answer = await unless_left(request, begun, ticket)
    except BaseException:
        service.leave(ticket, folder)
        raise
    service.metrics.enhanced("file", answer.facts["seconds"])
    headers = described(upload.name, "clean", answer.suffix, answer.facts)
    if answer.size is not None:
        headers["Content-Length"] = str(answer.size)
    kind = type_of(answer.suffix)
    return Sending(growing.follow(answer.path, done), headers, kind, lambda: service.leave(ticket, folder))


class Sending(StreamingResponse):
    """An answer that cleans up after itself, however it ends."""

    def __init__(
        self, pieces: AsyncIterator[bytes], headers: dict[str, str], kind: str, leave: Callable[[], None]
    ) -> None:
        super().__init__(pieces, headers=headers, media_type=kind)
        self._leave = leave

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def work(service: Service, upload: Upload, ticket: Ticket, begun: Begun) -> None:
    """Enhance an upload into a file beside it; done by a worker."""
    with opened(upload, service.limits, ticket.check) as source:
        suffix = suffix_for(upload)
        raw, recording = suffix[1:] in RAW, source.recording
        form = stored_as(source, upload.name, ".wav" if raw else suffix)
        enhancement = Enhancement(service.network(upload), source.recording, upload.options)
        path = upload.path.with_name(f"clean{suffix}")
        facts = {"model": upload.options.settings.model}
        length = enhancement.measure.length
        layout = growing.layout_for(form, suffix, recording.rate, recording.channels, length)
        if layout is not None and length > LONG * recording.rate:
            path.touch()
            size = growing.length_of(layout, length)
            begun.set_result(Answer(path, suffix, enhancement.facts() | facts, size))
            growing.write(path, layout, enhancement.blocks())
            return
        if layout is not None and raw:
            growing.write(path, layout, enhancement.blocks())
        else:
            save(path, enhancement, source, form)
    begun.set_result(Answer(path, suffix, enhancement.levels() | facts, path.stat().st_size))


def save(path: Path, enhancement: Enhancement, source: Opened, form: AudioFormat) -> None:
    """Write the clean form as the command line does."""
    recording = source.recording
    sound = (recording.rate, recording.channels, form)
    with writer(path, *sound, frames=enhancement.measure.length, origin=source.origin) as append:
        for block in enhancement.blocks():
            append(block)
