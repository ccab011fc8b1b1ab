"""Runner: what an agent and its threads have in common: planning, opening, concluding a run."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..budgets import FREE, Budget, BudgetExhausted, Ledger
from ..budgets.account import Refuse
from ..budgets.usage import SMALLEST
from ..errors import WrongUsage
from ..graphs import (
    DEPTHS,
    Calibration,
    Classifier,
    DepthChosen,
    Event,
    Run,
    Settings,
    Stopped,
    Verifier,
    effort_of,
    open_run,
    resolve_output,
)
from ..graphs.approvals import Approver, ask
from ..graphs.effort import Effort
from ..graphs.nodes.land import slice_for
from ..graphs.verifiers import Human
from ..models import Message, Model
from ..tools.toolbox import Toolbox
from .answer import Answer
from .plan import Plan

Emit = Callable[[Event], None]

UNVERIFIED = ("direct", "reason")
"""Depths that ask no verifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """What an agent was given, checked. See `Agent` for each of them."""

    model: Model
    larger: Model | None
    toolbox: Toolbox
    budget: Budget
    depth: str
    effort: Effort | None
    settings: Settings
    verifier: Verifier | None
    classifier: Classifier | None
    calibration: Calibration | None
    tell_budget: bool
    approver: Approver
    raises: bool
    """Whether the end of the budget is raised."""

    @property
    def models(self) -> tuple[Model, ...]:
        """Those that it may call."""
        return (self.model,) if self.larger is None else (self.model, self.larger)

    @property
    def pauses(self) -> str:
        """What pauses its runs until a person has decided; empty: nothing does."""
        if self.approver is ask:
            return "approve='ask'"
        return "a person as the verifier" if isinstance(self.verifier, Human) else ""

    def plan(
        self,
        question: str,
        depth: str | None = None,
        budget: Budget | str | None = None,
        effort: str | None = None,
        output_type: Any = None,
    ) -> Plan:
        """What a run is to do, from a call's arguments and the agent's own. Raises `WrongUsage`."""
        asked = asked_of(question)
        dial = self.effort if effort is None else effort_of(effort)
        limits = self.budget.merged(budget_of(budget))
        if dial is not None and limits == Budget():
            limits = dial.budget
        if limits.cost is not None and all(model.price == FREE for model in self.models):
            raise WrongUsage(
                "a limit in dollars needs a price: without one, every call costs 0. Give price=, "
                "or a table [price] in mull.toml"
            )
        deep = self.depth if depth is None else known_depth(depth)
        if isinstance(self.verifier, Human) and deep in UNVERIFIED:
            raise WrongUsage(
                f"depth {deep} asks no verifier, and so no person: choose reflect, vote, search or "
                "auto"
            )
        return Plan(
            question=asked,
            depth=deep,
            reason="the agent's own" if depth is None else "asked for",
            limits=limits,
            settings=self.settings if dial is None else dial.applied(self.settings),
            output=None if output_type is None else resolve_output(output_type),
        )

    def account(
        self, payer: Ledger | None, plan: Plan, history: Sequence[Message], key: str = ""
    ) -> Ledger:
        """A new run's account, below `payer`, with the final answer's slice held back."""
        limits, key = plan.limits, key or uuid.uuid4().hex
        room = limits if payer is None else limits.within(payer.left())
        landing = slice_for(
            plan.question, history, self.model.profile, room, self.model.price, plan.output
        )
        if payer is None:
            return Ledger(limits, key=key, landing=landing)
        return payer.child(key, limits, landing=landing)

    @asynccontextmanager
    async def opened(self, ledger: Ledger, plan: Plan, emit: Emit | None) -> AsyncIterator[Run]:
        """The run, while it is alive."""
        async with open_run(
            self.model,
            ledger,
            self.toolbox,
            settings=plan.settings,
            verifier=self.verifier,
            output=plan.output,
            larger=self.larger,
            classifier=self.classifier,
            calibration=self.calibration,
            tell_budget=self.tell_budget,
            approver=self.approver,
        ) as run:
            run.watched = emit is not None
            run.note("agent", f"depth {plan.depth}: {plan.reason}")
            if emit is not None:
                emit(DepthChosen(depth=plan.depth, reason=plan.reason))
            yield run

    def concluded(self, plan: Plan, run: Run, outcome: Mapping[str, Any], **more: Any) -> Answer:
        """The answer.

        Raises `BudgetExhausted` where the end of the budget is raised, and `InvalidOutput` for an
        answer that is not of the plan's type.
        """
        text, stopped = outcome.get("text", run.best), outcome.get("stopped", "deadline")
        answer = Answer(
            text=text,
            output=None if plan.output is None else plan.output.given(text, stopped),
            confidence=outcome.get("confidence"),
            depth=outcome.get("reached") or plan.depth,
            difficulty=outcome.get("difficulty"),
            stopped=stopped,
            usage=run.ledger.spent(),
            budget=plan.limits,
            trace=tuple(outcome.get("trace") or run.trace),
            # Once each: a run that goes on may be handed a kept one again.
            attachments=tuple(dict.fromkeys(run.attachments)),
            **more,
        )
        if self.raises and answer.stopped in ("budget", "deadline"):
            error = run.exhausted or _ended(run.ledger, answer.stopped)
            if error is not None:
                raise error
        return answer


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


def asked_of(question: str) -> str:
    """The question, if it is one that can be asked. Raises `WrongUsage`."""
    if not isinstance(question, str):
        raise WrongUsage(f"the question is {type(question).__name__}: give text")
    if not question.strip():
        raise WrongUsage("the question is empty: ask something")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise WrongUsage(f"the question is not Unicode text: {error}") from None
    return question


def budget_of(budget: Budget | str | None) -> Budget:
    """The limits that a caller means. Raises `WrongUsage`."""
    if budget is None:
        return Budget()
    if not isinstance(budget, Budget | str):
        raise WrongUsage(f"budget {budget!r}: give a Budget, or text such as 'tokens=8000'")
    return Budget.parse(budget) if isinstance(budget, str) else budget


def known_depth(depth: str) -> str:
    """The depth, if there is one of that name. Raises `WrongUsage`."""
    if depth not in DEPTHS:
        known = "; ".join(f"{name} ({known.about})" for name, known in DEPTHS.items())
        raise WrongUsage(f"there is no depth {depth!r}. Known: {known}")
    return depth
