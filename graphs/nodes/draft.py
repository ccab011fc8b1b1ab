"""draft: the first candidate of a reflection: one that was paid for already, or a new one."""

from __future__ import annotations

from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command

from ..chains import Walkable, tell_end, walk
from ..opening import open_branch, run_of
from ..run import Emit, Run
from ..samples import Sample, answers, best_of
from ..state import Context, State, Stopped
from .node import Node

Next = Command[Literal["critique", "land", "__end__"]]


def draft_over(reason: Walkable) -> Node[State, Next]:
    """The node, over the depth that drafts."""

    async def draft(state: State, runtime: Runtime[Context]) -> Next:
        """Make the first candidate. Raises what the drafting raises."""
        async with run_of(state, runtime) as run:
            return await _draft(run, state, runtime.stream_writer, reason)

    return draft


async def _draft(run: Run, state: State, emit: Emit, graph: Walkable) -> Next:
    update: State = {"run": run.key, "limits": run.ledger.budget.as_dict()}
    samples = state.get("samples", ())
    if (known := best_of(samples)) is not None:
        run.offer(known["text"], whole=True)
    paid = best_of(sample for sample in samples if sample["ended"] == "whole")
    if paid is not None:
        run.note("draft", f"{paid['id']} was paid for already", answer=paid.get("key"))
        run.prefer(paid["text"])
        update |= {"candidates": [paid["id"]], "trace": run.news()}
        return Command(update=update, goto="critique")
    sample = await sampled(run, state["question"], state, emit, graph, "draft")
    if sample["ended"] == "failed" and run.failure is not None:
        raise run.failure
    run.offer(sample["text"], whole=answers(sample))
    stopped = stopped_by(sample, run)
    update |= {"samples": [sample], "candidates": [sample["id"]], "stopped": stopped}
    if sample["ended"] == "refused":
        update |= {"text": sample["text"], "trace": await run.conclude()}
        return Command(update=update, goto="__end__")
    update["trace"] = run.news()
    return Command(update=update, goto="critique" if sample["ended"] == "whole" else "land")


async def sampled(
    run: Run, question: str, state: State, emit: Emit, graph: Walkable, name: str
) -> Sample:
    """One candidate, made in a branch of its own."""
    async with open_branch(run, name, emit) as branch:
        sample = (await walk(branch, graph, question, state.get("history", ()))).sample
        tell_end(branch, sample, emit)
        run.failure = run.failure or branch.failure
    run.note(name.partition(".")[0], sample["ended"], branch=sample["id"], answer=sample.get("key"))
    return sample


def stopped_by(sample: Sample, run: Run) -> Stopped:
    """The word for how a candidate ended."""
    return "refused" if sample["ended"] == "refused" else cut_by(sample, run)


def cut_by(sample: Sample, run: Run) -> Stopped:
    """What cut it short, where something did. Declining to improve an answer is no refusal."""
    if sample["ended"] != "cut":
        return "answered"
    late = run.thinking_seconds() == 0 or (
        run.exhausted is not None and run.exhausted.dimension == "seconds"
    )
    return "deadline" if late else "budget"
