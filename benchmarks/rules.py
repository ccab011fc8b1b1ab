"""Rules that say, from the answers so far, whether a vote needs more samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import comb
from typing import Protocol

from mull.graphs.stopping import StoppingRule

Answers = Sequence[str | None]
"""One for each sample, in the order they came; None: it gave none."""


class Rule(Protocol):
    """A stopping rule."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    def stops(self, answers: Answers, left: int) -> bool:
        """Whether to stop here, with `left` more samples allowed. Asked after each sample."""


@dataclass(frozen=True)
class Majority:
    """Self-consistency (Wang et al. 2022): every sample is drawn."""

    name: str = "majority of all"

    def stops(self, answers: Answers, left: int) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class AdaptiveConsistency:
    """Adaptive-Consistency (Aggarwal et al. 2023), its Beta criterion at its default threshold.

    Of the two commonest answers, the first is the more likely one, under a uniform prior on their
    shares of each other. Samples without an answer don't count.
    """

    name: str = "Adaptive-Consistency"
    confidence: float = 0.95

    def stops(self, answers: Answers, left: int) -> bool:
        """Whether the lead is sure enough."""
        first, second, *_ = [*_counts(answers), 0, 0]
        return _likelier(first, second) >= self.confidence


@dataclass(frozen=True)
class EarlyStopping:
    """ESC (Li et al. 2024): samples come in windows; one whose answers are all equal ends it."""

    name: str = "ESC"
    window: int = 5

    def stops(self, answers: Answers, left: int) -> bool:
        """Whether a window is full, and of one mind."""
        if len(answers) % self.window:
            return False
        last = set(answers[-self.window :])
        return len(last) == 1 and None not in last


@dataclass(frozen=True)
class Settled:
    """mull's own."""

    name: str = "mull"
    rule: StoppingRule = field(default_factory=StoppingRule)

    def stops(self, answers: Answers, left: int) -> bool:
        """Whether the leader is settled."""
        votes = _counts(answers)
        return self.rule.settled(votes, left, len(answers) - sum(votes))


RULES: tuple[Rule, ...] = (Majority(), AdaptiveConsistency(), EarlyStopping(), Settled())


def winner(answers: Answers) -> str | None:
    """The commonest answer; of equals, the one seen first."""
    voted = Counter(answer for answer in answers if answer is not None).most_common(1)
    return voted[0][0] if voted else None


def _counts(answers: Answers) -> list[int]:
    """Votes for each answer, most first."""
    counts = Counter(answer for answer in answers if answer is not None)
    return sorted(counts.values(), reverse=True)


@cache
def _likelier(first: int, second: int) -> float:
    """Beta(first + 1, second + 1) above one half: at most `first` heads in so many fair tosses."""
    tosses = first + second + 1
    return float(sum(comb(tosses, heads) for heads in range(first + 1)) / 2**tosses)
