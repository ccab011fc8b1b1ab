"""Digests: a set of ids that takes eight bytes for each. Pure."""

from __future__ import annotations

import bisect
from array import array
from hashlib import blake2b

import numpy as np

WIDTH = 8
"""Bytes. Among a million ids, two share a digest with a probability of 3 in 100 million."""


def digest(name: str | int) -> int:
    """The digest of an id. Text and number of the same spelling have the same."""
    return int.from_bytes(blake2b(str(name).encode(), digest_size=WIDTH).digest())


class Digests:
    """Digests to look up: `digest(id) in digests`. Does not change."""

    def __init__(self, values: array[int]) -> None:
        ordered = np.frombuffer(values, dtype=np.uint64).copy()
        ordered.sort()
        self._values = array("Q", ordered.tobytes())

    def __contains__(self, value: int) -> bool:
        at = bisect.bisect_left(self._values, value)
        return at < len(self._values) and self._values[at] == value

    def __len__(self) -> int:
        return len(self._values)

    def shared(self, other: Digests) -> int:
        """How many are in both; each must be there once."""
        mine, theirs = (np.frombuffer(each._values, dtype=np.uint64) for each in (self, other))
        return len(np.intersect1d(mine, theirs, assume_unique=True))

    def repeated(self) -> set[int]:
        """Those that are there more than once."""
        values = np.frombuffer(self._values, dtype=np.uint64)
        return {int(value) for value in values[1:][values[1:] == values[:-1]]}
