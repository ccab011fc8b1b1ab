"""The problems that the embedded model was trained on: families, seeded, in disjoint splits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .chains import chains
from .countdown import countdown
from .problem import Problem, Split, stated
from .words import words

__all__ = ["FAMILIES", "Family", "Problem", "Split", "problems", "stated"]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of problem."""

    make: Callable[[random.Random, int], Problem]
    steps: Sequence[int]
    """How many steps a problem has; one is drawn for each, so a number twice is twice as likely."""


FAMILIES: Mapping[str, Family] = {
    "words": Family(words, (1, 2, 2, 3, 4, 5)),
    "chains": Family(chains, (1, 2, 2, 3)),
    "countdown-3": Family(countdown, (2,)),
    "countdown-4": Family(countdown, (3,)),
}


def problems(
    seed: int, family: str = "words", *, split: Split = "test", steps: Sequence[int] = ()
) -> Iterator[Problem]:
    """Endless problems of one split; the same seed gives the same ones.

    Args:
        steps: How many steps a problem has, in place of the family's.
    """
    rng = random.Random(f"{seed} {family} {split}")
    kind = FAMILIES[family]
    while True:
        problem = kind.make(rng, rng.choice(steps or kind.steps))
        if problem.split == split:
            yield problem
