"""Symbolic chains: a variable, and others that are computed one from the other. Pure."""

from __future__ import annotations

import random
from itertools import pairwise

from .problem import Problem, apply
from .words import LARGEST_NUMBER, LARGEST_TOTAL

LETTERS = "abcdefghkmnpqrstuvwxyz"


def chains(rng: random.Random, steps: int) -> Problem:
    """A chain of so many operations; the last variable is asked for."""
    letters = rng.sample(LETTERS, steps + 1)
    value = rng.randint(2, LARGEST_NUMBER)
    parts = [f"{letters[0]} = {value}"]
    lines: list[str] = []
    code = [f"x={value}"]
    for before, letter in pairwise(letters):
        sign, number, after = _operation(rng, value)
        parts.append(f"{letter} = {before} {sign} {number}")
        lines.append(f"{value}{sign}{number}={after}")
        code.append(f"x{sign}={number}")
        value = after
    question = f"{', '.join(parts)}. What is {letters[-1]}?"
    return Problem("chains", question, value, tuple(lines), "; ".join([*code, "print(x)"]))


def _operation(rng: random.Random, value: int) -> tuple[str, int, int]:
    while True:
        sign = rng.choice("++--*")
        number = rng.randint(2, 5 if sign == "*" else LARGEST_NUMBER)
        after = apply(value, sign, number)
        if after is not None and 0 < after <= LARGEST_TOTAL:
            return sign, number, after
