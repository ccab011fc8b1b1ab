"""Difficulty: how hard a question is for a model, and who says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from ...errors import WrongUsage
from ...models import Message
from ..verifiers import Means

Level = Literal["easy", "medium", "hard"]
EASY, HARD = 0.8, 0.4
"""`p_direct` above which a question is easy, and below which it is hard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """An estimate. Raises `WrongUsage` for a `p_direct` that is no probability."""

    p_direct: float
    """Probability that one plain call answers it right."""
    source: str
    """`features`, `model`, `samples` or `calibrated`: what the estimate rests on."""
    reason: str = ""
    """For people."""

    def __post_init__(self) -> None:
        if not 0 <= self.p_direct <= 1:
            raise WrongUsage(f"a difficulty's p_direct is {self.p_direct}: give one from 0 to 1")

    @property
    def level(self) -> Level:
        """The estimate in a word."""
        return "easy" if self.p_direct >= EASY else "hard" if self.p_direct < HARD else "medium"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"level": self.level, **asdict(self)}


class Classifier(Protocol):
    """Estimates a question's difficulty before it is worked on."""

    async def assess(self, question: str, history: Sequence[Message], means: Means) -> Difficulty:
        """The estimate. What it spends, it spends through `means`."""
