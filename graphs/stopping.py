"""When a vote is settled: the chance that its leader is still the leader at the horizon. Pure.

Adaptive-Consistency (Aggarwal et al. 2023) asks which answer would win an endless vote. A vote of
at most N samples asks less: only what the samples still to come can change. Counts of answers
follow a Dirichlet-multinomial, so the next samples are draws from a Pólya urn, and the chance that
the leader is overtaken within them is summed exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import WrongUsage

SEEN = 0.5
"""Prior votes of an answer that was given (Jeffreys)."""
UNSEEN = 1.0
"""Prior votes of all answers that nobody has given yet."""
LARGEST = 1e12
"""Votes beyond this many are taken for a mistake."""
NEGLIGIBLE = 1e-15
"""Probabilities below this share of the likeliest are left out of a sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRule:
    """Stops a vote when its leader would stay the leader with probability `confidence`.

    The leader is held against its strongest rival, as in Adaptive-Consistency; with a single answer
    so far, against one that nobody has given yet. A tie at the horizon is half a loss, because the
    order in which answers came is not known here.

    Votes are the weights of the answers so far, in any order, and such that a coming vote weighs
    about 1. `left` is how many samples the horizon still allows, `blank` how
    many of the samples so far gave no answer: as many of the coming ones will give none.

    Every method raises `WrongUsage` for a number below 0 or above `LARGEST`.
    """

    confidence: float = 0.955
    """Above 0.5, at most 1: at 1 a vote stops only where no coming samples could turn it. The
    default needs under 80 % of the samples of Adaptive-Consistency at its own default, on the pools
    of `benchmarks/stopping.py`."""

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence <= 1:
            raise WrongUsage(
                f"confidence {self.confidence}: a probability above 0.5, at most 1, is needed"
            )

    def stays(self, votes: Sequence[float], left: int, blank: float = 0) -> float:
        """The probability that the leader is ahead after `left` more samples; 0 without votes.

        At a tie now, it is that of either leader.
        """
        first, second, others = _field(votes, left, blank)
        return 1 - _overtaken(first, second, others, left) if first else 0.0

    def settled(self, votes: Sequence[float], left: int, blank: float = 0) -> bool:
        """Whether to stop. Never at a tie or without votes, not even with nothing left."""
        first, second, others = _field(votes, left, blank)
        return first > second and 1 - _overtaken(first, second, others, left) >= self.confidence

    def fewest(self, votes: Sequence[float], left: int, blank: float = 0) -> int:
        """The fewest further samples, all for the leader, that could settle it: from 1 to `left`.

        A wave of this size wastes nothing, because no part of it could have settled the vote.
        Raises `WrongUsage` where `left` is less than 1.
        """
        _check(votes, left, blank)
        if left < 1:
            raise WrongUsage(f"{left} samples left: a next wave needs at least 1")
        rest = sorted(votes, reverse=True)
        leader = rest.pop(0) if rest else 0.0

        def settles(more: int) -> bool:
            return self.settled([leader + more, *rest], left - more, blank)

        return 1 + bisect_left(range(1, left), True, key=settles)


def _check(votes: Sequence[float], left: int, blank: float) -> None:
    if not (all(0 <= number <= LARGEST for number in (*votes, blank)) and left >= 0):
        raise WrongUsage(
            f"votes {list(votes)}, left {left}, blank {blank}: numbers of samples are needed, from "
            f"0 to {LARGEST:.0e}"
        )


def _field(votes: Sequence[float], left: int, blank: float) -> tuple[float, float, float]:
    """The leader's votes, the runner-up's, and what draws votes away from both."""
    _check(votes, left, blank)
    ranked = sorted((float(vote) for vote in votes if vote), reverse=True)
    if len(ranked) < 2:
        return (ranked[0] if ranked else 0.0), 0.0, float(blank)
    first, second, *rest = ranked
    return first, second, math.fsum(rest) + SEEN * len(rest) + UNSEEN + blank


@lru_cache(maxsize=1 << 14)
def _overtaken(first: float, second: float, others: float, left: int) -> float:
    """The probability that the runner-up ends ahead, a tie counted half.

    Of the coming samples, m are for one of the two: a beta-binomial number. Given m, the two share
    them by an urn of their own.
    """
    lead = math.ceil(first - second)
    if lead > left:
        return 0.0
    leader, rival = first + SEEN, max(second + SEEN, UNSEEN)
    ties = lead == first - second
    turned = _turned(leader, rival, lead, left, ties)
    share = _share(leader + rival, others, left)
    total = math.fsum(share.values())
    chance = math.fsum(weight * turned[m - lead] for m, weight in share.items() if m >= lead)
    return min(1.0, max(0.0, chance / total))


def _turned(leader: float, rival: float, lead: int, left: int, ties: bool) -> list[float]:
    """For m from `lead` to `left` draws of the two: the chance that the rival makes up the lead.

    From m to m + 1, it changes only by what stands one draw from the threshold, so that all m
    together cost one pass.
    """
    both = leader + rival
    edge = 1.0  # The chance of standing exactly at the threshold, or just below it.
    for drawn in range(lead):
        edge *= (rival + drawn) / (both + drawn)
    chances = []
    chance = edge
    for behind, m in enumerate(range(lead, left + 1, 2)):
        ahead = lead + behind
        chances.append(chance - edge / 2 if ties else chance)
        lost = edge * (leader + behind) / (both + m)
        chance -= lost
        chances.append(chance)
        edge = lost * (m + 1) / (behind + 1)
        won = edge * (rival + ahead) / (both + m + 1)
        chance += won
        edge = won * (m + 2) / (ahead + 1)
    return chances


def _share(both: float, others: float, left: int) -> dict[int, float]:
    """How likely m of `left` draws are for one of the two, relative to the likeliest m."""
    if not others:
        return {left: 1.0}
    peak = left
    if others > 1:
        peak = min(left, int((left + 1) * (both - 1) / (both + others - 2)))
    share = {peak: 1.0}
    weight = 1.0
    for m in range(peak, left):
        weight *= (left - m) * (both + m) / ((m + 1) * (others + left - m - 1))
        if weight < NEGLIGIBLE:
            break
        share[m + 1] = weight
    weight = 1.0
    for m in range(peak, 0, -1):
        weight *= m * (others + left - m) / ((left - m + 1) * (both + m - 1))
        if weight < NEGLIGIBLE:
            break
        share[m - 1] = weight
    return share
