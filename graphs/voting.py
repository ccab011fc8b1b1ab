"""Voting: what the samples say so far, and whether to draw more. Pure.

Self-consistency (Wang et al., 2022), weighted by verifier (Li et al., 2023) and by confidence (Fu
et al., 2025). Best-of-N is a vote with a verifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .confidence import weights as confidence_weights
from .samples import Sample, best_of, rank, refuted, verified
from .settings import Settings
from .stopping import StoppingRule

OPEN_SAMPLES = 4
"""Chains drawn of a question whose answers cannot be compared: a judge chooses among them."""
PLACES = 9
"""Decimals of a group's weight: sums of equal weights are equal, in whatever order they came."""
RULE = StoppingRule()


@dataclass(frozen=True, slots=True)
class Group:
    """Equal answers."""

    key: str
    weight: float
    """Sum of its votes' weights; a vote without verdict or confidence weighs 1."""
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """The votes."""

    groups: tuple[Group, ...] = ()
    """Verified ones first, then the heaviest; of equals, the one that has the better sample, then
    the one seen first."""
    blank: float = 0.0
    """Weight of samples without a vote, and the weight that votes lack of 1."""
    open: tuple[Sample, ...] = field(default=())
    """Answers that cannot be compared."""

    @property
    def votes(self) -> list[float]:
        """Weight of each answer."""
        return [group.weight for group in self.groups]

    @property
    def leader(self) -> Sample | None:
        """The best sample of the first group; without any, the best of all the answers."""
        first = best_of(self.groups[0].samples) if self.groups else None
        opened = best_of(self.open)
        if first is None or (opened is not None and verified(opened) and not verified(first)):
            return opened
        return first

    @property
    def expected_share(self) -> float:
        """The leader's part of all votes that could be drawn, expected under a Jeffreys prior."""
        return (self.groups[0].weight + 0.5) / (sum(self.votes) + 1) if self.groups else 0.0

    @property
    def is_open(self) -> bool:
        """Whether there are answers, and none that could be compared."""
        return bool(self.open) and not self.groups


def tally(samples: Sequence[Sample]) -> Tally:
    """Count the votes of whole chains.

    Cut, weak and failed ones have none, nor have answers that a decisive verifier refused.
    """
    whole = [s for s in samples if s["ended"] == "whole" and not refuted(s)]
    voting = [sample for sample in whole if sample.get("key") is not None]
    by_key: dict[str, list[tuple[Sample, float]]] = {}
    for sample, weight in zip(voting, _weights(voting), strict=True):
        by_key.setdefault(str(sample["key"]), []).append((sample, weight))
    groups = [
        Group(key, _sum(weight for _, weight in votes), tuple(sample for sample, _ in votes))
        for key, votes in by_key.items()
    ]
    groups.sort(key=_standing, reverse=True)
    opened = tuple(sample for sample in whole if sample.get("open"))
    voted = math.fsum(group.weight for group in groups)
    return Tally(tuple(groups), max(0.0, len(drawn(samples)) - voted), opened)


def _sum(weights: Iterable[float]) -> float:
    return round(math.fsum(weights), PLACES)


def _standing(group: Group) -> tuple[bool, float, tuple[float, float, float]]:
    checked = any(map(verified, group.samples))
    return checked, group.weight, max(map(rank, group.samples))


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw so many chains more, at once."""

    count: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Stop drawing."""

    reason: str
    settled: bool = True
    """False: the budget cut it short."""


def decide(
    samples: Sequence[Sample],
    settings: Settings,
    *,
    affordable: int | None = None,
    rule: StoppingRule = RULE,
) -> Draw | Settle:
    """Whether to draw more chains, and how many at once.

    Args:
        affordable: Chains that the budget can pay; None: no limit.
    """
    reason = enough(samples, settings, rule=rule)
    if reason:
        return Settle(reason, settled=not undone(samples, rule))
    if affordable is not None and affordable < 1:
        return Settle("the budget pays for no more chains", settled=False)
    votes = tally(samples)
    left = horizon(votes, settings) - len(drawn(samples))
    if settings.at_once is not None:
        count = settings.at_once
    else:
        count = left if votes.is_open else rule.fewest(votes.votes, left, votes.blank)
    return Draw(max(1, min(left, count, left if affordable is None else affordable)))


def enough(samples: Sequence[Sample], settings: Settings, *, rule: StoppingRule = RULE) -> str:
    """Why no more chains are needed, though the budget may have more; empty: they are."""
    checked = next((sample for sample in samples if verified(sample)), None)
    if checked is not None:
        return f"{checked['id']} is verified"
    votes = tally(samples)
    left = horizon(votes, settings) - len(drawn(samples))
    if left <= 0:
        return f"all {len(drawn(samples))} chains are drawn"
    if rule.settled(votes.votes, left, votes.blank):
        sure = rule.stays(votes.votes, left, votes.blank)
        return f"the leader stays the leader with probability {sure:.3f}"
    return ""


def undone(samples: Sequence[Sample], rule: StoppingRule = RULE) -> bool:
    """Whether the chains that were cut short could have turned a vote that has nothing verified."""
    cut = sum(sample["ended"] == "cut" for sample in samples)
    if not cut or any(map(verified, samples)):
        return False
    votes = tally(samples)
    return not rule.settled(votes.votes, cut, max(0.0, votes.blank - cut))


def horizon(votes: Tally, settings: Settings) -> int:
    """The most chains worth drawing."""
    return min(settings.samples, OPEN_SAMPLES) if votes.is_open else settings.samples


def drawn(samples: Iterable[Sample]) -> list[Sample]:
    """The samples that count towards the horizon: all but those stopped as not needed."""
    return [sample for sample in samples if sample["ended"] != "cancelled"]


def _weights(samples: Sequence[Sample]) -> list[float]:
    """Each vote's weight: its verdict's score beside a pass's; without a verdict, its confidence's.

    While nothing has passed, votes that failed stay light: they must not settle the vote among
    themselves. Scores without a pass or a fail (a reward model's) weigh beside their mean.
    """
    sure = confidence_weights([sample.get("confidence") for sample in samples])
    scores = [_score(sample) for sample in samples]
    known = [score for score in scores if score is not None]
    most = math.inf
    if any(sample.get("passed") is not None for sample in samples):
        passes = [_score(sample) or 0.0 for sample in samples if sample.get("passed") is True]
        full, most = max(passes, default=1.0), 1.0
    else:
        full = math.fsum(known) / len(known) if known else 1.0
    return [
        weight if score is None or not full else min(most, score / full)
        for score, weight in zip(scores, sure, strict=True)
    ]


def _score(sample: Sample) -> float | None:
    """The verdict's score, no pass below a half and no fail above it; None: not verified."""
    score, passed = sample.get("score"), sample.get("passed")
    if score is None or passed is None:
        return score
    return max(score, 0.5) if passed else min(score, 0.5)
