"""act: the tool calls of one turn, in parallel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langgraph.runtime import Runtime

from ...budgets import BudgetExhausted
from ...models import Message
from ...models.messages import ToolCallMessage
from ...tools.result import ToolResult
from ...tools.spans import ASKED_AS
from ..approvals import Approval, ApprovalRequest, ask, decide
from ..events import ApprovalNeeded, ToolFinished, ToolStarted
from ..opening import run_of
from ..pausing import paused
from ..run import Emit, Run
from ..state import Context, State


async def act(state: State, runtime: Runtime[Context]) -> State:
    """Make the calls that the last message asks for; the results become messages, in its order."""
    async with run_of(state, runtime) as run:
        return await _act(run, state, runtime.stream_writer)


async def _act(run: Run, state: State, emit: Emit) -> State:
    calls = state["messages"][-1].get("tool_calls", [])
    turn = state.get("turn", 0)
    decided = _decided(run, calls, turn)  # It may pause here, with nothing spent.
    once: dict[tuple[str, str], asyncio.Task[ToolResult]] = {}
    tasks: list[asyncio.Task[ToolResult]] = []
    async with asyncio.TaskGroup() as group:
        for index, call in enumerate(calls):
            key = call["function"]["name"], call["function"]["arguments"]
            if key not in once or run.toolbox.has_side_effects(key[0]):
                name = f"act.{turn}.{index}"
                work = _call(run, call, name, decided.get(name), emit)
                once[key] = group.create_task(work)
            tasks.append(once[key])
    run.tell_state(emit)
    recalled = [task.result().recalled for task in tasks]
    lost = _lost_sessions(run, state, calls, recalled)
    messages: list[Message] = []
    for call, task in zip(calls, tasks, strict=True):
        outcome = task.result()
        run.note(
            "act",
            _how(outcome),
            tool=call["function"]["name"],
            seconds=round(outcome.seconds, 3),
        )
        text = outcome.text
        if call["function"]["name"] in lost:
            restarted = run.prompt("act.restarted", RESTARTED)
            # A call that was made before it is an earlier one.
            text = "\n".join([text, restarted] if outcome.recalled else [restarted, text])
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    return {"messages": messages, "trace": run.news()}


def _decided(run: Run, calls: Sequence[ToolCallMessage], turn: int) -> Mapping[str, Approval]:
    """What a person said of the calls with side effects, where the run pauses for one."""
    if run.approver is not ask:
        return {}
    requests: dict[str, ApprovalRequest] = {}
    for index, call in enumerate(calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        call_id = f"act.{turn}.{index}"
        if not run.toolbox.has_side_effects(name) or _too_late(run, call_id):
            continue
        if run.toolbox.wrong(name, arguments) is None:
            request = ApprovalRequest(tool=name, arguments=arguments, branch=run.branch)
            requests[call_id] = request
    return paused(requests)


def _lost_sessions(
    run: Run, state: State, calls: Sequence[ToolCallMessage], recalled: Sequence[bool]
) -> set[str]:
    """Tools whose session began in a life of this run that has ended, and is new now."""
    earlier = {
        call["function"]["name"]
        for message in state["messages"][:-1]
        for call in message.get("tool_calls", ())
    }
    now: set[str] = set()
    for call, before in zip(calls, recalled, strict=True):
        (earlier if before else now).add(call["function"]["name"])
    fresh = {name for name in now - run.used if run.toolbox.has_session(name)}
    run.used |= now
    return fresh & earlier


async def _call(
    run: Run, call: ToolCallMessage, call_id: str, decided: Approval | None, emit: Emit
) -> ToolResult:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    ASKED_AS.set(call["id"])
    edited = None if decided is None else decided.arguments
    emit(ToolStarted(branch=run.branch, id=call["id"], tool=name, arguments=edited or arguments))
    outcome = run.toolbox.wrong(name, arguments)
    if outcome is None and run.toolbox.has_side_effects(name):
        outcome = await _with_approval(run, call, call_id, decided, emit)
    elif outcome is None:
        outcome = await _made(run, name, arguments, call_id)
    if not outcome.remembered:
        run.attachments += outcome.attachments
    emit(
        ToolFinished(
            branch=run.branch,
            id=call["id"],
            tool=name,
            text=outcome.text,
            failed=outcome.failed,
            remembered=outcome.remembered,
            seconds=outcome.seconds,
        )
    )
    return outcome


async def _with_approval(
    run: Run, call: ToolCallMessage, call_id: str, decided: Approval | None, emit: Emit
) -> ToolResult:
    """Ask first. A refusal costs nothing; arguments that were changed are told to the model."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if _too_late(run, call_id):
        return ToolResult(EXHAUSTED, failed=True)
    if decided is None:
        emit(ApprovalNeeded(branch=run.branch, id=call["id"], tool=name, arguments=arguments))
        request = ApprovalRequest(tool=name, arguments=arguments, branch=run.branch)
        approval = await decide(run.approver, request, run.thinking_seconds())
    else:
        approval = decided
    run.note("approve", _why(approval), tool=name, granted=approval.granted)
    if approval.granted is not True:
        told = run.prompt("act.refused", REFUSED).format(tool=name, reason=_why(approval))
        return ToolResult(told, failed=True)
    if approval.arguments is None:
        return await _made(run, name, arguments, call_id, approved=True)
    outcome = await _made(run, name, approval.arguments, call_id, approved=True)
    edited = run.prompt("act.edited", EDITED).format(arguments=approval.arguments)
    return replace(outcome, text=f"{edited}\n{outcome.text}")


def _too_late(run: Run, call_id: str) -> bool:
    """Whether no tool call is left for it, and none was begun in an earlier life of the run."""
    return run.ledger.left().tool_calls == 0 and not run.ledger.knows(f"{call_id}#1")


async def _made(
    run: Run, name: str, arguments: str, call_id: str, *, approved: bool = False
) -> ToolResult:
    try:
        return await run.toolbox.call(
            name,
            arguments,
            ledger=run.ledger,
            call_id=call_id,
            scope=run.scope,
            memory=run.memory,
            shared=run.memo,
            approved=approved,
            seconds=run.thinking_seconds(),
        )
    except BudgetExhausted:
        return ToolResult(EXHAUSTED, failed=True)


def _why(approval: Approval) -> str:
    """An approver's reason on one line."""
    said = " ".join(str(approval.reason)[:2000].split())[:300]
    return said or ("granted" if approval.granted is True else "it was refused")


def _how(outcome: ToolResult) -> str:
    if outcome.remembered:
        return "from memory"
    return "failed" if outcome.failed else "called"


EXHAUSTED = "error: the budget allows no more tool calls. Answer with what you have."

REFUSED = "error: {tool} was not called: it needs approval, and was refused: {reason}"

RESTARTED = "[The session was restarted: variables of earlier calls are gone.]"

EDITED = "[The arguments were changed before the call, to {arguments}]"
