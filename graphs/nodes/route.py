"""route: what `auto` does next, by its policy; every choice is in the trace with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command

from ...models import Model, Request, user
from ...models.messages import prompt_bound
from ..difficulty import Belief, Difficulty, believe
from ..events import DepthChosen
from ..opening import run_of
from ..policy import Evidence, Finish, Need, Options, Which, decide
from ..run import Emit, Run
from ..samples import Sample, answers, best_of
from ..state import Context, State
from ..verifiers import Human
from ..voting import tally

LEAST_CHAINS = {"direct": 1, "reason": 1, "reflect": 2, "vote": 2, "search": 4}
"""Chains' worth of tokens below which a depth is not worth beginning."""

Next = Command[Literal["stage", "land", "__end__"]]


async def route(state: State, runtime: Runtime[Context]) -> Next:
    """Choose the next stage, or finish with the best answer there is."""
    async with run_of(state, runtime) as run:
        return await _route(run, state, runtime.stream_writer)


async def _route(run: Run, state: State, emit: Emit) -> Next:
    samples = state.get("samples", [])
    tried = [(which, depth) for which, depth in state.get("tried", [])]
    known = state["difficulty"] or {}
    difficulty = Difficulty(
        p_direct=known["p_direct"], source=known["source"], reason=known["reason"]
    )
    belief = believe(difficulty, newest(samples, tried), run.calibration)
    evidence = Evidence(
        p_direct=run.calibration.p_direct if run.calibration else difficulty.p_direct,
        p_right=belief.p_right,
        answers=sum(map(answers, samples)),
        open=tally(samples).is_open,
        refused=state.get("stopped") == "refused",
        tried=tuple(tried),
    )
    action = decide(evidence, _options(run, state), run.left())
    late = run.thinking_seconds() == 0
    if late and not isinstance(action, Finish):
        action = Finish("time is nearly up", paid=False)
    run.note("route", action.reason, source=belief.source)
    if isinstance(action, Finish):
        return await _finish(run, state, action, belief, late=late)
    if run.watched:
        emit(DepthChosen(depth=action.depth, reason=action.reason))
    run.trace[-1]["depth"] = action.depth
    if action.model == "larger":
        run.trace[-1]["model"] = "larger"
    update: State = {"tried": [*tried, (action.model, action.depth)], "trace": run.news()}
    return Command(update=update, goto="stage")


async def _finish(run: Run, state: State, action: Finish, belief: Belief, *, late: bool) -> Next:
    stopped = state.get("stopped", "answered")
    if stopped == "answered" and not action.paid:
        stopped = "deadline" if late else "budget"
    known = {**(state["difficulty"] or {})}
    update: State = {"stopped": stopped, "difficulty": known}
    if not state.get("text", "").strip() and best_of(state.get("samples", ())) is None:
        if stopped == "answered" and run.failure is not None:
            raise run.failure
        return Command(update=update | {"trace": run.news()}, goto="land")
    update |= {
        "text": state.get("text") or run.best,
        "confidence": belief.p_right,
        "trace": await run.conclude(),
    }
    return Command(update=update, goto="__end__")


def newest(samples: Sequence[Sample], tried: Sequence[tuple[Which, str]]) -> list[Sample]:
    """The samples of the model that was tried last: a larger one is not outvoted by a smaller."""
    larger = any(which == "larger" for which, _ in tried)
    own = [sample for sample in samples if sample.get("larger", False) == larger]
    return own if any(map(answers, own)) else list(samples)


def _options(run: Run, state: State) -> Options:
    models: dict[Which, Model] = {"main": run.model}
    if run.larger is not None:
        models["larger"] = run.larger
    return Options(
        needs={
            (which, depth): _need(run, state, model, chains)
            for which, model in models.items()
            for depth, chains in LEAST_CHAINS.items()
        },
        deepest=run.settings.deepest,
        tools=bool(run.toolbox.specs),
        verifier=run.verifier is not None and not isinstance(run.verifier, Human),
    )


def _need(run: Run, state: State, model: Model, chains: int) -> Need:
    """What so many chains likely cost at least, from the replies seen so far.

    The first answer needs only a call: however short, it is better than none.
    """
    if not any(map(answers, state.get("samples", ()))) and chains == 1:
        return Need()
    request = Request(messages=[*state.get("history", ()), user(state["question"])])
    size = prompt_bound(request, model.profile.allowance)
    prompt = size / model.typical.bytes_per_token
    output = model.typical.output_tokens
    costs = [s["tokens"] for s in state.get("samples", ()) if answers(s) and s.get("tokens")]
    tokens = math.ceil(prompt + output)
    if costs and model is run.model:
        tokens = min(tokens, *costs)
    cost = model.price.cost(math.ceil(prompt), math.ceil(output), seconds=model.typical.seconds)
    return Need(tokens=chains * tokens, calls=chains, cost=Decimal(chains) * cost)
