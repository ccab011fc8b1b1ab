"""The one place where a connection is opened: no address is connected to that was not checked."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

import httpcore2

from ..functions import in_thread
from ..tool import ToolError
from .addresses import IPAddress

Allow = Callable[[IPAddress, int], bool]
"""Whether an address may be connected to at a port."""
Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host name. Raises `OSError` where there are none."""

MOST_ADDRESSES = 4
"""How many addresses of one name are tried."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")


class FetchError(ToolError):
    """An address could not be fetched. The message is for the model."""


async def resolve(host: str) -> list[str]:
    """The addresses of `host` as this machine sees them. Raises `OSError`."""
    # Not the event loop's executor: a resolver that hangs must not hold up an exit.
    found = await in_thread(lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    return [str(entry[4][0]) for entry in found]


class Guard(httpcore2.AsyncNetworkBackend):
    """Resolves a name once, checks every address, and connects to one that was checked.

    A later answer of the name server is never asked for, so it cannot differ (DNS rebinding). Host
    header, SNI and certificate are those of the name.
    """

    def __init__(self, allow: Allow, resolve: Resolve) -> None:
        self._allow = allow
        self._resolve = resolve
        self._sockets = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to `host`. Raises `FetchError` and httpcore's errors."""
        addresses = await self._checked(host, port)
        error: Exception | None = None
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await self._sockets.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failure:
                error = failure
        raise FetchError(f"{host} did not accept a connection") from error

    async def _checked(self, host: str, port: int) -> list[IPAddress]:
        """The addresses of `host`, all of them allowed."""
        written = await self._addresses(host)
        try:
            # In the order given, each once.
            addresses = list(dict.fromkeys(ip_address(address) for address in written))
        except ValueError:
            raise FetchError(f"{host} has an address that is not one") from None
        for address in addresses:
            if not self._allow(address, port):
                # Where a name leads inside this network is not for the model to learn.
                raise FetchError(f"{host} at port {port} is not on the public web: refused")
        return addresses

    async def _addresses(self, host: str) -> Sequence[str]:
        name = host.removesuffix(".")
        try:
            return [str(ip_address(name))]
        except ValueError:
            pass
        # A resolver takes 127.1, 0x7f.1 and 2130706433 for addresses. No name ends in a number.
        if not _NAME.fullmatch(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
            raise FetchError(f"{host[:100]!r} is not a host name")
        try:
            found = await self._resolve(host)
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise FetchError(f"there is no host {host}")
        return found
