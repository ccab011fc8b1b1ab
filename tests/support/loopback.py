"""A net around a test: its sockets and name look-ups cannot leave this machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest


@dataclass
class Net:
    """What was tried while the net was up."""

    connects: list[tuple[str, int]] = field(default_factory=list)
    """Address and port of every TCP connection that was tried, loopback's too."""
    names: list[str] = field(default_factory=list)
    """The names that the machine's resolver was asked for; it was not asked."""


@contextmanager
def only_loopback() -> Iterator[Net]:
    """Connections elsewhere fail as on a machine without a network."""
    net = Net()
    connect, connect_ex, getaddrinfo = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def checked(sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            net.connects.append((address[0], address[1]))
            if not ip_address(address[0].partition("%")[0]).is_loopback:
                raise OSError(f"{address} is not on loopback")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        checked(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        checked(sock, address)
        return connect_ex(sock, address)

    def numbers_only(host: Any, *more: Any, **options: Any) -> Any:
        if host not in (None, "localhost", b"localhost"):
            try:
                socket.inet_aton(host)  # Also the short, decimal and hexadecimal forms.
            except (OSError, TypeError):
                try:
                    ip_address(host if isinstance(host, str) else host.decode())
                except ValueError:
                    net.names.append(str(host))
                    raise socket.gaierror(socket.EAI_NONAME, "no names in this test") from None
        return getaddrinfo(host, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", numbers_only)
        yield net
