"""Thread: a conversation that outlives the process, each question of it a run of its agent."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from langgraph.types import Command

from ..budgets import Budget, BudgetExhausted, Ledger, Usage
from ..errors import StorageFailed, WrongUsage
from ..graphs import Context, Event, OutputType, resolve_output
from ..graphs.history import messages_of
from ..models import BackendError, MalformedReply
from ..portal import run_blocking
from .answer import Answer
from .conversation import Conversation, Turn, conversation, exchanges_of, turns_in
from .pending import Pending, checked, pending_of, resume_with
from .plan import Plan
from .runner import Runner
from .spans import answered, begun, invoking
from .threads import ThreadStore
from .walking import streamed, walked

Emit = Callable[[Event], None]


class Thread:
    """One conversation. Made by `Agent.thread`.

    What is said is in its store after each step, and so is what was spent: a run that was killed
    goes on with `resume`, and a reply that had arrived is not paid again. A question takes the
    place of a run that was killed; one that waits for a decision must be resumed or undone first.

    Attributes:
        id: Its name in the store.
    """

    def __init__(
        self,
        runner: Runner,
        id: str,
        store: ThreadStore,
        budget: Budget | None,
        tenant: Ledger | None,
    ) -> None:
        self.id = id
        self._runner = runner
        self._store = store
        self._tenant = tenant
        store.ledger(id, tenant, budget)  # The limits are kept with the books.

    def run(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        output_type: Any = None,
    ) -> Answer:
        """Answer, and wait for it. Raises as `arun`."""
        return run_blocking(
            lambda: self.arun(
                question, depth=depth, budget=budget, effort=effort, output_type=output_type
            )
        )

    async def arun(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        output_type: Any = None,
    ) -> Answer:
        """Answer the question, with what was said before in mind.

        Args: as `Agent.arun`.

        Raises what `Agent.arun` raises, and `WrongUsage` where the thread is at work on a question
        or waits for a decision.
        """
        return await self._ask(question, depth, budget, effort, output_type, None)

    def astream(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        output_type: Any = None,
    ) -> AsyncGenerator[Event, None]:
        """The run's events as they happen; the last is `Answered`. See `Agent.astream`."""
        return streamed(lambda emit: self._ask(question, depth, budget, effort, output_type, emit))

    def resume(
        self, decisions: Mapping[str, Any] | None = None, *, output_type: Any = None
    ) -> Answer:
        """See `aresume`."""
        return run_blocking(lambda: self.aresume(decisions, output_type=output_type))

    async def aresume(
        self, decisions: Mapping[str, Any] | None = None, *, output_type: Any = None
    ) -> Answer:
        """Go on with a run that was killed, that failed, or that waits for a decision.

        One that failed over what the model said asks it anew, from the step that failed.

        Args:
            decisions: By the id of what is pending. Of a tool call: an `Approval`, True or False,
                `"approve"`, `"reject: why"`, or `{"approve": bool, "reason": str, "arguments": …}`.
                Of an answer to judge: what `Human` takes.
            output_type: That of the run, which its thread keeps as a schema only: without it, the
                output is plain values.

        Where not all is decided, the answer is `paused` again.

        Raises `WrongUsage` where nothing can be resumed, and what `arun` raises.
        """
        return await self._resume(decisions or {}, output_type, None)

    def astream_resume(
        self, decisions: Mapping[str, Any] | None = None, *, output_type: Any = None
    ) -> AsyncGenerator[Event, None]:
        """`aresume`, with the run's events as they happen; the last is `Answered`."""
        return streamed(lambda emit: self._resume(decisions or {}, output_type, emit))

    def pending(self) -> tuple[Pending, ...]:
        """See `apending`."""
        return run_blocking(self.apending)

    async def apending(self) -> tuple[Pending, ...]:
        """The decisions that the thread waits for."""
        async with self._graph() as (graph, config):
            return self._waiting(await graph.aget_state(config))

    async def ainterrupted(self) -> bool:
        """Whether a run was killed, failed, or waits for a decision: `resume` goes on with it."""
        async with self._graph() as (graph, config):
            return bool((await graph.aget_state(config)).next)

    def history(self) -> tuple[Turn, ...]:
        """See `ahistory`."""
        return run_blocking(self.ahistory)

    async def ahistory(self) -> tuple[Turn, ...]:
        """The turns so far, oldest first."""
        async with self._graph() as (graph, config):
            return turns_in((await graph.aget_state(config)).values)

    def undo(self) -> Turn | None:
        """See `aundo`."""
        return run_blocking(self.aundo)

    async def aundo(self) -> Turn | None:
        """Take back the last turn, or the run that waits or was killed (that gives None).

        What was spent stays spent.
        """
        async with self._store.at_work(self.id), self._graph() as (graph, config):
            snapshot = await graph.aget_state(config)
            turns = turns_in(snapshot.values)
            update: Conversation = {}
            gone: Turn | None = None
            if not snapshot.next:
                if not turns:
                    return None
                gone = turns[-1]
                notes = snapshot.values.get("notes")
                update = {"undone": [gone.number]}
                if notes is not None and notes["through"] >= gone.number:
                    update["notes"] = None
            await graph.aupdate_state(config, update, as_node="remember")
            self._note(await graph.aget_state(config))
            return gone

    def delete(self) -> None:
        """See `ThreadStore.adelete`."""
        self._store.delete(self.id)

    async def adelete(self) -> None:
        """See `ThreadStore.adelete`."""
        await self._store.adelete(self.id)

    def export(self) -> dict[str, Any]:
        """See `ThreadStore.aexport`."""
        return run_blocking(self.aexport)

    async def aexport(self) -> dict[str, Any]:
        """See `ThreadStore.aexport`."""
        return {**await self._store.aexport(self.id), "spent": self.spent().as_dict()}

    def spent(self) -> Usage:
        """What all runs of the thread have spent."""
        return self._account().spent()

    def left(self) -> Budget:
        """What the thread may still spend; None: no limit."""
        return self._account().left()

    def _account(self) -> Ledger:
        """The thread's account, opened for one run: the time between two runs is not spent."""
        return self._store.ledger(self.id, self._tenant)

    @asynccontextmanager
    async def _graph(self) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
        async with self._store.opened(self.id) as saver:
            yield conversation(saver), {"configurable": {"thread_id": self.id}}

    async def _ask(
        self,
        question: str,
        depth: str | None,
        budget: Budget | str | None,
        effort: str | None,
        output_type: Any,
        emit: Emit | None,
    ) -> Answer:
        plan = self._runner.plan(question, depth, budget, effort, output_type)
        async with self._store.at_work(self.id), self._graph() as (graph, config):
            snapshot = await graph.aget_state(config)
            if waiting := self._waiting(snapshot):
                raise WrongUsage(
                    f"thread {self.id!r} waits for {len(waiting)} decisions: resume it with them, "
                    "or undo what waits"
                )
            values: Conversation = snapshot.values
            number = values.get("number", 0) + 1
            history = messages_of(values.get("notes"), exchanges_of(values))
            key = f"{number}-{uuid.uuid4().hex[:8]}"
            self._store.paid_by(self.id, self._tenant)
            ledger = self._runner.account(self._account(), plan, history, key)
            given: Any = {
                "question": plan.question,
                "depth": plan.depth,
                "effort": effort,
                "output": None if plan.output is None else _kept(plan.output),
                "run": ledger.key,
                "number": number,
                "outcome": {},
            }
            self._note(snapshot, plan.question)  # A thread that is killed in its first run is one.
            return await self._walk(graph, plan, ledger, given, emit)

    async def _resume(
        self, decisions: Mapping[str, Any], output_type: Any, emit: Emit | None
    ) -> Answer:
        async with self._store.at_work(self.id), self._graph() as (graph, config):
            snapshot = await graph.aget_state(config)
            if not snapshot.next:
                raise WrongUsage(f"thread {self.id!r} has no run to resume: ask it something")
            values: Conversation = snapshot.values
            asked = pending_of(self.id, snapshot.interrupts)
            decided = checked(asked, decisions)
            self._check_edits(asked, decided)
            # Written down first: LangGraph keeps a decision only when the step it is for has ended.
            self._store.decide(self.id, decided)
            kept = self._store.decided(self.id)
            said = resume_with({one.id: kept[one.id] for one in asked if one.id in kept})
            self._store.paid_by(self.id, self._tenant)
            ledger = self._account().child(values["run"].rpartition("/")[2])
            plan = self._runner.plan(
                values["question"],
                values["depth"],
                effort=values["effort"],
                output_type=_type_of(values) if output_type is None else output_type,
            )
            plan = replace(plan, limits=ledger.budget, reason="resumed")
            # Without a decision, what waits would only be asked again.
            given: Any = Command(resume=said) if said else None
            return await self._walk(graph, plan, ledger, given, emit)

    def _check_edits(self, asked: Sequence[Pending], decided: Mapping[str, Any]) -> None:
        """Raises `WrongUsage` for arguments that a tool cannot be called with."""
        for one in asked:
            said = decided.get(one.id)
            edited = said.get("arguments") if isinstance(said, dict) else None
            wrong = None if edited is None else self._runner.toolbox.wrong(one.tool, edited)
            if wrong is not None:
                raise WrongUsage(f"{one.tool} cannot be called with {edited}: {wrong.text}")

    async def _walk(
        self, graph: Any, plan: Plan, ledger: Ledger, given: Any, emit: Emit | None
    ) -> Answer:
        config = {"configurable": {"thread_id": self.id}}
        with invoking() as span:
            begun(plan.question, (), ledger, plan.limits)
            async with self._runner.opened(ledger, plan, emit) as run:
                run.attachments += self._store.made(self.id, ledger)
                try:
                    await walked(graph, given, Context(run=run.key), emit, thread_id=self.id)
                except Exception as error:
                    if _over_what_was_said(error):
                        self._store.outdate(self.id, ledger, self._runner.toolbox.acting)
                    raise
                finally:
                    # Cancelled or not, what is in the store now is what the list must say.
                    snapshot = await asyncio.shield(graph.aget_state(config))
                    self._note(snapshot)
                waiting = self._waiting(snapshot)
                outcome: Mapping[str, Any] = snapshot.values["outcome"]
                if waiting:
                    outcome = {"text": run.best, "stopped": "paused"}
                more = {"thread": self.id, "pending": waiting}
                return answered(span, self._runner.concluded(plan, run, outcome, **more))

    def _note(self, snapshot: Any, question: str = "") -> None:
        turns = turns_in(snapshot.values)
        title = turns[0].question if turns else question or snapshot.values.get("question", "")
        tokens = self.spent().total_tokens
        self._store.note(self.id, title, len(turns), len(self._waiting(snapshot)), tokens)

    def _waiting(self, snapshot: Any) -> tuple[Pending, ...]:
        return self._store.waiting(self.id, snapshot.interrupts)


def _over_what_was_said(error: Exception) -> bool:
    """Whether a run failed over a reply, which would fail it again, and not for want of one."""
    wanting = isinstance(error, BackendError | BudgetExhausted | StorageFailed)
    return isinstance(error, MalformedReply) or not wanting


def _kept(output: OutputType) -> dict[str, Any]:
    return {"name": output.name, "schema": output.schema}


def _type_of(values: Conversation) -> OutputType | None:
    """The type of a run's output, as its thread kept it: asked for under the same name again."""
    kept = values.get("output")
    return None if kept is None else resolve_output(kept["schema"], name=kept["name"])
