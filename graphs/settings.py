"""Settings: what tunes the depths. Plain values; the defaults suit most questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import WrongUsage
from ..models.forcing import Thinking
from .policy import ORDER

Algorithm = Literal["ab-mcts", "tot-bfs", "mcts"]
"""How a search chooses what to expand."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How far the depths may go, within the budget. Raises `WrongUsage` for what cannot be."""

    samples: int = 16
    """vote: the most chains."""
    at_once: int | None = None
    """vote: chains in flight at once. None: as few as could settle it, so that none is wasted."""
    rounds: int = 3
    """reflect: the most critiques."""
    expansions: int = 48
    """search: the most steps proposed."""
    algorithm: Algorithm | None = None
    """search: how it chooses what to expand. None: `ab-mcts`; with a reward model `tot-bfs`, which
    then is a beam search that the reward guides (Snell et al., 2024)."""
    synthesize: bool = False
    """vote: merge open-ended answers into one, instead of choosing the best."""
    deepest: str = "search"
    """auto: the deepest depth it may choose."""
    effort: str = ""
    """Passed to reasoning models as `reasoning_effort`; empty: not sent."""
    think_at_least: int = 0
    """Reasoning tokens below which a reasoning model is told to go on."""
    think_at_most: int | None = None
    """Reasoning tokens above which it is told to answer."""
    seed: int | None = None
    """Sent with each call, another for each branch, for runs that can be repeated."""

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("samples", "rounds", "expansions")}
        if self.at_once is not None:
            counts["at_once"] = self.at_once
        for name, count in counts.items():
            if not isinstance(count, int) or count < 1:
                raise WrongUsage(f"{name}={count!r}: give a whole number, at least one")
        Thinking(at_least=self.think_at_least, at_most=self.think_at_most)
        if self.algorithm not in (None, *get_args(Algorithm)):
            known = ", ".join(get_args(Algorithm))
            raise WrongUsage(f"there is no search algorithm {self.algorithm!r}: choose {known}")
        if self.deepest not in ORDER:
            known = ", ".join(ORDER)
            raise WrongUsage(f"deepest={self.deepest!r} is no depth that can be chosen: {known}")
