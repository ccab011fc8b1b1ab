"""grow: which nodes of the search tree to expand next, or whether the search is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from ..opening import run_of
from ..race import Race
from ..run import Run
from ..samples import Sample, best_of, declined
from ..settings import Algorithm
from ..state import Context, State, Stopped
from ..tree import plan
from ..verifiers import Reward
from ..voting import enough, tally
from .choose import confidence_in
from .draw import affordable

WIDTH = 4
"""Nodes expanded at once, where the settings do not say."""

Next = Command[Literal["expand", "land", "__end__"]]


async def grow(state: State, runtime: Runtime[Context]) -> Next:
    """Send out a wave of expansions, or finish with the best answer found.

    Raises what the expansions raised, where none of them did better.
    """
    async with run_of(state, runtime) as run:
        return await _grow(run, state)


async def _grow(run: Run, state: State) -> Next:
    samples, rows = state.get("samples", []), state.get("tree", [])
    wave = state.get("wave", 0)
    update: State = {"run": run.key, "limits": run.ledger.budget.as_dict()}
    reason, stopped = _over(run, state)
    if not reason:
        width = run.settings.at_once or WIDTH
        width = min(width, run.settings.expansions - len(rows))
        can = affordable(run, samples)
        width = width if can is None else max(1, min(width, can))
        targets = plan(rows, algorithm_of(run), width, seed=run.settings.seed)
        if targets:
            run.race = Race(samples, horizon(run, samples))
            run.note("grow", f"expanding {len(targets)} nodes", tree=len(rows))
            given = {
                "question": state["question"],
                "history": state.get("history", []),
                "run": run.key,
                "wave": wave + 1,
            }
            sends = [
                Send("expand", {**given, "place": place, "target": target})
                for place, target in enumerate(targets)
            ]
            update |= {"wave": wave + 1, "trace": run.news()}
            return Command(update=update, goto=sends)
        reason = "nothing is left to expand"
    run.note("grow", reason, tree=len(rows))
    votes = tally(samples)
    best = votes.leader or best_of(samples) or declined(samples)
    update["stopped"] = stopped
    if best is None:
        if run.failure is not None and not rows:
            raise run.failure
        return Command(update=update | {"trace": run.news()}, goto="land")
    run.prefer(best["text"])
    update |= {
        "text": best["text"],
        "confidence": confidence_in(votes),
        "trace": await run.conclude(),
    }
    return Command(update=update, goto="__end__")


def algorithm_of(run: Run) -> Algorithm:
    """The algorithm that the settings name, or the one that suits the verifier."""
    return run.settings.algorithm or ("tot-bfs" if isinstance(run.verifier, Reward) else "ab-mcts")


def horizon(run: Run, samples: Sequence[Sample]) -> Callable[[Sequence[Sample]], str]:
    """Whether samples are enough, given that every expansion may add one to those paid before."""
    before = sum(not sample["id"].startswith(_prefix(run)) for sample in samples)
    most = replace(run.settings, samples=before + run.settings.expansions)
    return partial(enough, settings=most)


def _prefix(run: Run) -> str:
    return "expand." if run.parent is None else f"{run.branch}/expand."


def _over(run: Run, state: State) -> tuple[str, Stopped]:
    """Why the search is over, and the word for it; empty: it goes on."""
    samples, rows = state.get("samples", []), state.get("tree", [])
    if declined(samples):
        return "the model declined", "refused"
    if reason := horizon(run, samples)(samples):
        return reason, "answered"
    if run.thinking_seconds() == 0:
        return "time is nearly up", "deadline"
    if len(rows) >= run.settings.expansions:
        return f"all {len(rows)} expansions are made", "answered"
    if affordable(run, samples) == 0:
        return "the budget pays for no more expansions", "budget"
    if run.failure is not None and state.get("wave", 0) > len(rows):
        return f"expansions fail: {run.failure}", "answered"
    return "", "answered"
