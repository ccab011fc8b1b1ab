"""Recent: what was found a short while ago, shared by the branches of a run."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The last `most` values, each for `seconds`."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        """The value under `key`, unless it is too old."""
        kept = self._kept.get(key)
        if kept is None or kept[0] < time.monotonic():
            return None
        return kept[1]

    def put(self, key: Hashable, value: T) -> None:
        """Keep `value`; the oldest goes where there are too many."""
        self._kept.pop(key, None)
        self._kept[key] = time.monotonic() + self._seconds, value
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
