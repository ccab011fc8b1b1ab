"""Agent: a model, its tools and a budget, ready to answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..budgets import Budget, Ledger, Price
from ..errors import WrongUsage
from ..graphs import (
    DEPTHS,
    Calibration,
    Classifier,
    Context,
    Event,
    Run,
    Settings,
    Verifier,
    effort_of,
    resolve_verifier,
)
from ..graphs.approvals import Approver, resolve_approver
from ..models import Message, Model, Request, resolve_model, user
from ..models.messages import prompt_bound
from ..portal import run_blocking
from ..tools.registry import resolve_tools
from ..tools.toolbox import Toolbox
from .answer import Answer
from .estimate import Estimate, estimate
from .plan import Plan
from .runner import Runner, asked_of, budget_of, known_depth
from .spans import answered, begun, invoking
from .thread import Thread
from .threads import ThreadStore
from .walking import streamed, walked, within_deadline


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
            `ApprovalRequest` to `Approval`; `"all"` to approve every call; `"ask"` to pause a
            thread's run until somebody has decided. None: all are refused.
        on_exhausted: `"answer"` gives the best candidate when the budget ends; `"raise"` raises
            `BudgetExhausted`.
        ledger: Pays for every run beside the run's own budget: a tenant's, or a durable one.
        threads: Where its threads live: a folder, or a store. None: among the user's data.

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
        approve: Approver | Literal["all", "ask"] | None = None,
        on_exhausted: Literal["answer", "raise"] = "answer",
        ledger: Ledger | None = None,
        threads: ThreadStore | str | Path | None = None,
    ) -> None:
        if isinstance(tools, str):
            raise WrongUsage(f"tools={tools!r}: give a list of tools")
        if price is not None and not isinstance(price, Price):
            raise WrongUsage(f"price={price!r}: give a Price")
        if isinstance(model, Model) and (base_url or api_key or price):
            raise WrongUsage("a Model has its own address, key and price: give them to the Model")
        if on_exhausted not in ("answer", "raise"):
            raise WrongUsage(f"on_exhausted={on_exhausted!r}: choose answer or raise")
        limits, deep, resolved = budget_of(budget), known_depth(depth), resolve_tools(tools)
        self.model = (
            model
            if isinstance(model, Model)
            else resolve_model(model, base_url=base_url, api_key=api_key, price=price)
        )
        self._runner = Runner(
            model=self.model,
            larger=larger,
            toolbox=Toolbox(resolved, specs=self.model.profile.tool_specs),
            budget=limits,
            depth=deep,
            effort=None if effort is None else effort_of(effort),
            settings=settings or Settings(),
            verifier=None if verifier is None else resolve_verifier(verifier),
            classifier=classifier,
            calibration=calibration,
            tell_budget=tell_budget,
            approver=resolve_approver(approve),
            raises=on_exhausted == "raise",
        )
        self._ledger = ledger
        self._threads = threads

    def run(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        history: Sequence[Message] = (),
        output_type: Any = None,
    ) -> Answer:
        """Answer, and wait for it; in async code, use `arun`. Raises as `arun`."""
        return run_blocking(
            lambda: self.arun(
                question,
                depth=depth,
                budget=budget,
                effort=effort,
                history=history,
                output_type=output_type,
            )
        )

    async def arun(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        history: Sequence[Message] = (),
        output_type: Any = None,
        key: str = "",
    ) -> Answer:
        """Answer the question.

        Args:
            depth: In place of the agent's own.
            budget: Limits in place of the agent's own, one by one.
            effort: In place of the agent's own.
            history: Earlier turns of the conversation, oldest first.
            output_type: What `Answer.output` is to be: a pydantic model, a dataclass or another
                type that pydantic validates, or a JSON schema as a dict. None: text only.
            key: Names the run's account, and so its calls, below the agent's ledger: a run that is
                made again under the same name goes on with what it has spent, and replies that the
                ledger's recorder kept are not paid again. Empty: a name of its own.

        Raises:
            WrongUsage: an empty question, an unknown depth, a malformed budget, no type.
            InvalidOutput: the model answered, and never with an output of the type. A budget or
                a time that ends before is no error: the output then is None.
            BackendError: the type says how the backend failed.
            BudgetExhausted: only with `on_exhausted="raise"`.
        """
        return await self._answer(
            question, depth, budget, effort, history, output_type, None, key=key
        )

    def astream(
        self,
        question: str,
        *,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        history: Sequence[Message] = (),
        output_type: Any = None,
    ) -> AsyncGenerator[Event, None]:
        """The run's events as they happen; the last is `Answered`. Raises as `arun`.

        Leaving it early cancels the run and closes its connections: at once inside
        `contextlib.aclosing`, else when the generator is collected.
        """
        return streamed(
            lambda emit: self._answer(question, depth, budget, effort, history, output_type, emit)
        )

    def thread(self, id: str, *, budget: Budget | str | None = None) -> Thread:
        """The conversation of that name: a new one, or one that goes on.

        Args:
            budget: Limits of the whole thread, kept with it; each run has the agent's own beside.

        Raises `WrongUsage` for a name that cannot be one, and where the store cannot be used.
        """
        limits = None if budget is None else budget_of(budget)
        return Thread(self._runner, id, self.threads, limits, self._ledger)

    def resume(
        self,
        thread: str,
        decisions: Mapping[str, Any] | None = None,
        *,
        output_type: Any = None,
    ) -> Answer:
        """Go on with the run that a thread was in. See `Thread.aresume`."""
        return self.thread(thread).resume(decisions, output_type=output_type)

    @property
    def threads(self) -> ThreadStore:
        """Where this agent's threads live."""
        if not isinstance(self._threads, ThreadStore):
            self._threads = ThreadStore(self._threads)
        return self._threads

    def estimate(self, question: str) -> Mapping[str, Estimate]:
        """What each depth would likely cost, from the replies seen so far. Spends nothing."""
        specs = self._runner.toolbox.specs
        size = prompt_bound(
            Request(messages=[user(asked_of(question))], tools=specs),
            self.model.profile.allowance,
        )
        return {
            name: estimate(
                depth,
                size,
                tools=bool(specs),
                typical=self.model.typical,
                price=self.model.price,
                budget=self._runner.budget,
            )
            for name, depth in DEPTHS.items()
        }

    async def aclose(self) -> None:
        """Close this event loop's connections. They also close when the loop ends."""
        for model in self._runner.models:
            await model.aclose()

    async def _answer(
        self,
        question: str,
        depth: str | None,
        budget: Budget | str | None,
        effort: str | None,
        history: Sequence[Message],
        output_type: Any,
        emit: Callable[[Event], None] | None,
        *,
        key: str = "",
    ) -> Answer:
        with invoking() as span:
            runner = self._runner
            if runner.pauses:
                raise WrongUsage(
                    f"{runner.pauses} pauses a run, and only a thread can go on after a pause: "
                    "use agent.thread(id).run"
                )
            plan = runner.plan(question, depth, budget, effort, output_type)
            ledger = runner.account(self._ledger, plan, history, key)
            begun(plan.question, history, ledger, plan.limits)
            async with runner.opened(ledger, plan, emit) as run:
                outcome = await _walk(run, plan, history, emit)
            return answered(span, runner.concluded(plan, run, outcome))


async def _walk(
    run: Run, plan: Plan, history: Sequence[Message], emit: Callable[[Event], None] | None
) -> Mapping[str, Any]:
    """Walk the depth's graph. A deadline that it overruns cuts it off, with what it has."""
    given = {"question": plan.question, "history": list(history)}
    try:
        async with within_deadline(run.ledger):
            return await walked(DEPTHS[plan.depth].graph, given, Context(run=run.key), emit)
    except TimeoutError:
        run.note("agent", "cut off at the deadline")
        return {}
