"""act: the tool calls of one turn, in parallel."""

from __future__ import annotations

import asyncio

from langgraph.runtime import Runtime

from ...budgets import BudgetExhausted
from ...models import Message
from ...models.messages import ToolCallMessage
from ...tools.toolbox import ToolResult
from ..events import ToolFinished, ToolStarted
from ..opening import run_of
from ..run import Emit, Run
from ..state import Context, State


async def act(state: State, runtime: Runtime[Context]) -> State:
    """Make the calls that the last message asks for; the results become messages, in its order."""
    async with run_of(state, runtime) as run:
        return await _act(run, state, runtime.stream_writer)


async def _act(run: Run, state: State, emit: Emit) -> State:
    calls = state["messages"][-1].get("tool_calls", [])
    turn = state.get("turn", 0)
    once: dict[tuple[str, str], asyncio.Task[ToolResult]] = {}
    tasks: list[asyncio.Task[ToolResult]] = []
    async with asyncio.TaskGroup() as group:
        for index, call in enumerate(calls):
            key = call["function"]["name"], call["function"]["arguments"]
            if key not in once or run.toolbox.has_side_effects(key[0]):
                work = _call(run, call, f"act.{turn}.{index}", emit)
                once[key] = group.create_task(work)
            tasks.append(once[key])
    run.tell_state(emit)
    messages: list[Message] = []
    for call, task in zip(calls, tasks, strict=True):
        outcome = task.result()
        run.note(
            "act",
            "from memory" if outcome.remembered else "failed" if outcome.failed else "called",
            tool=call["function"]["name"],
            seconds=round(outcome.seconds, 3),
        )
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": outcome.text})
    return {"messages": messages}


async def _call(run: Run, call: ToolCallMessage, call_id: str, emit: Emit) -> ToolResult:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    emit(ToolStarted(branch=run.branch, id=call["id"], tool=name, arguments=arguments))
    try:
        outcome = await run.toolbox.call(
            name,
            arguments,
            ledger=run.ledger,
            call_id=call_id,
            scope=run.scope,
            memory=run.memory,
            seconds=run.thinking_seconds(),
        )
    except BudgetExhausted:
        outcome = ToolResult(EXHAUSTED, failed=True)
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


EXHAUSTED = "error: the budget allows no more tool calls. Answer with what you have."
