"""draw: whether a vote needs more chains, and the wave that draws them."""

from __future__ import annotations

import itertools
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
from ..voting import Draw, Settle, decide, enough

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
    names = _names(run, samples, decision.count)
    run.note("draw", f"{len(names)} chains at once, from {names[0]} on")
    update["trace"] = run.news()
    given = {"question": state["question"], "history": state.get("history", []), "run": run.key}
    return Command(update=update, goto=[Send("chain", {**given, "chain": name}) for name in names])


def _names(run: Run, samples: Sequence[Sample], count: int) -> list[str]:
    """The first names of chains that no sample has."""
    taken = {sample["id"] for sample in samples}
    path = "" if run.parent is None else f"{run.branch}/"
    names = (f"chain.{number}" for number in itertools.count())
    return list(itertools.islice((name for name in names if path + name not in taken), count))


def _decision(run: Run, samples: Sequence[Sample]) -> tuple[Draw | Settle, Stopped]:
    failed = [sample for sample in samples if sample["ended"] == "failed"]
    if failed and len(failed) == len(samples):
        hopeless = isinstance(run.failure, BackendError) and not run.failure.retryable
        if hopeless or len(failed) >= GIVE_UP:
            return Settle(f"{len(failed)} chains failed, and none did not"), "answered"
    if declined(samples):
        return Settle("the model declined"), "refused"
    decision = decide(samples, run.settings, affordable=affordable(run, samples))
    if isinstance(decision, Draw) and run.race is not None and run.race.decided:
        # A chain that ended in the same instant counts, but does not open the vote again.
        decision = Settle(run.race.decided)
    late = run.thinking_seconds() == 0
    if late and isinstance(decision, Draw):
        decision = Settle("time is nearly up", settled=False)
    if isinstance(decision, Draw) or decision.settled:
        return decision, "answered"
    return decision, "deadline" if late else "budget"


def affordable(run: Run, samples: Sequence[Sample]) -> int | None:
    """How many chains the budget can pay, at the price of the cheapest so far; None: no limit.

    None of them, once a chain was cut short before its first call.
    """
    left = run.left()
    cut = [sample.get("tokens", 0) for sample in samples if sample["ended"] == "cut"]
    if 0 in cut:
        return 0
    limits = [] if left.calls is None else [left.calls]
    if left.tokens is not None:
        whole = [s["tokens"] for s in samples if s["ended"] == "whole" and s.get("tokens")]
        limits.append(left.tokens // min(whole or cut or [1]))
    return min(limits, default=None)
