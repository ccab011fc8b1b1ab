"""What the families of problems share: a problem, the reading of its steps, and its split. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "validation", "test"]

SHARES: dict[Split, int] = {"test": 10, "validation": 5}
"""Percent of all problems; what is left is for training."""
_OPERATION = re.compile(r"(\d{1,9})([-+*/])(\d{1,9})=(\d{1,9})(?!\d)")


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, its answer, and one way to it."""

    family: str
    question: str
    answer: int
    lines: tuple[str, ...]
    """One operation a line, such as `12+7=19`."""
    code: str
    """A Python program that prints the answer; empty where none is of use."""
    numbers: tuple[int, ...] = ()
    """Countdown: those to use, each once."""

    @property
    def steps(self) -> int:
        """Operations of the written way."""
        return len(self.lines)

    @property
    def solution(self) -> str:
        """The way and the answer, as the model is to write it."""
        return "\n".join([*self.lines, f"Answer: {self.answer}"])

    @property
    def split(self) -> Split:
        """The one split that it belongs to, whatever its names and things are called."""
        place = int(hashlib.sha256(self.core.encode()).hexdigest()[:8], 16) % 100
        edge = 0
        for split, share in SHARES.items():
            edge += share
            if place < edge:
                return split
        return "train"

    @property
    def core(self) -> str:
        """What two problems share that differ in their words only."""
        if self.numbers:
            return f"{sorted(self.numbers)} {self.answer}"
        return " ".join(self.lines)

    def solved_by(self, text: str) -> bool:
        """Whether a reply solves it; of Countdown, whether its lines do, each number used once."""
        if not self.numbers:
            return stated(text) == self.answer
        left = list(self.numbers)
        for a, sign, b, result in operations(text):
            if a not in left or result != apply(a, sign, b):
                return False
            left.remove(a)
            if b not in left:
                return False
            left.remove(b)
            left.append(result)
        return left == [self.answer]


def operations(text: str) -> list[tuple[int, str, int, int]]:
    """The operations that a text writes, in their order, right or wrong."""
    return [(int(a), sign, int(b), int(c)) for a, sign, b, c in _OPERATION.findall(text)]


def apply(a: int, sign: str, b: int) -> int | None:
    """The result among the whole numbers from 0; None where there is none."""
    match sign:
        case "+":
            return a + b
        case "-":
            return a - b if a >= b else None
        case "*":
            return a * b
    return a // b if b and a % b == 0 else None


def stated(text: str) -> int | None:
    """The number of the last answer line."""
    found = re.findall(r"Answer: (-?\d{1,9})", text)
    return int(found[-1]) if found else None
