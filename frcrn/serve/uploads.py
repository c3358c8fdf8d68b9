"""Take in the body of a request, raw or of a form, piece by piece and never more than is allowed."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import BinaryIO

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from frcrn.serve.limits import Limits, Refusal
from frcrn.serve.options import NAMES, Options, parsed, plain_name
from frcrn.serve.work import Upload, raw_header

FILE = "file"
"""The name of the field that holds the sound."""
MOST_IN_A_HEADER = 2**32 - 2**16

Pieces = AsyncGenerator[bytes, None]
Pairs = list[tuple[str, str]]


async def receive(request: Request, folder: Path, limits: Limits, models: list[str]) -> Upload:
    """Write what is sent into a folder, and return where it lies with what is asked for."""
    path, asked = folder / "upload", list(request.query_params.multi_items())
    options = parsed(asked, models)  # what is wrong in the address is refused before anything is read
    pieces = counted(request, limits)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await _from_form(request, pieces, path, models, asked)
    with path.open("wb") as file:
        size = await _body(pieces, file, options)
    if not size:
        raise Refusal(400, f"the body is empty; send a sound file, raw or as the field {FILE} of a form")
    return Upload(path, options.name or "audio", options)


async def counted(request: Request, limits: Limits) -> Pieces:
    """Yield the body, and refuse it as soon as it is too large or nothing comes any more."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limits.bytes:
        raise limits.too_large()
    size, begun, stream = 0, time.monotonic(), aiter(request.stream())
    while (piece := await _next(stream, limits)) is not None:
        size += len(piece)
        if size > limits.bytes:
            raise limits.too_large()
        if time.monotonic() - begun > limits.silent_seconds + size / limits.slowest:
            raise Refusal(408, f"the upload is slower than {limits.slowest:g} bytes a second")
        yield piece


async def _next(stream: AsyncIterator[bytes], limits: Limits) -> bytes | None:
    try:
        return await asyncio.wait_for(anext(stream, None), limits.silent_seconds)
    except asyncio.TimeoutError:
        raise Refusal(408, f"nothing came for {limits.silent_seconds:g} seconds") from None


async def _body(pieces: Pieces, file: BinaryIO, options: Options) -> int:
    """Write a raw body, and return its size; samples without a header get one."""
    begin(file, options)
    size = 0
    async for piece in pieces:
        size += len(piece)
        await asyncio.to_thread(file.write, piece)  # a slow disk keeps nobody else waiting
    finish(file, options, size)
    return size


def begin(file: BinaryIO, options: Options) -> None:
    """Leave room for the header of samples without one."""
    if options.raw:
        file.write(raw_header(options.raw, 0))


def finish(file: BinaryIO, options: Options, size: int) -> None:
    """Write the header of samples without one, now that their size is known."""
    if options.raw:
        if size > MOST_IN_A_HEADER:
            raise Refusal(413, "samples without a header are accepted up to 4 GB; send a file")
        file.seek(0)
        file.write(raw_header(options.raw, size))


async def _from_form(request: Request, pieces: Pieces, path: Path, models: list[str], asked: Pairs) -> Upload:
    """Read a form: the file, and options as further fields."""
    try:
        form = await MultiPartParser(request.headers, pieces, max_files=1, max_fields=len(NAMES)).parse()
    except (MultiPartException, KeyError, ValueError) as error:  # the last one is what the parser itself raises
        raise Refusal(400, f"the form cannot be read: {getattr(error, 'message', error)}") from error
    try:
        sent = form.get(FILE)
        if not isinstance(sent, UploadFile):
            raise Refusal(400, f"the form has no file in the field {FILE}")
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        options = parsed([*asked, *fields], models)
        if not await asyncio.to_thread(_copied, sent.file, path, options):
            raise Refusal(400, f"the file in the field {FILE} is empty")
        return Upload(path, options.name or plain_name(sent.filename or ""), options)
    finally:
        await form.close()


def _copied(source: BinaryIO, path: Path, options: Options) -> int:
    """Copy the file of a form, and return its size."""
    with path.open("wb") as file:
        begin(file, options)
        start = file.tell()
        shutil.copyfileobj(source, file)
        size = file.tell() - start
        finish(file, options, size)
    return size
