"""How likely the present answer is right, by all that is known. Pure.

The samples' agreement and the verifier's word update the odds that the classifier gave; a
calibrated table, where there is one, knows better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..samples import Sample, best_of, refuted, verified
from ..voting import Tally, tally
from .calibration import Calibration, Signs
from .difficulty import Difficulty

COLLIDE = 0.25
"""Probability that two wrong answers are the same wrong answer."""
TELLING = COLLIDE / (1 + COLLIDE)
"""Probability that a vote is right below which wrong ones would agree more often than right ones:
agreement says nothing there."""
LEAST, MOST = 0.05, 0.95
"""Between these the classifier is believed: no more than a guess is at the start."""
PASSES = {True: 0.9, False: 0.1, None: 0.5}
"""How often a weak verifier says so of a right answer …"""
PASSES_WRONG = {True: 0.35, False: 0.65, None: 0.5}
"""… and of a wrong one. A decisive verifier's pass settles it."""
UNKNOWN = 0.5
"""A verifier's score that says nothing."""
SETTLED = 0.99
"""Probability that an answer is right that a decisive verifier passed, at least."""
REFUTED = 0.02
"""Probability that an answer is right though a decisive verifier refused it."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is thought of the leading answer."""

    p_right: float
    source: str
    """What it rests on, as for `Difficulty`."""
    leader: Sample | None = None
    """The answer that is thought of; None: there is none."""


def believe(
    difficulty: Difficulty, samples: Sequence[Sample], calibration: Calibration | None
) -> Belief:
    """The probability that the leading answer is right; 0 without an answer."""
    checked = best_of(filter(verified, samples))
    if checked is not None:
        return Belief(max(SETTLED, checked["score"]), "samples", checked)
    votes = tally(samples)
    leader = votes.leader or best_of(samples)
    if leader is None:
        return Belief(0.0, difficulty.source)
    if refuted(leader):
        return Belief(REFUTED, "samples", leader)
    if votes.is_open:
        return Belief(_open(difficulty, leader), "samples", leader)
    signs = signs_of(votes, leader)
    known = None if calibration is None else calibration.p_right(signs)
    if known is not None:
        return Belief(known, "calibrated", leader)
    return Belief(_updated(difficulty.p_direct, signs), "samples", leader)


def signs_of(votes: Tally, leader: Sample) -> Signs:
    """The leader's signs. Votes that the verifier failed count only if it failed the leader too."""
    passed = leader.get("passed")

    def count(samples: Iterable[Sample]) -> int:
        return sum(passed is False or sample.get("passed") is not False for sample in samples)

    agree = count(votes.groups[0].samples) if votes.groups else 0
    against = sum(count(group.samples) for group in votes.groups[1:])
    return Signs(max(1, agree), against, passed)


def _updated(p_direct: float, signs: Signs) -> float:
    """Bayes' rule: how likely these votes and this verdict are of a right and of a wrong leader."""
    vote = max(TELLING, _clipped(p_direct))
    agree = math.log(vote) - math.log((1 - vote) * COLLIDE)
    # Of the answers against a wrong leader, some may be right.
    against = math.log(1 - vote) - math.log(vote + (1 - vote) * (1 - COLLIDE))
    return _weighed(p_direct, signs.passed, (signs.votes - 1) * agree + signs.against * against)


def _weighed(p_direct: float, passed: bool | None, votes: float = 0.0) -> float:
    """The guess with a weak verifier's word, and the votes' weight in log-odds."""
    p = _clipped(p_direct)
    odds = math.log(p) - math.log(1 - p) + votes
    odds += math.log(PASSES[passed]) - math.log(PASSES_WRONG[passed])
    return 1 / (1 + math.exp(-odds)) if odds > 0 else 1 - 1 / (1 + math.exp(odds))


def _open(difficulty: Difficulty, leader: Sample) -> float:
    """Of an answer that nothing can be compared with: the guess and the verdict."""
    score, passed = leader.get("score"), leader.get("passed")
    if passed is None and score is not None and score != UNKNOWN:
        return score  # Neither a pass nor a fail: a probability is the best reading of it.
    return _weighed(difficulty.p_direct, passed)


def _clipped(p_direct: float) -> float:
    return min(MOST, max(LEAST, p_direct))


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
