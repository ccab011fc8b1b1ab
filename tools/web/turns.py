"""Turns: how many at once, for a tool that is used from more than one event loop."""

from __future__ import annotations

import asyncio
import weakref


class Turns:
    """A semaphore of `places` for each event loop: asyncio's own belongs to one."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )

    def here(self) -> asyncio.Semaphore:
        """The running loop's semaphore."""
        loop = asyncio.get_running_loop()
        gate = self._gates.get(loop)
        if gate is None:
            gate = self._gates[loop] = asyncio.Semaphore(self._places)
        return gate
