"""reward: a reward model's score (best-of-N, Cobbe et al. 2021; process reward, Lightman et al.
2023)."""

from __future__ import annotations

from ...errors import WrongUsage
from ...models import RewardModel
from .verifier import Candidate, Means, Verdict


class Reward:
    """Scores by a reward model. It weighs, and does not settle the question.

    Args:
        model: Its scores are from 0 to 1.
        threshold: From this score on, a candidate passes, and below it fails. None: it is only
            scored.

    Raises `WrongUsage` for a threshold that is not a score.
    """

    name = "reward"
    decisive = False

    def __init__(self, model: RewardModel, *, threshold: float | None = None) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise WrongUsage(f"threshold={threshold}: give a score from 0 to 1")
        self.model = model
        self.threshold = threshold

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. One call of the reward model."""
        [score] = await self.model.score(
            candidate.question, [candidate.text], ledger=means.ledger, call_id="reward"
        )
        passed = None if self.threshold is None else score >= self.threshold
        reason = f"the reward model gives {score:.3f}"
        return Verdict(score=score, passed=passed, reasons=reason, verifier=self.name)
