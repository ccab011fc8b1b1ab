"""How likely the present answer is right, by all that is known. Pure.

The samples' agreement and the verifier's word update the odds that the classifier gave; a
calibrated table, where there is one, knows better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..samples import Sample, best_of, refuted, verified
from ..voting import Tally, tally
from .calibration import Calibration, Signs
from .difficulty import Difficulty

COLLIDE = 0.25
"""Probability that two wrong answers are the same wrong answer."""
PASSES = {True: 0.9, False: 0.1, None: 0.5}
"""How often a weak verifier says so of a right answer …"""
PASSES_WRONG = {True: 0.35, False: 0.65, None: 0.5}
"""… and of a wrong one. A decisive verifier's pass settles it."""
REFUTED = 0.02
"""Probability that an answer is right though a decisive verifier refused it."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is thought of the leading answer."""

    p_right: float
    source: str
    """What it rests on, as for `Difficulty`."""


def believe(
    difficulty: Difficulty, samples: Sequence[Sample], calibration: Calibration | None
) -> Belief:
    """The probability that the leading answer is right; 0 without an answer."""
    votes = tally(samples)
    leader = votes.leader or best_of(samples)
    if leader is None:
        return Belief(0.0, difficulty.source)
    if verified(leader):
        return Belief(max(0.99, leader["score"]), "samples")
    if refuted(leader):
        return Belief(REFUTED, "samples")
    if votes.is_open:
        return Belief(_open(difficulty, leader), "samples")
    signs = signs_of(votes, leader)
    known = None if calibration is None else calibration.p_right(signs)
    if known is not None:
        return Belief(known, "calibrated")
    return Belief(_updated(difficulty.p_direct, signs), "samples")


def signs_of(votes: Tally, leader: Sample) -> Signs:
    """The leader's signs: votes for and against it among equals in the verifier's eyes."""
    passed = leader.get("passed")
    rivals = votes.groups[1:]
    for_it = (
        [s for s in votes.groups[0].samples if s.get("passed") is passed] if votes.groups else []
    )
    against = [s for g in rivals for s in g.samples if s.get("passed") is passed]
    return Signs(max(1, len(for_it)), len(against), passed)


def _updated(p_direct: float, signs: Signs) -> float:
    """Bayes' rule: how likely these votes and this verdict are of a right and of a wrong leader."""
    p = min(0.95, max(0.05, p_direct))
    right = signs.votes * math.log(p) + signs.against * math.log(1 - p)
    wrong = (
        math.log(1 - p)
        + (signs.votes - 1) * math.log((1 - p) * COLLIDE)
        # Of the answers against a wrong leader, some may be right.
        + signs.against * math.log(p + (1 - p) * (1 - COLLIDE))
    )
    right += math.log(PASSES[signs.passed])
    wrong += math.log(PASSES_WRONG[signs.passed])
    return 1 / (1 + math.exp(wrong - right))


def _open(difficulty: Difficulty, leader: Sample) -> float:
    """Of an answer that nothing can be compared with: its verdict's score, else the guess."""
    return leader.get("score", difficulty.p_direct)


def observed(
    samples: Sequence[Sample], right: Callable[[Sample], bool]
) -> Iterator[tuple[Signs, bool]]:
    """What a calibration learns from a question's samples: each beginning's leader and its truth.

    Args:
        samples: In the order in which they were drawn.
        right: Whether a sample's answer is right.
    """
    for count in range(1, len(samples) + 1):
        votes = tally(samples[:count])
        leader = votes.leader or best_of(samples[:count])
        if leader is not None and not votes.is_open:
            yield signs_of(votes, leader), right(leader)
