"""/v1/stream: a WebSocket that takes samples in and gives their clean form back as soon as it is ready."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from frcrn.inference.pipes import Layout, decode, encode
from frcrn.inference.streaming import Stream
from frcrn.serve.limits import Refusal
from frcrn.serve.options import shown
from frcrn.serve.service import Service

T = TypeVar("T")

FORMATS = ("s16le", "f32le")
MOST_CHANNELS = 8
LARGEST = 2**31 - 1
"""Of all numbers in messages."""
PIECE = 0.1
"""Seconds of sound in one turn of a thread, so that a large message does not hold up the other streams."""
COURTESY = 5.0
"""Seconds in which one stream too many may send its first message, so that it then reads why it is refused."""
UNACCEPTABLE, TRY_LATER = 1008, 1013
"""Why a WebSocket is closed, as its standard has it."""


class Opening(NamedTuple):
    """The first message of a stream."""

    rate: int | None = None
    format: str = "s16le"
    channels: int = 1
    model: str = ""
    strength: float = 1.0
    band: str = "full"


KINDS: dict[str, tuple[type, ...]] = {
    "rate": (int,),
    "format": (str,),
    "channels": (int,),
    "model": (str,),
    "strength": (int, float),
    "band": (str,),
}


def opening_of(text: str | None) -> Opening:
    """Read the first message, or refuse it."""
    found = message_of(text)
    if unknown := sorted(set(found) - set(KINDS)):
        raise Refusal(400, f"unknown key {shown(unknown[0])} in the first message; there are {', '.join(KINDS)}")
    for key, value in found.items():
        check_kind(key, value)
    opening = Opening(**found)
    if opening.format not in FORMATS:
        raise Refusal(400, f"format {shown(opening.format)}: choose {' or '.join(FORMATS)}")
    if not 1 <= opening.channels <= MOST_CHANNELS:
        raise Refusal(400, f"channels {opening.channels}: accepted are 1 to {MOST_CHANNELS}")
    return opening


def check_kind(key: str, value: Any) -> None:
    """Refuse a value that is not of its key's kind."""
    if isinstance(value, bool) or not isinstance(value, KINDS[key]):
        kind = "a text" if str in KINDS[key] else "a whole number" if float not in KINDS[key] else "a number"
        raise Refusal(400, f"{key} {shown(value)}: expected {kind}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise Refusal(400, f"{key} {shown(value)}: accepted are numbers up to {LARGEST}")


def message_of(text: str | None) -> dict[str, Any]:
    """Read a message of JSON."""
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(
            400, 'a text message has to be a JSON object, the first one such as {"rate": 16000, "format": "s16le"}'
        )
    return found


class Live:
    """One stream: bytes in, bytes out, a piece at a time; one thread at a time calls it."""

    def __init__(self, service: Service, opening: Opening) -> None:
        network = service.models.get(opening.model or service.models.for_streams)
        self.stream = Stream(network, opening.rate, opening.channels, opening.strength, opening.band)
        self.layout = Layout(opening.format, self.stream.rate, opening.channels)
        self.latency_ms = round(1000 * self.stream.latency / self.stream.rate, 3)
        self._left = b""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Cut a message into whole frames of all channels, at most PIECE long; what is left waits for the next."""
        data, frame = self._left + data, self.layout.frame
        whole = len(data) - len(data) % frame
        self._left = data[whole:]
        size = frame * max(1, round(PIECE * self.layout.rate))
        return (data[start : min(start + size, whole)] for start in range(0, whole, size))

    def push(self, piece: bytes) -> bytes:
        """Whole frames in; what is ready out."""
        return encode(self._all(self.stream.push(self._shaped(piece))), self.layout)

    def flush(self) -> bytes:
        """Return what is still inside."""
        return encode(self._all(self.stream.flush()), self.layout)

    def _shaped(self, piece: bytes) -> Any:
        return decode(piece, self.layout)

    def _all(self, samples: Any) -> Any:
        return samples if samples.ndim == 2 else samples[None]


class Session:
    """A WebSocket from its first message to its last."""

    def __init__(self, socket: WebSocket, service: Service, thread: ThreadPoolExecutor) -> None:
        self._socket, self._service, self._thread = socket, service, thread
        self._frames = 0

    async def run(self) -> None:
        """Answer everything that comes, in the order in which it comes; nothing is read before that is sent."""
        first = await self._next()
        opening = opening_of(first.get("text"))
        self._known(opening.model)
        live = await self._opened(opening)
        layout = live.layout
        facts = {"rate": layout.rate, "channels": layout.channels, "format": layout.encoding}
        await self._say({"ready": True, **facts, "latency_ms": live.latency_ms})
        try:
            while not await self._answered(live, await self._next()):
                pass
        finally:
            self._service.metrics.enhanced("stream", self._frames / layout.rate)

    async def _answered(self, live: Live, message: Mapping[str, Any]) -> bool:
        """Answer a message; say whether it was the last one."""
        if (data := message.get("bytes")) is not None:
            for piece in live.pieces(data):
                begun = time.monotonic()
                await self._give(await self._apart(live.push, piece))
                self._service.metrics.pushes.add(time.monotonic() - begun)
                self._frames += len(piece) // live.layout.frame
            return False
        asked = message_of(message.get("text"))
        if unknown := sorted(set(asked) - {"strength", "end"}):
            raise Refusal(400, f"unknown key {shown(unknown[0])}; after the first message there are strength and end")
        if "strength" in asked:
            check_kind("strength", asked["strength"])
            live.stream.strength = asked["strength"]
        if not asked.get("end"):
            return False
        await self._give(await self._apart(live.flush))
        await self._say({"ended": True, "samples": self._frames})
        return True

    async def _opened(self, opening: Opening) -> Live:
        """Open the stream, in its own thread only where its network belongs to that."""
        shared = self._service.models.is_shared(opening.model or self._service.models.for_streams)
        thread = self._service.streams.opening if shared else self._thread
        return await asyncio.get_running_loop().run_in_executor(thread, Live, self._service, opening)

    def _known(self, model: str) -> None:
        names = self._service.models.names
        if model and model not in names:
            raise Refusal(404, f"no model {shown(model)}; there are {', '.join(names)}")

    async def _next(self) -> Mapping[str, Any]:
        """Wait for a message, but not for ever."""
        seconds = self._service.limits.silent_seconds
        try:
            message = await asyncio.wait_for(self._socket.receive(), seconds)
        except asyncio.TimeoutError:
            raise Refusal(408, f"nothing came for {seconds:g} seconds") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        return message

    async def _apart(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something in the stream's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _give(self, data: bytes) -> None:
        if data:
            await self._sent(self._socket.send_bytes(data))

    async def _say(self, message: dict[str, Any]) -> None:
        await self._sent(self._socket.send_text(json.dumps(message)))

    async def _sent(self, sending: Any) -> None:
        """Wait until the client has taken enough of what was sent before, but not for ever."""
        try:
            await asyncio.wait_for(sending, self._service.limits.silent_seconds)
        except asyncio.TimeoutError:
            raise WebSocketDisconnect(1001) from None


async def stream(socket: WebSocket) -> None:
    """Enhance one stream; an error is one message, after which the WebSocket is closed."""
    service: Service = socket.app.state.service
    await socket.accept()
    try:
        number, thread = service.streams.take()
    except Refusal as refusal:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(socket.receive(), COURTESY)
        await _close(socket, refusal.sentence, TRY_LATER)
        return
    try:
        await Session(socket, service, thread).run()
        await socket.close()
    except (WebSocketDisconnect, asyncio.CancelledError):  # the client has left, or the server is ending
        return
    except Refusal as refusal:
        await _close(socket, refusal.sentence, UNACCEPTABLE)
    except (ValueError, TypeError, ImportError) as error:
        await _close(socket, str(error), UNACCEPTABLE)
    finally:
        service.streams.give_back(number)


async def _close(socket: WebSocket, sentence: str, code: int) -> None:
    """Say what is wrong, and close."""
    try:
        await socket.send_text(json.dumps({"error": " ".join(sentence.split())}))
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):
        return
