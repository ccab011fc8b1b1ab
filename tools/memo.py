"""Memo: what equal calls share, so that the branches of a run make each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """Results by key, shared while they are kept and while they are being made.

    Of callers that ask for the same key at once, one makes the result and all have it. It belongs
    to one event loop.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, T] = {}
        self._made: dict[Hashable, asyncio.Future[tuple[T] | None]] = {}

    async def once(
        self, key: Hashable, make: Callable[[], Awaitable[T]], *, keep: Callable[[T], bool]
    ) -> tuple[T, bool]:
        """The result under `key`, and whether another caller made it.

        A result that `keep` turns down goes to those who waited for it; whoever asks later has it
        made anew. Where the maker is cancelled or raises, one of those who wait makes it instead.

        Raises what `make` raises.
        """
        while key not in self._kept:
            being_made = self._made.get(key)
            if being_made is None:
                return await self._make(key, make, keep), False
            # `wait` and not `await`: a caller that is cancelled must not cancel the others' result.
            await asyncio.wait([being_made])
            if (made := being_made.result()) is not None:
                return made[0], True
        return self._kept[key], True

    async def _make(
        self, key: Hashable, make: Callable[[], Awaitable[T]], keep: Callable[[T], bool]
    ) -> T:
        being_made = asyncio.get_running_loop().create_future()
        self._made[key] = being_made
        made: tuple[T] | None = None
        try:
            result = await make()
            made = (result,)
            if keep(result):
                self._kept[key] = result
            return result
        finally:
            del self._made[key]
            being_made.set_result(made)
