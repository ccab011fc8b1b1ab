"""stage: one depth of `auto`, walked in a branch of its own with the samples paid for so far."""

from __future__ import annotations

from collections.abc import Mapping

from langgraph.runtime import Runtime

from ..chains import Walkable, check, tell_end, walk
from ..opening import open_branch, run_of
from ..run import Emit, Run
from ..samples import answers
from ..state import Context, State
from .draft import stopped_by
from .node import Node
from .route import newest

SINGLE = ("direct", "reason")
"""Depths that give one sample, and verify nothing themselves."""


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
    paid = newest(state.get("samples", ()), state["tried"])
    if which == "larger":
        paid = [sample for sample in paid if sample.get("larger")]
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
    update: State = {
        "samples": made,
        "stopped": stopped_by(walked.sample, run),
        "trace": run.news(),
    }
    if answers(walked.sample) or walked.sample["ended"] == "refused":
        update |= {"text": walked.sample["text"], "reached": depth}
        if answers(walked.sample):
            run.prefer(walked.sample["text"])
    else:
        run.offer(walked.sample["text"], whole=False)
    return update
