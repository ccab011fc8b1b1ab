"""route: what `auto` does next, by its policy; every choice is in the trace with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command

from ...models import Model, Request, user
from ...models.messages import prompt_bound
from ..difficulty import Belief, Difficulty, believe
from ..events import DepthChosen
from ..opening import run_of
from ..policy import LIFT, Evidence, Finish, Need, Options, Which, decide
from ..run import Emit, Run
from ..samples import Sample, answers
from ..state import Context, State
from ..verifiers import Human
from ..voting import tally

LEAST_CHAINS = {"direct": 1, "reason": 1, "reflect": 2, "vote": 2, "search": 4}
"""Chains' worth of tokens below which a depth is not worth beginning."""

Next = Command[Literal["stage", "confirm", "land", "__end__"]]


async def route(state: State, runtime: Runtime[Context]) -> Next:
    """Choose the next stage, or finish with the best answer there is."""
    async with run_of(state, runtime) as run:
        return await _route(run, state, runtime.stream_writer)


async def _route(run: Run, state: State, emit: Emit) -> Next:
    samples = newest(state.get("samples", ()))
    tried = state.get("tried", [])
    larger = any(sample.get("larger", False) for sample in samples)
    difficulty = _difficulty(state)
    belief = (
        believe(_with_larger(difficulty), samples, None)
        if larger
        else believe(difficulty, samples, run.calibration)
    )
    if belief.leader is not None:
        run.prefer(belief.leader["text"])
    evidence = Evidence(
        p_direct=difficulty.p_direct,
        p_right=belief.p_right,
        answers=sum(map(answers, samples)),
        larger=larger,
        open=tally(samples).is_open,
        refused=state.get("stopped") == "refused",
        tried=tuple((which, depth) for which, depth in tried),
    )
    options = _options(run, state)
    left = replace(run.left(), seconds=run.thinking_seconds())
    action = decide(evidence, options, left)
    late = left.seconds is not None and left.seconds <= min(
        need.seconds for need in options.needs.values()
    )
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
    update: State = {"stopped": stopped}
    if belief.leader is not None:
        update |= {"text": belief.leader["text"], "confidence": belief.p_right}
        if isinstance(run.verifier, Human) and belief.leader.get("passed") is None:
            return Command(update=update | {"trace": run.news()}, goto="confirm")
    elif stopped != "refused":
        samples = state.get("samples", ())
        if run.failure is not None and all(sample["ended"] == "failed" for sample in samples):
            raise run.failure
        return Command(update=update | {"trace": run.news()}, goto="land")
    return Command(update=update | {"trace": await run.conclude()}, goto="__end__")


def newest(samples: Sequence[Sample]) -> list[Sample]:
    """The larger model's samples, once it has answered: the smaller's do not outvote them."""
    own = [sample for sample in samples if sample.get("larger", False)]
    return own if any(map(answers, own)) else [s for s in samples if not s.get("larger", False)]


def _difficulty(state: State) -> Difficulty:
    """What `assess` wrote into the state."""
    known = state["difficulty"] or {}
    return Difficulty(p_direct=known["p_direct"], source=known["source"], reason=known["reason"])


def _with_larger(difficulty: Difficulty) -> Difficulty:
    """The difficulty for the larger model. What was learned of the other says nothing of it."""
    missing = 1 - difficulty.p_direct
    return replace(difficulty, p_direct=difficulty.p_direct + LIFT["larger"] * missing)


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
    larger = model is run.larger
    costs = [
        sample["tokens"]
        for sample in state.get("samples", ())
        if answers(sample) and sample.get("tokens") and sample.get("larger", False) == larger
    ]
    tokens, seconds = math.ceil(prompt + output), model.typical.seconds
    cost = model.price.cost(math.ceil(prompt), math.ceil(output), seconds=seconds)
    return Need(
        tokens=chains * min([tokens, *costs]),
        calls=chains,
        seconds=seconds,
        cost=Decimal(chains) * cost,
    )
