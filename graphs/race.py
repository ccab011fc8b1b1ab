"""Race: what the chains of a wave share while they run: the one that settles it ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from .samples import Sample, merged

T = TypeVar("T")


class Race:
    """One wave.

    Args:
        earlier: Samples of the waves before.
        enough: Why no more are needed, given all samples; empty: they are.
    """

    def __init__(
        self, earlier: Sequence[Sample], enough: Callable[[Sequence[Sample]], str]
    ) -> None:
        self.samples: list[Sample] = list(earlier)
        self.decided: str = ""
        """Why the wave ended early; empty: it did not."""
        self._enough = enough
        self._over = asyncio.Event()

    def finish(self, sample: Sample) -> None:
        """A chain has ended: decide whether the others are still needed."""
        self.samples = merged(self.samples, [sample])
        if not self.decided and (reason := self._enough(self.samples)):
            self.decided = reason
            self._over.set()

    async def run(self, work: Coroutine[Any, Any, T], seconds: float | None) -> T | None:
        """The chain's result, or None when it is not needed any more or its time is up.

        A chain that is not needed is cancelled, and its connections are closed, at once; one that
        ends all the same while it is being cancelled has its result.
        """
        if self.decided:
            work.close()
            return None
        task = asyncio.create_task(work)
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({task, over}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            task.cancel()
            await asyncio.wait({task, over})
        return None if task.cancelled() else task.result()
