"""stage: one depth of `auto`, walked in a branch of its own with the samples paid for so far."""

from __future__ import annotations

from collections.abc import Mapping

from langgraph.runtime import Runtime

from ..chains import Walkable, check, tell_end, walk
from ..opening import open_branch, run_of
from ..run import Emit, Run
from ..samples import Sample, answers, best_of
from ..state import Context, State
from ..voting import tally
from .draft import stopped_by
from .node import Node

SINGLE = ("direct", "reason")
"""Depths that give one sample, and verify nothing themselves."""
GIVEN_LEADER = "reflect"
"""The depth that works on one answer: it is given the best one and no other."""


def stage_over(depths: Mapping[str, Walkable]) -> Node[State, State]:
    """The node, over the depths that may be chosen."""

    async def stage(state: State, runtime: Runtime[Context]) -> State:
        """Walk the depth that `route` chose last. What fails in it is weighed by `route`."""
        async with run_of(state, runtime) as run:
            which, depth = state["tried"][-1]
            graph = depths[depth]
            return await _stage(run, state, runtime.stream_writer, graph, which, depth)

    return stage


async def _stage(
    run: Run, state: State, emit: Emit, graph: Walkable, which: str, depth: str
) -> State:
    count = sum(name == depth for _, name in state["tried"])
    name = depth if count == 1 else f"{depth}.{count}"
    model = run.larger if which == "larger" else None
    paid = _paid(state, which, depth)
    question = state["question"]
    async with open_branch(run, name, emit, model=model) as branch:
        walked = await walk(branch, graph, question, state.get("history", ()), paid)
        made = walked.samples
        if depth in SINGLE:
            sample = await check(branch, walked.sample, question, emit, name="verify")
            made = [sample]
        tell_end(branch, walked.sample, emit)
        run.failure = run.failure or branch.failure
    if which == "larger":
        made = [{**sample, "larger": True} for sample in made]
    stopped = stopped_by(walked.sample, run)
    update: State = {"samples": made, "trace": run.news()}
    if answers(walked.sample):
        update["reached"] = depth
        run.offer(walked.sample["text"], whole=True)
    elif stopped != "refused":
        run.offer(walked.sample["text"], whole=False)
    elif any(map(answers, state.get("samples", ()))):
        stopped = "answered"  # What was answered before is not taken back.
    else:
        update |= {"text": walked.sample["text"], "reached": depth}
    return update | {"stopped": stopped}


def _paid(state: State, which: str, depth: str) -> list[Sample]:
    """The samples that a stage goes on from: those of its own model."""
    known = state.get("samples", ())
    paid = [s for s in known if s.get("larger", False) == (which == "larger")]
    if depth != GIVEN_LEADER:
        return paid
    leader = tally(paid).leader or best_of(paid)
    return [] if leader is None else [leader]
