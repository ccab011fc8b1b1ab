"""Effort: the dial for people who do not want to think in tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..budgets import Budget
from ..errors import WrongUsage
from .settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What one word of the dial stands for."""

    budget: Budget
    """Of each run."""
    deepest: str
    """The deepest depth that `auto` may choose."""
    samples: int
    """The most chains of a vote."""
    expansions: int
    """The most expansions of a search."""
    reasoning: str
    """What reasoning models are told: `reasoning_effort`."""

    def applied(self, settings: Settings) -> Settings:
        """The settings with this effort's in place of those that were left at their defaults."""
        plain = Settings()
        mine: dict[str, Any] = {
            "deepest": self.deepest,
            "samples": self.samples,
            "expansions": self.expansions,
            "effort": self.reasoning,
        }
        kept = {n: v for n, v in mine.items() if getattr(settings, n) == getattr(plain, n)}
        return replace(settings, **kept)


EFFORTS: Mapping[str, Effort] = {
    "low": Effort(
        budget=Budget(tokens=4_000, seconds=60),
        deepest="reason",
        samples=4,
        expansions=12,
        reasoning="low",
    ),
    "medium": Effort(
        budget=Budget(tokens=20_000, seconds=180),
        deepest="vote",
        samples=8,
        expansions=24,
        reasoning="medium",
    ),
    "high": Effort(
        budget=Budget(tokens=100_000, seconds=900),
        deepest="search",
        samples=16,
        expansions=48,
        reasoning="high",
    ),
    "max": Effort(
        budget=Budget(tokens=400_000, seconds=3_600),
        deepest="search",
        samples=32,
        expansions=96,
        reasoning="high",
    ),
}


def effort_of(name: str) -> Effort:
    """The effort of that name. Raises `WrongUsage`."""
    if name not in EFFORTS:
        raise WrongUsage(f"there is no effort {name!r}: choose {', '.join(EFFORTS)}")
    return EFFORTS[name]
