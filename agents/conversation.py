"""conversation: the graph of a thread: measure, condense what is long, answer, remember.

One walk is one question. The depth's graph runs inside `answer`, under the thread's checkpointer.
"""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, TypedDict, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime

from ..graphs import DEPTHS, Context
from ..graphs.history import Exchange, Notes, fitting
from ..graphs.nodes.condense import condensed, measured
from ..graphs.opening import run_of
from ..graphs.state import State
from .walking import RECURSION_LIMIT, within_deadline

TOLD = ("text", "stopped", "confidence", "reached", "difficulty", "trace")
"""What is kept of a depth's outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question of a thread and its answer."""

    number: int
    """From 1; a number that was undone is not given again."""
    question: str
    text: str
    """The answer as the model wrote it; empty when there was none."""
    depth: str
    stopped: str
    usage: dict[str, Any]
    output: Any = None
    """The typed output as plain values, where one was asked for."""
    at: float
    """When it was answered, in seconds since the epoch."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class Conversation(TypedDict, total=False):
    """What a thread's checkpoints hold. The two lists only grow."""

    turns: Annotated[list[dict[str, Any]], operator.add]
    undone: Annotated[list[int], operator.add]
    """Numbers of the turns that were taken back."""
    notes: Notes | None
    """What the older turns come down to."""
    question: str
    depth: str
    effort: str | None
    output: dict[str, Any] | None
    """`name` and `schema` of the output's type, where one was asked for."""
    run: str
    """Key of the run: its account's."""
    number: int
    """Of the present turn."""
    room: int
    """Bytes that the history may have."""
    outcome: dict[str, Any]


async def measure(state: Conversation, runtime: Runtime[Context]) -> Conversation:
    """Measure how long the history may be."""
    async with run_of(cast(State, state), runtime) as run:
        return {"room": await measured(run)}


async def condense(state: Conversation, runtime: Runtime[Context]) -> Conversation:
    """Bring the turns that are too long for the budget down to notes."""
    async with run_of(cast(State, state), runtime) as run:
        before, emit = state.get("notes"), runtime.stream_writer
        notes = await condensed(run, before, exchanges_of(state), state["room"], emit)
        return {"notes": notes}


async def answer(state: Conversation, runtime: Runtime[Context]) -> Conversation:
    """Walk the depth's graph. A deadline that it overruns cuts it off, with what it has."""
    async with run_of(cast(State, state), runtime) as run:
        history = fitting(state.get("notes"), exchanges_of(state), state["room"])
        given: Any = {"question": state["question"], "history": history, "run": run.key}
        graph = DEPTHS[state["depth"]].graph
        outcome: dict[str, Any] = {"stopped": "deadline", "text": run.best}
        try:
            async with within_deadline(run.ledger):
                outcome = await graph.ainvoke(given, {"recursion_limit": RECURSION_LIMIT})
        except TimeoutError:
            run.note("agent", "cut off at the deadline")
            outcome["text"] = run.best
        return {"outcome": {name: outcome[name] for name in TOLD if name in outcome}}


async def remember(state: Conversation, runtime: Runtime[Context]) -> Conversation:
    """Add the turn to the thread."""
    async with run_of(cast(State, state), runtime) as run:
        outcome = state["outcome"]
        text = outcome.get("text", "")
        turn = Turn(
            number=state["number"],
            question=state["question"],
            text=text,
            depth=outcome.get("reached") or state["depth"],
            stopped=outcome.get("stopped", "deadline"),
            usage=run.ledger.spent().as_dict(),
            output=None if run.output is None else run.output.plain_in(text),
            at=time.time(),
        )
        # A checkpoint takes no whole number of more than 64 bits; JSON text does.
        return {"turns": [turn.as_dict() | {"output": json.dumps(turn.output)}]}


def conversation(saver: BaseCheckpointSaver[str]) -> Any:
    """The compiled graph over a checkpointer."""
    return _builder.compile(checkpointer=saver, name="conversation")


def turns_in(state: Conversation) -> tuple[Turn, ...]:
    """The turns that were not taken back, oldest first."""
    undone = set(state.get("undone", ()))
    rows = (row for row in state.get("turns", ()) if row["number"] not in undone)
    return tuple(Turn(**row | {"output": json.loads(row["output"])}) for row in rows)


def exchanges_of(state: Conversation) -> Sequence[Exchange]:
    """The turns as a run is told them."""
    return [Exchange(turn.number, turn.question, turn.text) for turn in turns_in(state)]


async def state_of(saver: BaseCheckpointSaver[str], thread: str) -> Any:
    """The latest state of a thread, with what it waits for: LangGraph's snapshot."""
    return await conversation(saver).aget_state({"configurable": {"thread_id": thread}})


_builder = (
    StateGraph(Conversation, context_schema=Context)
    .add_node("measure", measure)
    .add_node("condense", condense)
    .add_node("answer", answer)
    .add_node("remember", remember)
    .add_edge(START, "measure")
    .add_edge("measure", "condense")
    .add_edge("condense", "answer")
    .add_edge("answer", "remember")
    .add_edge("remember", "__end__")
)
