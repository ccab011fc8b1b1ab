"""Run: the live things behind a context: ledger, model, tools. Looked up by the run's key."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from langgraph.runtime import Runtime

from ..budgets import Budget, BudgetExhausted, Ledger
from ..errors import WrongUsage
from ..models import Delta, Model, Reply, Request, resolve_model
from ..tools.registry import resolve_tools
from ..tools.tool import Scope
from ..tools.toolbox import Toolbox, ToolResult
from .answers import comparable
from .events import BudgetState, Text, Thinking
from .state import Context, State

ABANDONED = 600.0
"""Seconds without a node after which a run that its graph opened counts as abandoned."""

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
    memory: dict[str, ToolResult] = field(default_factory=dict)
    """Tool calls already made, by name and arguments."""
    scope: Scope = field(default_factory=Scope)
    best: str = ""
    """The best candidate so far: what a run that is cut short answers. Set by `offer`."""
    whole: bool = False
    """Whether the best candidate is a finished reply, and not the beginning of one."""
    exhausted: BudgetExhausted | None = None
    """The refusal that ended the thinking, if the budget did."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    """Steps as they end, for a run that is cut short."""
    alone: bool = False
    """Opened by its own graph, and closed when the graph concludes."""
    timer: asyncio.TimerHandle | None = None
    """Closes a run that its graph opened and then left without concluding."""

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

    def offer(self, text: str, *, whole: bool) -> None:
        """A candidate for the answer.

        Only another stated answer displaces a stated one, and only a longer fragment a fragment.
        """
        if whole:
            better = comparable(text) is not None or not self.states_answer()
        else:
            better = not self.whole and len(text) > len(self.best)
        if text.strip() and better:
            self.best, self.whole = text, whole

    def states_answer(self) -> bool:
        """Whether the best candidate is finished and says in so many words what its answer is."""
        return self.whole and comparable(self.best) is not None

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
        if reply is not None:
            more |= {"tokens": reply.usage.total_tokens, "seconds": round(reply.seconds, 3)}
        self.trace.append({"node": node, "reason": reason, **more})

    async def conclude(self) -> list[dict[str, Any]]:
        """The whole trace; a run that its graph opened by itself ends here."""
        if self.alone:
            if self.timer is not None:
                self.timer.cancel()
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


@asynccontextmanager
async def run_of(state: State, runtime: Runtime[Context]) -> AsyncIterator[Run]:
    """The run that a node belongs to; a node writes `run.key` back into the state.

    A run that its graph opened by itself ends when a node fails, or when no node comes for
    `ABANDONED` seconds.

    Raises `NoBackend` where a run must be opened for a bare context and no model is configured,
    and `WrongUsage` for the key of a run that is not open here.
    """
    run = _find(state, runtime)
    if run.timer is not None:
        run.timer.cancel()
    try:
        yield run
    except BaseException:
        await run.conclude()
        raise
    if run.alone and run.key in _RUNS:
        loop = asyncio.get_running_loop()
        run.timer = loop.call_later(ABANDONED, lambda: loop.create_task(run.conclude()))


def _find(state: State, runtime: Runtime[Context]) -> Run:
    context = runtime.context or Context()
    key = state.get("run") or context.run
    if key:
        if key not in _RUNS:
            raise WrongUsage(
                f"run {key!r} (limits {state.get('limits')}) is not open here, and without its "
                "ledger it would start from a fresh budget: open_run(model, Ledger(budget, "
                f"key={key!r}, store=…)) around the graph"
            )
        return _RUNS[key]
    budget = Budget.parse(context.budget) if context.budget else Budget()
    model = resolve_model(context.model, base_url=context.base_url)
    toolbox = Toolbox(resolve_tools(context.tools), specs=model.profile.tool_specs)
    run = Run(Ledger(budget), model, toolbox, alone=True)
    run.key = run.ledger.key
    _RUNS[run.key] = run
    return run
