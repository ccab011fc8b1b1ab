"""Opening runs: by a caller, by a node for a branch, or by a graph that works alone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from ..budgets import Budget, Ledger
from ..errors import MullError, WrongUsage
from ..models import Model, resolve_model
from ..telemetry import Span, span, totals
from ..tools.registry import resolve_tools
from ..tools.tool import Scope
from ..tools.toolbox import Toolbox
from .approvals import Approver, refuse
from .difficulty import Calibration, Cascade, Classifier
from .events import BranchStarted
from .output import OutputType
from .run import Emit, Run
from .settings import Settings
from .state import Context, State
from .verifiers.registry import resolve_verifier
from .verifiers.verifier import Verifier

ABANDONED = 600.0
"""Seconds without a node after which a run that its graph opened counts as abandoned."""

RUNS: dict[str, Run] = {}
"""The runs and branches that are open in this process, by key."""


@asynccontextmanager
async def open_run(
    model: Model,
    ledger: Ledger,
    toolbox: Toolbox | None = None,
    *,
    settings: Settings | None = None,
    verifier: Verifier | None = None,
    output: OutputType | None = None,
    larger: Model | None = None,
    classifier: Classifier | None = None,
    calibration: Calibration | None = None,
    tell_budget: bool = False,
    approver: Approver = refuse,
) -> AsyncIterator[Run]:
    """A run for the length of the block: pass `Context(run=run.key)` to a depth's graph."""
    key = ledger.key if ledger.key not in RUNS else f"{ledger.key}.{uuid.uuid4().hex}"
    run = Run(
        ledger,
        model,
        toolbox or Toolbox(),
        key=key,
        settings=settings or Settings(),
        verifier=verifier,
        output=output,
        larger=larger,
        classifier=classifier or Cascade(),
        calibration=calibration,
        tell_budget=tell_budget,
        approver=approver,
    )
    async with _registered(run):
        yield run


@asynccontextmanager
async def open_branch(
    run: Run, name: str, emit: Emit, *, varied: bool = False, model: Model | None = None
) -> AsyncIterator[Run]:
    """A branch of a run for the length of the block: its own ledger, tools' scope and candidate.

    Its steps become the run's, under the branch's name. Raises `WrongUsage` where a branch of that
    name is at work: two graphs would share one run's race and candidate.
    """
    if f"{run.key}/{name}" in RUNS:
        raise WrongUsage(
            f"run {run.key!r} is at work on a question: one at a time. For several at once, open "
            "a run for each, below ledger.child(…)"
        )
    path = name if run.parent is None else f"{run.branch}/{name}"
    branch = Run(
        run.ledger.child(name),
        model or run.model,
        run.toolbox,
        key=f"{run.key}/{name}",
        settings=run.settings,
        verifier=run.verifier,
        output=run.output,
        larger=run.larger,
        classifier=run.classifier,
        calibration=run.calibration,
        tell_budget=run.tell_budget,
        watched=run.watched,
        approver=run.approver,
        memo=run.memo,
        scope=Scope(path),
        parent=run,
        varied=varied or run.varied,
    )
    if run.watched:
        emit(BranchStarted(branch=path))
    with span(f"branch {path}", {"mull.branch": path}, fails=MullError) as seen:
        async with _registered(branch):
            try:
                yield branch
            finally:
                run.exhausted = run.exhausted or branch.exhausted
                run.attachments += branch.attachments
                run.trace += [{"branch": path, **step} for step in branch.trace]
                _tell(seen, branch)


def _tell(seen: Span, branch: Run) -> None:
    """Tell a branch's span what came of it."""
    if seen.recording:
        seen.set(totals("mull.usage", branch.ledger.spent().as_dict()))
        if branch.failure is not None:
            seen.fail(type(branch.failure).__qualname__, str(branch.failure))


@asynccontextmanager
async def _registered(run: Run) -> AsyncIterator[None]:
    RUNS[run.key] = run
    try:
        yield
    finally:
        RUNS.pop(run.key, None)
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
    run.nodes += 1
    if not run.best:
        # In another life of the run, perhaps: what it had said is in the state. A step that called
        # no tool is there only where it was cut off.
        for message in state.get("messages", ()):
            if message.get("tool_calls"):
                run.offer(message["content"], whole=True)
    try:
        yield run
    except GraphBubbleUp:
        raise  # An interrupt: the graph comes back to it.
    except BaseException:
        await run.conclude()
        raise
    finally:
        run.nodes -= 1
        if run.forget is not None and not run.nodes and run.key in RUNS:
            loop = asyncio.get_running_loop()
            run.timer = loop.call_later(ABANDONED, lambda: loop.create_task(run.conclude()))


def _find(state: State, runtime: Runtime[Context]) -> Run:
    context = runtime.context or Context()
    key = state.get("run") or context.run
    if key:
        if key not in RUNS:
            raise WrongUsage(
                f"run {key!r} (limits {state.get('limits')}) is not open here, and without its "
                "ledger it would start from a fresh budget: open_run(model, Ledger(budget, "
                f"key={key!r}, store=…)) around the graph"
            )
        return RUNS[key]
    budget = Budget.parse(context.budget) if context.budget else Budget()
    model = resolve_model(context.model, base_url=context.base_url)
    toolbox = Toolbox(resolve_tools(context.tools), specs=model.profile.tool_specs)
    run = Run(
        Ledger(budget),
        model,
        toolbox,
        settings=context,
        verifier=resolve_verifier(context.verifier) if context.verifier else None,
    )
    run.key = run.ledger.key
    run.forget = partial(_forget, run.key)
    RUNS[run.key] = run
    return run


def _forget(key: str) -> None:
    RUNS.pop(key, None)
