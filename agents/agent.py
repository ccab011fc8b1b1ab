"""Agent: a model, its tools and a budget, ready to answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, cast

from ..budgets import FREE, Budget, BudgetExhausted, Ledger, Price
from ..budgets.account import Refuse
from ..budgets.usage import SMALLEST
from ..errors import WrongUsage
from ..graphs import (
    DEPTHS,
    Calibration,
    Classifier,
    Context,
    DepthChosen,
    Event,
    Run,
    Settings,
    Stopped,
    Verifier,
    effort_of,
    open_run,
    resolve_verifier,
)
from ..graphs.approvals import Approver, resolve_approver
from ..graphs.nodes.land import slice_for
from ..graphs.verifiers import Human
from ..models import Message, Model, Request, resolve_model, user
from ..models.messages import prompt_bound
from ..portal import run_blocking
from ..tools.registry import resolve_tools
from ..tools.toolbox import Toolbox
from .answer import Answer, Answered
from .estimate import Estimate, estimate

RECURSION_LIMIT = 1000
"""Supersteps of one graph; the loop guard ends a circle long before."""

GRACE = 0.25
"""Seconds after the deadline in which a run may still hand over what it has."""


class Agent:
    """Answers questions under a budget that cannot be exceeded.

    Args:
        model: A model's name (`"demo"` is built in) or a `Model`. None: from the environment or
            `mull.toml`.
        base_url: Address of the OpenAI-compatible backend, up to and with `/v1`.
        api_key: Its key, if it wants one.
        price: What the model costs, for budgets in dollars.
        tools: Names of built-in tools, typed functions, LangChain tools, or `Tool` objects.
        budget: Limits of each run: a `Budget`, or text as for `Budget.parse`.
        depth: `"auto"` chooses; or `"direct"`, `"reason"`, `"reflect"`, `"vote"`, `"search"`.
        effort: `"low"`, `"medium"`, `"high"` or `"max"`: a budget and the deepest depth, for people
            who do not want to think in tokens. A budget or depth that is given wins over it.
        verifier: Scores candidates: a built-in one's name, a function of yours, or a `Verifier`.
        larger: A second, dearer model that `auto` may turn to.
        settings: How far the depths may go.
        classifier: Estimates how hard a question is, for `auto`.
        calibration: What was learned of this model, for `auto`.
        tell_budget: Tell the model what remains.
        approve: Who is asked before each call of a tool with side effects: an async function from
            `ApprovalRequest` to `Approval`, or `"all"` to approve every call. None: all are
            refused.
        on_exhausted: `"answer"` gives the best candidate when the budget ends; `"raise"` raises
            `BudgetExhausted`.
        ledger: Pays for every run beside the run's own budget: a tenant's, or a durable one.

    Raises `NoBackend` when no model is configured, `WrongUsage` for an unknown depth or tool.
    """

    def __init__(
        self,
        model: str | Model | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        price: Price | None = None,
        tools: Sequence[Any] = (),
        budget: Budget | str | None = None,
        depth: str = "auto",
        effort: str | None = None,
        verifier: str | Verifier | Callable[..., Any] | None = None,
        larger: Model | None = None,
        settings: Settings | None = None,
        classifier: Classifier | None = None,
        calibration: Calibration | None = None,
        tell_budget: bool = False,
        approve: Approver | Literal["all"] | None = None,
        on_exhausted: Literal["answer", "raise"] = "answer",
        ledger: Ledger | None = None,
    ) -> None:
        self.budget = _budget(budget)
        self.depth = _known_depth(depth)
        self._effort = None if effort is None else effort_of(effort)
        self._settings = settings or Settings()
        self._verifier = None if verifier is None else resolve_verifier(verifier)
        if isinstance(self._verifier, Human):
            raise WrongUsage(
                "a person as the verifier needs a graph with a checkpointer to pause in: use "
                "DEPTHS[…].graph with open_run"
            )
        self._larger, self._classifier, self._calibration = larger, classifier, calibration
        if isinstance(tools, str):
            raise WrongUsage(f"tools={tools!r}: give a list of tools")
        if price is not None and not isinstance(price, Price):
            raise WrongUsage(f"price={price!r}: give a Price")
        resolved = resolve_tools(tools)
        if isinstance(model, Model) and (base_url or api_key or price):
            raise WrongUsage("a Model has its own address, key and price: give them to the Model")
        self.model = (
            model
            if isinstance(model, Model)
            else resolve_model(model, base_url=base_url, api_key=api_key, price=price)
        )
        self._toolbox = Toolbox(resolved, specs=self.model.profile.tool_specs)
        self._tell_budget = tell_budget
        self._approver = resolve_approver(approve)
        if on_exhausted not in ("answer", "raise"):
            raise WrongUsage(f"on_exhausted={on_exhausted!r}: choose answer or raise")
        self._on_exhausted = on_exhausted
        self._ledger = ledger

    def run(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        history: Sequence[Message] = (),
    ) -> Answer:
        """Answer, and wait for it; in async code, use `arun`. Raises as `arun`."""
        return run_blocking(
            lambda: self.arun(question, depth=depth, budget=budget, effort=effort, history=history)
        )

    async def arun(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        history: Sequence[Message] = (),
    ) -> Answer:
        """Answer the question.

        Args:
            depth: In place of the agent's own.
            budget: Limits in place of the agent's own, one by one.
            effort: In place of the agent's own.
            history: Earlier turns of the conversation, oldest first.

        Raises:
            WrongUsage: an empty question, an unknown depth, a malformed budget.
            BackendError: the type says how the backend failed.
            BudgetExhausted: only with `on_exhausted="raise"`.
        """
        return await self._answer(question, depth, budget, effort, history, None)

    async def astream(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        history: Sequence[Message] = (),
    ) -> AsyncGenerator[Event, None]:
        """The run's events as they happen; the last is `Answered`. Raises as `arun`.

        Leaving it early cancels the run and closes its connections: at once inside
        `contextlib.aclosing`, else when the generator is collected.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        work = asyncio.create_task(
            self._answer(question, depth, budget, effort, history, events.put_nowait)
        )
        work.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield Answered(answer=await work)
        finally:
            work.cancel()
            await asyncio.wait([work])

    def estimate(self, question: str) -> Mapping[str, Estimate]:
        """What each depth would likely cost, from the replies seen so far. Spends nothing."""
        specs = self._toolbox.specs
        size = prompt_bound(
            Request(messages=[user(_asked(question))], tools=specs),
            self.model.profile.allowance,
        )
        return {
            name: estimate(
                depth,
                size,
                tools=bool(specs),
                typical=self.model.typical,
                price=self.model.price,
                budget=self.budget,
            )
            for name, depth in DEPTHS.items()
        }

    @property
    def _models(self) -> tuple[Model, ...]:
        return (self.model,) if self._larger is None else (self.model, self._larger)

    async def aclose(self) -> None:
        """Close this event loop's connections. They also close when the loop ends."""
        for model in self._models:
            await model.aclose()

    async def _answer(
        self,
        question: str,
        depth: str | None,
        budget: Budget | str | None,
        effort: str | None,
        history: Sequence[Message],
        emit: Callable[[Event], None] | None,
    ) -> Answer:
        asked = _asked(question)
        name = self.depth if depth is None else _known_depth(depth)
        dial = self._effort if effort is None else effort_of(effort)
        limits = self.budget.merged(_budget(budget))
        if dial is not None and limits == Budget():
            limits = dial.budget
        if limits.cost is not None and all(model.price == FREE for model in self._models):
            raise WrongUsage("a limit in dollars needs a price: without one, every call costs 0")
        ledger = self._open_ledger(asked, history, limits)
        async with open_run(
            self.model,
            ledger,
            self._toolbox,
            settings=self._settings if dial is None else dial.applied(self._settings),
            verifier=self._verifier,
            larger=self._larger,
            classifier=self._classifier,
            calibration=self._calibration,
            tell_budget=self._tell_budget,
            approver=self._approver,
        ) as run:
            run.watched = emit is not None
            reason = "the agent's own" if depth is None else "asked for"
            run.note("agent", f"depth {name}: {reason}")
            if emit is not None:
                emit(DepthChosen(depth=name, reason=reason))
            outcome = await self._walk(run, name, asked, history, emit)
        answer = Answer(
            text=outcome.get("text", run.best),
            confidence=outcome.get("confidence"),
            depth=outcome.get("reached") or name,
            difficulty=outcome.get("difficulty"),
            stopped=outcome.get("stopped", "deadline"),
            usage=ledger.spent(),
            budget=limits,
            trace=tuple(run.trace),
            attachments=tuple(run.attachments),
        )
        if self._on_exhausted == "raise" and answer.stopped in ("budget", "deadline"):
            error = run.exhausted or _ended(ledger, answer.stopped)
            if error is not None:
                raise error
        return answer

    def _open_ledger(self, question: str, history: Sequence[Message], limits: Budget) -> Ledger:
        """The run's account, with the final answer's slice held back."""
        tenant, key = self._ledger, uuid.uuid4().hex
        room = limits if tenant is None else limits.within(tenant.left())
        landing = slice_for(question, history, self.model.profile, room, self.model.price)
        if tenant is None:
            return Ledger(limits, key=key, landing=landing)
        return tenant.child(key, limits, landing=landing)

    async def _walk(
        self,
        run: Run,
        depth: str,
        question: str,
        history: Sequence[Message],
        emit: Callable[[Event], None] | None,
    ) -> Mapping[str, Any]:
        """Walk the depth's graph. A deadline that it overruns cuts it off, with what it has."""
        graph = DEPTHS[depth].graph
        given: Any = {"question": question, "history": list(history)}
        config: Any = {"recursion_limit": RECURSION_LIMIT}
        context = Context(run=run.key)
        left = run.ledger.seconds_left()
        outcome: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(None if left is None else left + GRACE):
                if emit is None:
                    outcome = await graph.ainvoke(given, config, context=context)
                    return outcome
                async for part in graph.astream(
                    given,
                    config,
                    context=context,
                    stream_mode=["custom", "values"],
                    subgraphs=True,
                    version="v2",
                ):
                    if part["type"] == "custom":
                        emit(part["data"])
                    elif not part["ns"]:
                        outcome = cast(Mapping[str, Any], part["data"])
                return outcome
        except TimeoutError:
            run.note("agent", "cut off at the deadline")
            return {}


def _ended(ledger: Ledger, stopped: Stopped) -> BudgetExhausted | None:
    """The end of a run that was never refused a call: its time was up, or a reply cut short.

    None where no budget was the reason: the reply had reached the model's own limit.
    """
    if stopped == "deadline":
        return BudgetExhausted(ledger.key, ledger.budget)
    left = ledger.left()
    if left.calls == 0:
        lack = Refuse(ledger.key, "calls", Decimal(1), Decimal(0))
    elif left.tokens is not None:
        free = Decimal(left.tokens)
        lack = Refuse(ledger.key, "tokens", free + 1, free)
    elif left.cost is not None:
        lack = Refuse(ledger.key, "cost", left.cost + SMALLEST, left.cost)
    else:
        return None
    return BudgetExhausted(ledger.key, ledger.budget, lack)


def _asked(question: str) -> str:
    if not isinstance(question, str):
        raise WrongUsage(f"the question is {type(question).__name__}: give text")
    if not question.strip():
        raise WrongUsage("the question is empty: ask something")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise WrongUsage(f"the question is not Unicode text: {error}") from None
    return question


def _budget(budget: Budget | str | None) -> Budget:
    if budget is None:
        return Budget()
    if not isinstance(budget, Budget | str):
        raise WrongUsage(f"budget {budget!r}: give a Budget, or text such as 'tokens=8000'")
    return Budget.parse(budget) if isinstance(budget, str) else budget


def _known_depth(depth: str) -> str:
    if depth not in DEPTHS:
        known = "; ".join(f"{name} ({known.about})" for name, known in DEPTHS.items())
        raise WrongUsage(f"there is no depth {depth!r}. Known: {known}")
    return depth
