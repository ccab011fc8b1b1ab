"""maths: the answer equals a known one. For evals and tests."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import WrongUsage
from ..answers import comparable
from ..comparison import same
from .verifier import Candidate, Means, Verdict


@dataclass(frozen=True, slots=True)
class MathAnswer:
    """Checks that the stated answer equals `expected`, however it is written: 0.5 is 1/2.

    A pass settles the question. Raises `WrongUsage` for an empty expectation.
    """

    expected: str
    """The right answer, bare, or a text that states it."""

    name = "maths"
    decisive = True

    def __post_init__(self) -> None:
        if not self.expected.strip():
            raise WrongUsage("MathAnswer needs the answer that is expected")

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. `means` are not touched."""
        expected = comparable(self.expected) or self.expected.strip()
        right = same(candidate.answer, expected, candidate.question)
        told = repr(candidate.answer[:200])
        # The expected answer is not told: what refines would only copy it.
        reason = f"{told} is the answer" if right else f"{told} is not the answer"
        return Verdict(score=float(right), passed=right, reasons=reason, verifier=self.name)
