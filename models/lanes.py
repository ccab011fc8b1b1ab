"""Lanes: what each event loop uses of a backend, closed when the loop or the backend goes."""

from __future__ import annotations

import asyncio
import functools
import ssl
import weakref
from collections.abc import AsyncGenerator

import httpx2
import openai
from openai import AsyncOpenAI

CONNECT_TIMEOUT = 10.0
"""Seconds to get a connection."""
KEPT_FOR = 15.0
"""Seconds that an idle connection is kept for the next call."""


class Lane:
    """One event loop's clients of a backend, and the permits for its calls."""

    def __init__(self, base_url: str, api_key: str, concurrency: int) -> None:
        self.client = _client(base_url, api_key, concurrency, KEPT_FOR)
        self.fresh = _client(base_url, api_key, concurrency, 0.0)
        """Uses each connection once."""
        self.permits = asyncio.Semaphore(concurrency)
        self.probing = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.close()
        await self.fresh.close()


_Open = dict[asyncio.AbstractEventLoop, tuple[Lane, AsyncGenerator[Lane, None]]]


class Lanes:
    """The lanes of one backend, one for each event loop that uses it."""

    def __init__(self, base_url: str, api_key: str, concurrency: int) -> None:
        self._settings = base_url, api_key, concurrency
        self._open: _Open = {}
        # A backend that is dropped closes its connections, before they are collected.
        weakref.finalize(self, _close_all, self._open).atexit = False

    async def here(self) -> Lane:
        """The lane of the running event loop."""
        loop = asyncio.get_running_loop()
        known = self._open.get(loop)
        if known is None:
            for ended in [other for other in self._open if other.is_closed()]:
                del self._open[ended]
            keeper = _keep(self._open, *self._settings)
            known = self._open[loop] = (await anext(keeper), keeper)
        return known[0]

    def open(self) -> list[Lane]:
        """The lanes that are open now."""
        return [lane for lane, _ in self._open.values()]

    async def aclose(self) -> None:
        """Close the running event loop's lane."""
        known = self._open.get(asyncio.get_running_loop())
        if known is not None:
            await known[1].aclose()


async def _keep(
    lanes: _Open, base_url: str, api_key: str, concurrency: int
) -> AsyncGenerator[Lane, None]:
    """A loop that shuts down closes its open async generators: no connection outlives its loop."""
    lane = Lane(base_url, api_key, concurrency)
    try:
        yield lane
    finally:
        lanes.pop(asyncio.get_running_loop(), None)
        await lane.aclose()


def _close_all(lanes: _Open) -> None:
    for loop, (_, keeper) in list(lanes.items()):
        if not loop.is_closed():
            loop.call_soon_threadsafe(_close, loop, keeper)


def _close(loop: asyncio.AbstractEventLoop, keeper: AsyncGenerator[Lane, None]) -> None:
    task = loop.create_task(keeper.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()
"""Held here until they are done: a loop holds its tasks only weakly."""


def _client(base_url: str, api_key: str, concurrency: int, kept_for: float) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key or "none",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(
            verify=_tls(),
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),
            limits=httpx2.Limits(
                max_connections=concurrency + 4,
                max_keepalive_connections=concurrency,
                keepalive_expiry=kept_for,
            ),
        ),
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    """Certificates take 40 ms to read."""
    return httpx2.create_ssl_context()
