"""expand: one step of a search: proposed from a node of the tree, and scored.

`tot-bfs` proposes one step and asks for its value. The others let the model go on from the step to
an answer (a rollout), and the answer's verdict is the step's value.
"""

from __future__ import annotations

from langgraph.runtime import Runtime

from ...budgets import BudgetExhausted
from ...models import BackendError, Request, user
from ..answers import comparable
from ..chains import tell_end
from ..events import BranchCancelled
from ..opening import open_branch, run_of
from ..output import InvalidOutput
from ..race import Race
from ..run import Emit, Run
from ..samples import Ended, Sample, sample_of
from ..state import Context, State
from ..tree import Expansion, Target
from ..values import checked, promise
from ..voting import tally
from .answer import opening, verdict
from .grow import algorithm_of, horizon
from .refine import REFINE
from .repair import conform
from .typed import told

STEP = 512
"""Output tokens of one step."""


class Expand(State, total=False):
    """What one expansion is given."""

    place: int
    """Within its wave."""
    target: Target
    """The node to propose a step from."""


async def expand(state: Expand, runtime: Runtime[Context]) -> State:
    """Propose a step from a node, and score it. One that fails leaves no node."""
    async with run_of(state, runtime) as run:
        return await _expand(run, state, runtime.stream_writer)


async def _expand(run: Run, state: Expand, emit: Emit) -> State:
    race = run.race = run.race or Race([], horizon(run, state.get("samples", ())))
    name = f"expand.{state['wave']}.{state['place']}"
    async with open_branch(run, name, emit, varied=True) as branch:
        rollout = algorithm_of(run) != "tot-bfs"
        work = _propose(branch, state, emit, rollout=rollout)
        made = await race.run(work, run.thinking_seconds())
        if made is None and run.watched:
            reason = race.decided or "time is nearly up"
            spent = branch.ledger.spent().total_tokens
            emit(BranchCancelled(branch=branch.branch, reason=reason, tokens=spent))
        elif made is not None:
            tell_end(branch, made[1], emit)
        run.failure = run.failure or branch.failure
    if made is None:
        return {"trace": run.news()}
    row, sample = made
    run.note("expand", sample["ended"], branch=sample["id"], answer=sample.get("key"))
    update: State = {"tree": [] if row is None else [row]}
    if row is None or row["final"] or rollout:
        update["samples"] = [sample]
        race.finish(sample)
        leader = tally(race.samples).leader
        if leader is not None:
            run.prefer(leader["text"])
    run.offer(sample["text"], whole=False)
    update["trace"] = run.news()
    return update


async def _propose(
    branch: Run, state: Expand, emit: Emit, *, rollout: bool
) -> tuple[Expansion | None, Sample]:
    """A node of the tree and its text as a sample. What failed or was refused leaves no node."""
    target, question = state["target"], state["question"]
    before = _before(branch, target)

    def sampled(text: str, ended: Ended) -> Sample:
        tokens = branch.ledger.spent().total_tokens
        return sample_of(
            branch.branch, question, text, ended=ended, tokens=tokens, output=branch.output
        )

    try:
        request = await _request(branch, state, before, rollout=rollout)
        reply = await branch.ask(request, "propose", emit)
    except BudgetExhausted as error:
        branch.note("propose", str(error))
        return None, sampled(before, "cut")
    except BackendError as error:
        branch.failure = error
        branch.note("propose", str(error))
        return None, {**sampled("", "failed"), "error": str(error)}
    branch.note("propose", reply.finish_reason, reply)
    if verdict(reply) == "refused":
        return None, sampled(reply.text or reply.refusal, "refused")
    added = reply.text if request.continues else _added(before, reply.text)
    row = _row(branch, state, added)
    text = (before + added).strip()
    unfinished = reply.finish_reason == "length" or not text
    if not unfinished and (rollout or row["final"]):
        try:
            text, stopped = await conform(branch, question, text, emit)
        except (BackendError, InvalidOutput) as error:
            branch.failure = error
            branch.note("repair", str(error))
            return None, {**sampled("", "failed"), "error": str(error)}
        if stopped != "answered":
            return row, sampled(text, "cut")
        sample = await checked(branch, sampled(text, "whole"), question, emit)
        score, reasons = sample.get("score", 0.5), sample.get("reasons", "")
        return {**row, "score": score, "reasons": reasons}, sample
    if unfinished:
        return row, sampled(text, "cut")
    score = await promise(branch, question, text, emit)
    return {**row, "score": score, "reasons": ""}, sampled(text, "whole")


def _before(branch: Run, target: Target) -> str:
    """The text that is gone on from; empty at the root, and where an answer is to be mended."""
    between = branch.model.profile.step_separator
    return "".join(step + between for step in target["steps"]) if not target["final"] else ""


def _added(before: str, said: str) -> str:
    """What a reply adds: a model that is shown its work may repeat it in spite of its prompt."""
    rest = said.lstrip().removeprefix(before.strip())
    return rest if rest.strip() else said


def _row(branch: Run, state: Expand, added: str) -> Expansion:
    """The node that a reply makes, not finished so far.

    It goes one step further than the one it was proposed from; a mended answer is all its steps.
    """
    target, between = state["target"], branch.model.profile.step_separator
    new = [step for step in added.split(between) if step.strip()]
    steps = new or target["steps"] if target["final"] else [*target["steps"], *new[:1]]
    return {
        "wave": state["wave"],
        "place": state["place"],
        "parent": target["node"],
        "steps": steps,
        "score": 0.0,
        # A model that adds nothing takes what it has for its answer.
        "final": not new or comparable(between.join(steps)) is not None,
        "reasons": "It was not finished.",
    }


async def _request(branch: Run, state: Expand, before: str, *, rollout: bool) -> Request:
    """The call that goes on from `before`, or that mends an answer which did not pass."""
    target, profile = state["target"], branch.model.profile
    if target["final"] and target["steps"]:
        words = branch.prompt("refine.user", REFINE).format(
            question=state["question"],
            evidence="(no tools were used)",
            text=profile.step_separator.join(target["steps"]),
            reasons=target["reasons"] or "It did not pass a check.",
        )
        mending = [*state.get("history", ()), user(told(branch, words, "line"))]
        return Request(messages=mending, timeout=branch.thinking_seconds())
    messages = opening(branch, state, "expand.system", SYSTEM, "line")
    prefill = (await branch.model.capabilities()).prefill
    if before and prefill:
        messages.append({"role": "assistant", "content": before})
    elif before:
        messages.append(user(branch.prompt("expand.user", CONTINUE).format(steps=before.strip())))
    return Request(
        messages=messages,
        continues=bool(before) and prefill,
        stop=() if rollout else (profile.step_separator,),
        max_tokens=None if rollout else min(STEP, profile.max_tokens),
        timeout=branch.thinking_seconds(),
    )


SYSTEM = """\
Solve the problem step by step. Keep each step short, and put an empty line between two steps. \
When you know the answer, write it alone on the last line, as `Answer: …`."""

CONTINUE = """\
This is the work so far:

{steps}

Go on from there. Do not repeat it. Put an empty line between two steps, and write the answer \
alone on the last line, as `Answer: …`."""
