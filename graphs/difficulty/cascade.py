"""The default classifier: the text first, for nothing; then, where that leaves doubt, the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...models import Message
from ..verifiers import Means
from .difficulty import Difficulty
from .estimate import ask_model
from .features import from_features

SURE = 0.9
"""`p_direct` from the text above which the model is not asked."""


@dataclass(frozen=True)
class Cascade:
    """Satisfies `Classifier`. Later evidence (samples, a calibrated table) is `belief.py`'s."""

    async def assess(self, question: str, history: Sequence[Message], means: Means) -> Difficulty:
        """The estimate before any sample."""
        guess = from_features(question)
        if guess.p_direct >= SURE:
            return guess
        return await ask_model(question, history, means, guess)
