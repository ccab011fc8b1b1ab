"""assess: how hard the question is, before anything is tried."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from ..difficulty import Cascade, Difficulty
from ..difficulty.features import from_features
from ..opening import run_of
from ..run import Run
from ..state import Context, State
from ..verifiers import Means

PATIENCE = 0.25
"""Share of the time to think that a classifier may take."""


async def assess(state: State, runtime: Runtime[Context]) -> State:
    """Ask the run's classifier. What it asks the model is paid like any call.

    One that fails, or takes too long, leaves what the text says.
    """
    async with run_of(state, runtime) as run:
        return await _assess(run, state)


async def _assess(run: Run, state: State) -> State:
    ledger = run.ledger.child("assess")
    means = Means(ledger=ledger, model=run.model, seconds=run.thinking_seconds())
    found = await _found(run, state, means)
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


async def _found(run: Run, state: State, means: Means) -> Difficulty:
    if run.calibration is not None and isinstance(run.classifier, Cascade):
        # It was measured: no guess of the model is worth its price beside that.
        rate = run.calibration.p_direct
        return Difficulty(
            p_direct=rate, source="calibrated", reason="how often it was right before"
        )
    try:
        limit = None if means.seconds is None else PATIENCE * means.seconds
        async with asyncio.timeout(limit):
            found = await run.classifier.assess(state["question"], state.get("history", ()), means)
        if not isinstance(found, Difficulty):
            raise TypeError(f"it returned {found!r:.200}: return a Difficulty")
        return found
    except GraphBubbleUp:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code: the reason is told
        guess = from_features(state["question"])
        said = f"the classifier failed: {type(error).__name__}: {error}"
        return replace(guess, reason=f"{guess.reason}; {said}")
