"""Countdown: make a number from others, each used once. One operation a line. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations

from .problem import Problem, apply

LARGEST_NUMBER = 10
LARGEST_RESULT = 60


def countdown(rng: random.Random, steps: int) -> Problem:
    """A problem with one number more than steps. Every one can be solved."""
    while True:
        numbers = [rng.randint(1, LARGEST_NUMBER) for _ in range(steps + 1)]
        left, lines = numbers, []
        while len(left) > 1:
            line, left = rng.choice(list(moves(left)))
            lines.append(line)
        if LARGEST_NUMBER < left[0] <= LARGEST_RESULT:
            asked = f"Use the numbers {', '.join(map(str, numbers))} to make {left[0]}."
            question = f"{asked} Use each number once."
            return Problem("countdown", question, left[0], tuple(lines), "", tuple(numbers))


def moves(left: list[int]) -> Iterator[tuple[str, list[int]]]:
    """Every operation on two of the numbers: its line, and the numbers that are left after it.

    The larger number stands first, nothing is made of a 1 that would change nothing, and no
    result is 0 or very large.
    """
    seen: set[str] = set()
    for i, j in combinations(range(len(left)), 2):
        a, b = max(left[i], left[j]), min(left[i], left[j])
        rest = [number for place, number in enumerate(left) if place not in (i, j)]
        for sign in "+-*/":
            result = apply(a, sign, b)
            if not result or result > 2 * LARGEST_RESULT or (sign in "*/" and b == 1):
                continue
            after = sorted([*rest, result])
            line = f"{a}{sign}{b}={result} left {' '.join(map(str, after))}"
            if line not in seen:
                seen.add(line)
                yield line, after


def reachable(left: list[int], target: int) -> bool:
    """Whether the target can still be made of the numbers that are left."""
    if len(left) == 1:
        return left[0] == target
    return any(reachable(after, target) for _, after in moves(left))
