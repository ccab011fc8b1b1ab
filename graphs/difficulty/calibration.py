"""What was learned of a model on questions like these: how often it was right. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...errors import WrongUsage

PRIOR = 4.0
"""So many imagined cases hold a cell to the rate of its neighbours until it has its own."""


class Signs(NamedTuple):
    """What is known of an answer that others can be compared with."""

    votes: int
    """Votes for it, from 1; more than `MOST` count as that many."""
    against: int
    """Votes for other answers; likewise."""
    passed: bool | None
    """What the verifier said of it; None: nothing."""


MOST = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often answers were right, by their signs.

    `fit` learns one from answers whose truth is known; `p_right` smooths small cells towards the
    cells with the same verdict. Raises `WrongUsage` for rates that cannot be.
    """

    p_direct: float
    """How often one sample was right."""
    cells: Mapping[Signs, tuple[int, int]] = field(default_factory=dict)
    """Right ones and all, for each cell."""

    def __post_init__(self) -> None:
        if not 0 <= self.p_direct <= 1:
            raise WrongUsage(f"a calibration's p_direct is {self.p_direct}: a rate is needed")
        for signs, (good, count) in self.cells.items():
            if signs.votes < 1 or signs.against < 0 or not 0 <= good <= count:
                raise WrongUsage(f"a calibration cannot have {good} right of {count} at {signs}")

    @classmethod
    def fit(cls, singles: Iterable[bool], seen: Iterable[tuple[Signs, bool]]) -> Calibration:
        """A table from single samples' truth, and from leaders' signs and truth.

        Raises `WrongUsage` without any single sample.
        """
        first = list(singles)
        if not first:
            raise WrongUsage("a calibration needs at least one sample whose truth is known")
        cells: dict[Signs, tuple[int, int]] = {}
        for signs, right in seen:
            cell = capped(signs)
            good, count = cells.get(cell, (0, 0))
            cells[cell] = good + right, count + 1
        return cls((sum(first) + 1) / (len(first) + 2), cells)

    def p_right(self, signs: Signs) -> float | None:
        """Probability that an answer with these signs is right; None: none like it was seen."""
        cell = capped(signs)
        near = [n for other, n in self.cells.items() if other.passed == cell.passed]
        if not near:
            return None
        rate = (sum(good for good, _ in near) + 1) / (sum(count for _, count in near) + 2)
        good, count = self.cells.get(cell, (0, 0))
        return (good + PRIOR * rate) / (count + PRIOR)

    def dump(self, file: Path) -> None:
        """Write it as JSON."""
        rows = [[*signs, *counts] for signs, counts in sorted(self.cells.items(), key=str)]
        file.write_text(json.dumps({"p_direct": self.p_direct, "cells": rows}, indent=1), "utf-8")

    @classmethod
    def load(cls, file: Path) -> Calibration:
        """Read what `dump` wrote. Raises `WrongUsage` where it is not that."""
        try:
            data = json.loads(file.read_text("utf-8"))
            cells = {
                Signs(int(v), int(a), _PASSED[str(passed)]): (int(good), int(count))
                for v, a, passed, good, count in data["cells"]
            }
            return cls(float(data["p_direct"]), cells)
        except _BROKEN as error:
            raise WrongUsage(f"{file} is not a calibration: {error!r}") from error


_BROKEN = (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError)
_PASSED = {str(passed): passed for passed in (True, False, None)}


def capped(signs: Signs) -> Signs:
    """The cell that the signs belong to."""
    return Signs(min(signs.votes, MOST), min(signs.against, MOST), signs.passed)
