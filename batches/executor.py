"""Executor: who answers a stream of questions, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Protocol

from ..errors import WrongUsage
from .item import Item, Refused
from .row import Row

Answers = Callable[[Item | Refused], Awaitable[Row | None]]
"""Makes the row of one question; None leaves it unfinished."""


class Executor(Protocol):
    """Answers questions somewhere."""

    def run(self, items: Iterator[Item | Refused]) -> AsyncGenerator[list[Row], None]:
        """Yield rows as they are made, in any order.

        Takes an item only when there is a place for it: items may be millions. An error of one
        ends the taking; the others in flight are finished, and then it is raised.
        """


class LocalExecutor:
    """Answers in this process, `concurrency` questions at once."""

    def __init__(self, answers: Answers, concurrency: int) -> None:
        if concurrency < 1:
            raise WrongUsage(f"concurrency {concurrency}: give 1 or more")
        self._answers = answers
        self._concurrency = concurrency

    async def run(self, items: Iterator[Item | Refused]) -> AsyncGenerator[list[Row], None]:
        """Yield rows as they are made."""
        running: set[asyncio.Task[Row | None]] = set()
        failure: BaseException | None = None
        try:
            while True:
                while failure is None and len(running) < self._concurrency:
                    item = next(items, None)
                    if item is None:
                        break
                    running.add(asyncio.ensure_future(self._answers(item)))
                if not running:
                    break
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                failure = failure or next((e for t in done if (e := t.exception())), None)
                rows = [task.result() for task in done if task.exception() is None]
                if made := [row for row in rows if row is not None]:
                    yield made
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if failure is not None:
            raise failure
