"""draw: whether a vote needs more chains, and the wave that draws them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from ...models import BackendError
from ..opening import run_of
from ..race import Race
from ..run import Run
from ..samples import Sample, declined
from ..state import Context, State, Stopped
from ..voting import Draw, Settle, decide, drawn, enough

GIVE_UP = 8
"""So many chains that fail, and none that does not, are a backend that does not work."""

Next = Command[Literal["chain", "choose"]]


async def draw(state: State, runtime: Runtime[Context]) -> Next:
    """Send out a wave of chains, or go on to `choose`."""
    async with run_of(state, runtime) as run:
        return _draw(run, state)


def _draw(run: Run, state: State) -> Next:
    samples = state.get("samples", [])
    update: State = {"run": run.key, "limits": run.ledger.budget.as_dict()}
    decision, stopped = _decision(run, samples)
    if isinstance(decision, Settle):
        run.note("draw", decision.reason)
        update |= {"stopped": stopped, "trace": run.news()}
        return Command(update=update, goto="choose")
    run.race = Race(samples, partial(enough, settings=run.settings))
    made = sum(sample["id"].startswith(prefix_of(run)) for sample in samples)
    run.note("draw", f"{decision.count} chains at once, {made} of ours drawn before")
    update["trace"] = run.news()
    given = {"question": state["question"], "history": state.get("history", []), "run": run.key}
    wave = [Send("chain", {**given, "chain": f"chain.{made + n}"}) for n in range(decision.count)]
    return Command(update=update, goto=wave)


def prefix_of(run: Run) -> str:
    """How the ids of a run's own chains begin."""
    return "chain." if run.parent is None else f"{run.branch}/chain."


def _decision(run: Run, samples: Sequence[Sample]) -> tuple[Draw | Settle, Stopped]:
    if run.thinking_seconds() == 0:
        return Settle("time is nearly up", settled=False), "deadline"
    failed = [sample for sample in samples if sample["ended"] == "failed"]
    if failed and len(failed) == len(samples):
        hopeless = isinstance(run.failure, BackendError) and not run.failure.retryable
        if hopeless or len(failed) >= GIVE_UP:
            return Settle(f"{len(failed)} chains failed, and none did not"), "answered"
    if declined(samples):
        return Settle("the model declined"), "refused"
    decision = decide(samples, run.settings, affordable=affordable(run, samples))
    cut = isinstance(decision, Settle) and not decision.settled
    return decision, "budget" if cut else "answered"


def affordable(run: Run, samples: Sequence[Sample]) -> int | None:
    """How many chains the budget can pay, at the price of the cheapest so far; None: no limit."""
    left = run.left()
    limits = [] if left.calls is None else [left.calls]
    costs = [s["tokens"] for s in drawn(samples) if s["ended"] == "whole" and s.get("tokens")]
    if left.tokens is not None:
        if any(sample["ended"] == "cut" for sample in samples):
            return 0
        limits.append(left.tokens // min(costs) if costs else left.tokens)
    return min(limits, default=None)
