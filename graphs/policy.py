"""The policy of `auto`: what to do next, from what is known and what is left. Pure.

decide(difficulty, evidence so far, budget left) → action. It never names an action that the budget
cannot pay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from ..budgets import Budget

ORDER = ("direct", "reason", "reflect", "vote", "search")
"""The depths, from shallow to deep."""
ENOUGH = 0.9
"""Probability of being right at which a run stops looking for a better answer."""
EASY = 0.8
"""Probability that `direct` is right from which it is tried before `reason`."""
LIFT = {"reason": 0.3, "reflect": 0.3, "vote": 0.5, "search": 0.5, "larger": 0.5}
"""How much of what is wrong a depth likely mends; a larger model, whatever the depth."""
LEAST_GAIN = 0.04
"""Probability of being right that a further depth must be expected to add."""

Which = Literal["main", "larger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a depth needs at least to be of any use."""

    tokens: int = 0
    calls: int = 1
    seconds: float = 0.0
    """Of one call: what runs beside it takes no longer."""
    cost: Decimal = Decimal(0)

    def within(self, left: Budget) -> bool:
        """Whether the budget can pay it."""
        return all(
            limit is None or need <= limit
            for need, limit in (
                (self.tokens, left.tokens),
                (self.calls, left.calls),
                (self.seconds, left.seconds),
                (self.cost, left.cost),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known so far."""

    p_direct: float
    """Probability that one plain call is right: the classifier's."""
    p_right: float = 0.0
    """Probability that the present answer is right; 0 without one."""
    answers: int = 0
    """Samples with an answer."""
    larger: bool = False
    """The present answer is the larger model's: a smaller one has no more to say."""
    open: bool = False
    """The answers cannot be compared as text."""
    refused: bool = False
    """The model declined."""
    tried: tuple[tuple[Which, str], ...] = ()
    """Model and depth of each stage so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen."""

    needs: Mapping[tuple[Which, str], Need] = field(default_factory=dict)
    """What each depth needs, on each model there is."""
    deepest: str = "search"
    tools: bool = False
    verifier: bool = False
    """Whether candidates can be verified: a search needs it."""


@dataclass(frozen=True, slots=True)
class Go:
    """Run a depth."""

    depth: str
    model: Which
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Answer with what there is."""

    reason: str
    paid: bool = True
    """False: more would have been tried, had the budget allowed."""


def decide(evidence: Evidence, options: Options, left: Budget) -> Go | Finish:
    """The next action."""
    if evidence.refused:
        return Finish("the model declined")
    if evidence.answers and evidence.p_right >= ENOUGH:
        return Finish(f"right with probability {evidence.p_right:.2f}")
    wanted = _first(evidence, options) if not evidence.answers else _further(evidence, options)
    gains = [
        (go, gain)
        for go, gain in wanted
        if gain >= LEAST_GAIN and (go.model, go.depth) in options.needs
    ]
    for go, _ in gains:
        if options.needs[go.model, go.depth].within(left):
            return go
    if gains:
        return Finish("the budget pays for no more", paid=False)
    if not evidence.answers:
        return Finish("nothing else is left to try")
    return Finish(f"no deeper step is worth its price at probability {evidence.p_right:.2f}")


def _first(evidence: Evidence, options: Options) -> list[tuple[Go, float]]:
    """Before there is an answer: the cheapest likely one, then whatever can be paid.

    Tools are there to be used: with them, `direct` is what remains when `reason` gave nothing.
    """
    p = evidence.p_direct
    told = f"direct is right with probability {p:.2f}"
    easy = p >= EASY and not options.tools
    names = ["direct", "reason"] if easy else ["reason", "direct"]
    return [
        (Go(name, model, told), 1.0)
        for model in _MODELS
        for name in names
        if _allowed(name, options) and (model, name) not in evidence.tried
    ]


def _further(evidence: Evidence, options: Options) -> list[tuple[Go, float]]:
    """With an answer that may be wrong, the most promising step first."""
    told = f"right with probability {evidence.p_right:.2f} only"
    names = ["reflect"] if evidence.open else ["vote", "search", "reflect"]
    if options.tools or options.deepest == "reason":
        names.insert(0, "reason")
    if not options.verifier:
        names = [name for name in names if name != "search"]
    missing = 1 - evidence.p_right
    steps = [(Go(name, "main", told), missing * LIFT[name]) for name in names]
    single = "reason" if _allowed("reason", options) else "direct"
    further = [
        (Go(name, "larger", f"{told}; the larger model"), missing * LIFT["larger"])
        for name in (single, "reflect" if evidence.open else "vote")
    ]
    return [
        (go, gain)
        for go, gain in (further if evidence.larger else steps + further)
        if _allowed(go.depth, options) and (go.model, go.depth) not in evidence.tried
    ]


_MODELS: tuple[Which, ...] = ("main", "larger")


def _allowed(depth: str, options: Options) -> bool:
    return ORDER.index(depth) <= ORDER.index(options.deepest)
