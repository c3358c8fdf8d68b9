"""By which names a server may be called."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Container, Iterable

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADER = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^][:@/?#\s]+))(?::[0-9]*)?")


class Names(Container[str]):
    """Names in small letters, and any IP address where `addresses` is set: no page elsewhere has one as its name."""

    def __init__(self, names: Iterable[str], addresses: bool = False) -> None:
        self._names, self._addresses = {name.lower() for name in names}, addresses

    def __contains__(self, host: object) -> bool:
        return host in self._names or (self._addresses and is_address(str(host)))


def names_for(bound: str, hosts: Iterable[str], login: str | None) -> Names | None:
    """Return the names of a server that listens on an address, or None for all.

    A browser sends a password only to the name that it was given for, so a server with one needs no names.
    """
    hosts = tuple(hosts)
    if hosts or bound in LOOPBACK or bound.startswith("127."):
        return Names((*LOOPBACK, bound, *hosts))
    return Names(("localhost", *own_names()), addresses=True) if login is None else None


def own_names() -> set[str]:
    """Return what this machine is called by others."""
    name = socket.gethostname()
    return {name, socket.getfqdn(name), f"{name.partition('.')[0]}.local"} - {"", ".local"}


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_of(header: str) -> str:
    """Return the host in a header, without its port; empty where the header is anything else."""
    found = HEADER.fullmatch(header)
    return (found["address"] or found["name"]).lower() if found else ""
