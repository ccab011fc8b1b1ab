"""verify: one verification, with an account of its own."""

from __future__ import annotations

from dataclasses import replace

from ...budgets import BudgetExhausted, Ledger
from ...models import BackendError, Model
from .verifier import Candidate, Means, Verdict, Verifier


async def verify(
    verifier: Verifier,
    candidate: Candidate,
    *,
    ledger: Ledger,
    model: Model,
    name: str,
    seconds: float | None = None,
) -> Verdict:
    """What a verifier says of a candidate, and what that has cost.

    Where the budget cannot pay or the backend fails, the candidate is unverified (`passed` is
    None), and the reason says so. Other errors come out, a graph's interrupt among them.

    Args:
        ledger: Pays, through a child of it.
        model: Judges, where the verifier needs a model.
        name: The child's; unique among the ledger's children.
        seconds: What the run can spare; None: no time limit.
    """
    child = ledger.child(name)
    means = Means(ledger=child, model=model, seconds=seconds)
    try:
        verdict = await verifier.verify(candidate, means)
    except (BudgetExhausted, BackendError) as error:
        verdict = Verdict(score=0.5, passed=None, reasons=f"not verified: {error}")
    return replace(verdict, verifier=verifier.name, usage=child.spent())
