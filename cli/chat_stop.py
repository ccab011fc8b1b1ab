"""Ctrl-C while an answer is made: it stops the answer, and not the conversation."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from ..portal import run_blocking

T = TypeVar("T")


def stoppable(work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    """Run `work()` to its end, or to Ctrl-C: then it is cancelled, and the result is None.

    A second Ctrl-C does not wait until it is cancelled: `KeyboardInterrupt`. For the main thread.
    """
    stops: list[Callable[[], object]] = []

    async def watched() -> T | None:
        loop, task = asyncio.get_running_loop(), asyncio.create_task(work())
        stops.append(lambda: loop.call_soon_threadsafe(task.cancel))
        try:
            await asyncio.wait([task])
            return None if task.cancelled() else task.result()
        finally:
            task.cancel()

    def interrupted(number: int, frame: FrameType | None) -> None:
        if not stops:
            raise KeyboardInterrupt
        stops.pop()()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        return run_blocking(watched)
    finally:
        signal.signal(signal.SIGINT, before)
