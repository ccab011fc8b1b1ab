"""Run: the live things behind a context: ledger, model, tools. Looked up by the run's key."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from langgraph.runtime import Runtime

from ..budgets import Budget, BudgetExhausted, Ledger
from ..models import Delta, Model, Reply, Request, resolve_model
from ..tools.registry import resolve_tools
from ..tools.tool import Scope
from ..tools.toolbox import Outcome, Toolbox
from .events import BudgetState, Text, Thinking
from .state import Context, State

Emit = Callable[[Any], None]

LANDING_SECONDS = 10.0
"""Of a time limit, at most this many seconds (and a fifth of it) are kept for the final answer."""


@dataclass(eq=False)
class Run:
    """One run while it is alive. Nodes reach it by `run_of`; nothing of it is in the state."""

    ledger: Ledger
    model: Model
    toolbox: Toolbox
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    tell_budget: bool = False
    """Whether the model is told what remains."""
    watched: bool = True
    """Whether anybody looks at the events; without, none are made."""
    memory: dict[str, Outcome] = field(default_factory=dict)
    """Tool calls already made, by name and arguments."""
    scope: Scope = field(default_factory=Scope)
    best: str = ""
    """The best candidate so far: what a run that is cut short answers."""
    exhausted: BudgetExhausted | None = None
    """The refusal that ended the thinking, if the budget did."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    """Steps as they end, for a run that is cut short."""
    alone: bool = False
    """Opened by its own graph, and closed when the graph concludes."""

    async def ask(
        self, request: Request, call_id: str, emit: Emit, *, landing: bool = False
    ) -> Reply:
        """One model call for a node: paid, streamed as events, and followed by the budget's state.

        Raises what `Model.ask` raises.
        """

        def tell(delta: Delta) -> None:
            if delta.reasoning:
                emit(Thinking(text=delta.reasoning, attempt=delta.attempt))
            if delta.text:
                emit(Text(text=delta.text, attempt=delta.attempt))

        try:
            return await self.model.ask(
                request,
                ledger=self.ledger,
                call_id=call_id,
                landing=landing,
                on_delta=tell if self.watched else None,
            )
        except BudgetExhausted as error:
            self.exhausted = self.exhausted or error
            raise
        finally:
            self.tell_state(emit)

    def tell_state(self, emit: Emit) -> None:
        """Emit what is spent and what remains."""
        if self.watched:
            spent, left = self.ledger.spent(), self.ledger.left()
            emit(BudgetState(spent=spent.as_dict(), left=left.as_dict()))

    def prompt(self, name: str, default: str) -> str:
        """A node's prompt, or the one that the model's profile has in its place."""
        return self.model.profile.prompts.get(name, default)

    def thinking_seconds(self) -> float | None:
        """Seconds until the final answer must be begun; None: no time limit."""
        left, limit = self.ledger.seconds_left(), self.ledger.budget.seconds
        if left is None:
            return None
        return max(0.0, left - min(LANDING_SECONDS, (limit if limit is not None else left) / 5))

    def note(self, node: str, reason: str, reply: Reply | None = None, **more: Any) -> None:
        """Add a step to the trace."""
        spent = (
            {}
            if reply is None
            else {
                "tokens": reply.usage.total_tokens,
                "seconds": round(reply.seconds, 3),
            }
        )
        self.trace.append({"node": node, "reason": reason, **spent, **more})

    async def conclude(self) -> list[dict[str, Any]]:
        """The whole trace; a run that its graph opened by itself ends here."""
        if self.alone:
            _RUNS.pop(self.key, None)
            await self.scope.aclose()
        return self.trace


_RUNS: dict[str, Run] = {}


@asynccontextmanager
async def open_run(
    model: Model,
    ledger: Ledger,
    toolbox: Toolbox | None = None,
    *,
    tell_budget: bool = False,
) -> AsyncIterator[Run]:
    """A run for the length of the block: pass `Context(run=run.key)` to a depth's graph."""
    key = ledger.key if ledger.key not in _RUNS else f"{ledger.key}.{uuid.uuid4().hex}"
    run = Run(ledger, model, toolbox or Toolbox(), key=key, tell_budget=tell_budget)
    _RUNS[run.key] = run
    try:
        yield run
    finally:
        _RUNS.pop(run.key, None)
        await run.scope.aclose()


def run_of(state: State, runtime: Runtime[Context]) -> Run:
    """The run that a node belongs to; a node writes `run.key` back into the state.

    Raises `NoBackend` where a run must be opened for a bare context and no model is configured.
    """
    context = runtime.context or Context()
    key = state.get("run") or context.run or uuid.uuid4().hex
    if key not in _RUNS:
        budget = Budget.parse(context.budget) if context.budget else Budget()
        model = resolve_model(context.model, base_url=context.base_url)
        toolbox = Toolbox(resolve_tools(context.tools), specs=model.profile.tool_specs)
        _RUNS[key] = Run(Ledger(budget, key=key), model, toolbox, key=key, alone=True)
    return _RUNS[key]
