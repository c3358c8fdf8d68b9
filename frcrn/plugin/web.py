"""Read a file from the web, within a time and a size."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from frcrn.audio import AudioError

SECONDS = 60.0
MEGABYTES = 1024.0
LONGEST_NAME = 100
QUIET_SECONDS = 10.0  # without a single byte
PIECE = 1 << 16
ANSWERS = (
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.UnknownHandler,
)
"""What is done with answers of HTTP; an address of another kind is an error."""
TRANSLATED = [ipaddress.ip_network(each) for each in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32")]
"""Parts of IPv6 in which addresses of IPv4 stand, private ones too."""


def is_url(text: str) -> bool:
    """Tell whether a string is an address and not a path; refuse what we have no way to read."""
    scheme, mark, _ = text.partition("://")
    if not mark or not scheme.isalnum():
        return False
    if scheme.lower() not in ("http", "https"):
        raise AudioError(f"{text}: found an address of the kind {scheme}; accepted are http, https and local paths")
    return True


def name_in(url: str) -> str:
    """Return the file name at the end of an address, empty where there is none.

    A server chose it: it cannot be a hidden file, an option, or have characters that nobody sees.
    """
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).replace("\\", "/").rpartition("/")[2]
    seen = "".join(char for char in name if char.isprintable())
    return seen.lstrip(".- ")[-LONGEST_NAME:].lstrip(".- ")


def fetch(url: str, *, seconds: float = SECONDS, megabytes: float = MEGABYTES, public: bool = False) -> bytes:
    """Return what is at an address, or say in one sentence why it cannot be had.

    With `public`, for addresses from strangers, nothing is asked of this machine nor of others in its own networks.
    """
    failures: list[Exception] = []
    content: list[bytes] = []
    sockets: list[socket.socket] = []

    def work() -> None:
        try:
            content.append(download(url, time.monotonic() + seconds, int(megabytes * 2**20), sockets, public))
        except Exception as error:  # noqa: BLE001 - carried to the caller's thread
            failures.append(error)

    # a thread, because looking up a host's name cannot be told how long it may take
    ended = waited_for(work, seconds)
    for each in sockets:
        hang_up(each)
    if not ended:  # what failed since then failed because of the hanging up
        raise AudioError(f"{url}: cannot be read: {reason_of(TimeoutError())}")
    if failures:
        raise AudioError(f"{url}: cannot be read: {reason_of(failures[0])}") from failures[0]
    return content[0]


def waited_for(work: Callable[[], None], seconds: float) -> bool:
    """Run something that may hang, and go on without it after so many seconds; tell whether it ended."""
    thread = threading.Thread(target=work, daemon=True, name="frcrn-download")
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def hang_up(connection: socket.socket) -> None:
    """End what still waits for an answer there, so that its thread ends too."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def opener(sockets: list[socket.socket], public: bool) -> urllib.request.OpenerDirector:
    """Return what opens addresses and lists each connection that it makes."""

    def made(connection: http.client.HTTPConnection, connect: Callable[[], None]) -> None:
        if public:
            refuse_private(place[4][0] for place in socket.getaddrinfo(connection.host, connection.port))
        connect()
        sockets.append(connection.sock)
        if public:  # the name may have changed its address since it was looked up
            refuse_private([connection.sock.getpeername()[0]])

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            made(self, super().connect)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            made(self, super().connect)

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req)

    found = urllib.request.OpenerDirector()  # the usual one would follow redirects to FTP
    if not public:  # a proxy would ask whomever it is told to
        found.add_handler(urllib.request.ProxyHandler())
    for handler in (PlainHandler, SecureHandler, *ANSWERS):
        found.add_handler(handler())
    return found


def refuse_private(addresses: Iterable[Any]) -> None:
    """Refuse addresses of this machine, of networks that are not the internet's, and IPv6 ones that lead to IPv4."""
    for address in addresses:
        found = ipaddress.ip_address(address)
        if not found.is_global or found.is_multicast or any(found in each for each in TRANSLATED):
            raise ValueError("it leads to an address that is not public; send the file itself")


def download(url: str, deadline: float, limit: int, sockets: list[socket.socket], public: bool = False) -> bytes:
    """Read an address piece by piece; its connections are listed as they are made."""
    request = urllib.request.Request(url, headers={"User-Agent": "frcrn"})
    with opener(sockets, public).open(request, timeout=min(QUIET_SECONDS, deadline - time.monotonic())) as response:
        announced = response.length
        pieces, size = [], 0
        while piece := b"" if (announced or 0) > limit else response.read1(PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > limit or time.monotonic() > deadline:
                break
    if max(size, announced or 0) > limit:
        raise ValueError(f"it is larger than {limit / 2**20:g} MB")
    if time.monotonic() > deadline:
        raise TimeoutError
    if announced is not None and size < announced:
        raise ValueError(f"the connection broke after {size} of {announced} bytes")
    return b"".join(pieces)


def reason_of(error: Exception) -> str:
    """Say in words why a download failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {seen(error.reason)}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "it takes too long; check the network, or give a local file"
    if isinstance(error, OSError):
        return f"the server cannot be reached ({cause}); check the network, or give a local file"
    if isinstance(error, http.client.HTTPException):
        return f"not an address or an answer of HTTP ({type(error).__name__}: {seen(str(error))})"
    return str(error)


def seen(text: str) -> str:
    """Return what a server says as the part of a sentence that it should be: one line of letters that can be seen."""
    return "".join(char for char in text if char.isprintable())[:LONGEST_NAME]
