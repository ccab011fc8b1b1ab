"""grow: which nodes of the search tree to expand next, or whether the search is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from ...models import BackendError
from ..opening import run_of
from ..race import Race
from ..run import Run
from ..samples import Sample, best_of, declined, refuted
from ..settings import Algorithm, Settings
from ..state import Context, State, Stopped
from ..tree import Expansion, plan
from ..verifiers import Human, Reward
from ..voting import enough, tally, undone
from .choose import confidence_in
from .draw import GIVE_UP, affordable

WIDTH = 4
"""Nodes expanded at once, where the settings do not say."""

Next = Command[Literal["expand", "confirm", "land", "__end__"]]


async def grow(state: State, runtime: Runtime[Context]) -> Next:
    """Send out a wave of expansions, or finish with the best answer found.

    Raises what the expansions raised, where none of them did better.
    """
    async with run_of(state, runtime) as run:
        return await _grow(run, state)


async def _grow(run: Run, state: State) -> Next:
    samples, rows = state.get("samples", []), state.get("tree", [])
    update: State = {"run": run.key, "limits": run.ledger.budget.as_dict()}
    reason, stopped = _over(run, samples, rows)
    if reason:
        run.note("grow", reason, tree=len(rows))
        return await _finish(run, samples, rows, update | {"stopped": stopped})
    # The library takes a second to import: not on the event loop.
    await asyncio.to_thread(import_module, "treequest")
    width = _width(run, samples, rows)
    targets = plan(rows, algorithm_of(run), width, seed=run.settings.seed)
    run.race = Race(samples, horizon(run, samples))
    run.note("grow", f"expanding {len(targets)} nodes", tree=len(rows))
    wave = state.get("wave", 0) + 1
    given = {
        "question": state["question"],
        "history": state.get("history", []),
        "run": run.key,
        "wave": wave,
    }
    sends = [
        Send("expand", {**given, "place": place, "target": target})
        for place, target in enumerate(targets)
    ]
    return Command(update=update | {"wave": wave, "trace": run.news()}, goto=sends)


async def _finish(
    run: Run, samples: Sequence[Sample], rows: Sequence[Expansion], update: State
) -> Next:
    votes = tally(samples)
    best = votes.leader or best_of(samples) or declined(samples)
    if best is None:
        if run.failure is not None and not rows and update["stopped"] == "answered":
            raise run.failure
        return Command(update=update | {"trace": run.news()}, goto="land")
    run.prefer(best["text"])
    update |= {
        "text": best["text"],
        "confidence": best["score"] if refuted(best) else confidence_in(votes),
    }
    if isinstance(run.verifier, Human) and best["ended"] != "refused":
        return Command(update=update | {"trace": run.news()}, goto="confirm")
    return Command(update=update | {"trace": await run.conclude()}, goto="__end__")


def algorithm_of(run: Run) -> Algorithm:
    """The algorithm that the settings name, or the one that suits the verifier."""
    return run.settings.algorithm or ("tot-bfs" if isinstance(run.verifier, Reward) else "ab-mcts")


def horizon(run: Run, samples: Sequence[Sample]) -> Callable[[Sequence[Sample]], str]:
    """Whether samples are enough, given that every expansion may add one to those paid before."""
    before = len(samples) - len(_own(run, samples))
    most = replace(run.settings, samples=before + run.settings.expansions)
    return partial(_enough, settings=most)


def _enough(samples: Sequence[Sample], settings: Settings) -> str:
    """Why the search has found enough. Answers that cannot be compared have no votes: a pass is."""
    opened = tally(samples)
    if not opened.is_open:
        return enough(samples, settings)
    passed = next((sample for sample in opened.open if sample.get("passed") is True), None)
    return f"{passed['id']} passed" if passed else ""


def _own(run: Run, samples: Sequence[Sample]) -> list[Sample]:
    """Those that this search's expansions made."""
    prefix = "expand." if run.parent is None else f"{run.branch}/expand."
    return [sample for sample in samples if sample["id"].startswith(prefix)]


def _wave(sample: Sample) -> int:
    return int(sample["id"].split(".")[-2])


def _over(run: Run, samples: Sequence[Sample], rows: Sequence[Expansion]) -> tuple[str, Stopped]:
    """Why the search is over, and the word for it; empty: it goes on."""
    if declined(samples):
        return "the model declined", "refused"
    if reason := horizon(run, samples)(samples):
        return reason, "budget" if undone(samples) else "answered"
    if run.thinking_seconds() == 0:
        return "time is nearly up", "deadline"
    if reason := _failing(run, samples, rows):
        return reason, "answered"
    if (made := _made(run, samples, rows)) >= run.settings.expansions:
        return f"all {made} expansions are made", "answered"
    if affordable(run, samples) == 0:
        return "the budget pays for no more expansions", "budget"
    return "", "answered"


def _failing(run: Run, samples: Sequence[Sample], rows: Sequence[Expansion]) -> str:
    """Why it is no use to go on after failures; empty: it is."""
    last = max((row["wave"] for row in rows), default=0)
    failed = [s for s in _own(run, samples) if s["ended"] == "failed" and _wave(s) > last]
    hopeless = isinstance(run.failure, BackendError) and not run.failure.retryable and not rows
    if len(failed) >= (1 if hopeless else GIVE_UP):
        return f"{len(failed)} expansions failed, and none did not: {failed[-1].get('error')}"
    return ""


def _made(run: Run, samples: Sequence[Sample], rows: Sequence[Expansion]) -> int:
    """Expansions so far; those count too that left no node."""
    lost = [sample for sample in _own(run, samples) if sample["ended"] in ("failed", "refused")]
    return len(rows) + len(lost)


def _width(run: Run, samples: Sequence[Sample], rows: Sequence[Expansion]) -> int:
    """How many nodes to expand at once."""
    left = run.settings.expansions - _made(run, samples, rows)
    can = affordable(run, samples)
    width = min(run.settings.at_once or WIDTH, left)
    return width if can is None else min(width, can)
