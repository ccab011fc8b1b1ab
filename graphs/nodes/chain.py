"""chain: one independent chain of a vote, raced against the moment that the vote is settled."""

from __future__ import annotations

from functools import partial

from langgraph.runtime import Runtime

from ...telemetry import current
from ..chains import Walkable, Watcher, check, tell_end, walk
from ..confidence import cut_off
from ..events import BranchCancelled
from ..opening import open_branch, run_of
from ..race import Race
from ..run import Emit, Run
from ..samples import Ended, Sample, sample_of
from ..state import Context, State
from ..voting import enough, tally
from .node import Node


class Chain(State, total=False):
    """What one chain is given."""

    chain: str
    """Its branch's name."""


def chain_over(direct: Walkable, reason: Walkable) -> Node[Chain, State]:
    """The node, over the depths that a chain walks: with tools `reason`, else `direct`."""

    async def chain(state: Chain, runtime: Runtime[Context]) -> State:
        """Walk one chain and count its vote. The one that settles the vote ends the others."""
        async with run_of(state, runtime) as run:
            graph = reason if run.toolbox.specs else direct
            return await _chain(run, state, runtime.stream_writer, graph)

    return chain


async def _chain(run: Run, state: Chain, emit: Emit, graph: Walkable) -> State:
    # After a crash, the race of this wave is gone with its process: what the wave's earlier chains
    # have found is in the state, and counts when the wave is over.
    race = run.race = run.race or Race([], partial(enough, settings=run.settings))
    async with open_branch(run, state["chain"], emit, varied=True) as branch:
        watcher = Watcher(partial(_cut_off, race))
        work = _walk(branch, state, graph, emit, watcher)
        sample = await race.run(work, run.thinking_seconds())
        if sample is None:
            sample = _stopped(run, branch, state, race, emit)
        else:
            tell_end(branch, sample, emit)
        run.failure = run.failure or branch.failure
    run.note("chain", sample["ended"], branch=branch.branch, answer=sample.get("key"))
    race.finish(sample)
    leader = tally(race.samples).leader
    if leader is not None:
        run.prefer(leader["text"])
    else:
        run.offer(sample["text"], whole=False)
    return {"samples": [sample], "trace": run.news()}


async def _walk(branch: Run, state: Chain, graph: Walkable, emit: Emit, watcher: Watcher) -> Sample:
    question, history = state["question"], state.get("history", ())
    walked = await walk(branch, graph, question, history, watcher=watcher)
    return await check(branch, walked.sample, question, emit, name="verify")


def _stopped(run: Run, branch: Run, state: Chain, race: Race, emit: Emit) -> Sample:
    """A chain that was stopped from outside: it is not needed any more, or its time was up."""
    spent = branch.ledger.spent().total_tokens
    if run.watched:
        reason = race.decided or "time is nearly up"
        emit(BranchCancelled(branch=branch.branch, reason=reason, tokens=spent))
    ended: Ended = "cancelled" if race.decided else "cut"
    current().set({"mull.cancelled": ended == "cancelled" or None})
    return sample_of(
        branch.branch,
        state["question"],
        branch.best,
        ended=ended,
        tokens=spent,
        output=branch.output,
    )


def _cut_off(race: Race) -> float | None:
    """Below which confidence a chain is dropped, from those that were measured to their end.

    The weak ones are among them: without them, the cut-off would rise with each that is dropped.
    """
    ended = [sample for sample in race.samples if sample["ended"] in ("whole", "weak")]
    return cut_off([sample["confidence"] for sample in ended if "confidence" in sample])
