"""assess: how hard the question is, before anything is tried."""

from __future__ import annotations

from langgraph.runtime import Runtime

from ..opening import run_of
from ..run import Run
from ..state import Context, State
from ..verifiers import Means


async def assess(state: State, runtime: Runtime[Context]) -> State:
    """Ask the run's classifier. What it asks the model is paid like any call."""
    async with run_of(state, runtime) as run:
        return await _assess(run, state)


async def _assess(run: Run, state: State) -> State:
    ledger = run.ledger.child("assess")
    means = Means(ledger=ledger, model=run.model, seconds=run.thinking_seconds())
    found = await run.classifier.assess(state["question"], state.get("history", ()), means)
    run.note(
        "assess",
        found.reason,
        level=found.level,
        p_direct=round(found.p_direct, 3),
        source=found.source,
        tokens=ledger.spent().total_tokens,
    )
    return {
        "run": run.key,
        "limits": run.ledger.budget.as_dict(),
        "difficulty": found.as_dict(),
        "trace": run.news(),
    }
