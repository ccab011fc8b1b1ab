"""What a script would do, in order, and what it would likely cost. Spends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..agents import Agent, Estimate
from ..budgets import Budget, Ledger
from ..models import Model
from .check import levels, needed, texts
from .shares import part
from .step import Step
from .templates import evaluate, namespace, render


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One step of the plan."""

    step: str
    level: int
    """From 0; steps of one level may run at once."""
    what: str
    needs: tuple[str, ...]
    times: int | None
    """How often it is done; None: known only when it runs."""
    conditional: bool
    """Whether it may be skipped."""
    estimate: Estimate | None
    """For one time; None for a Python function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole plan; what is done an unknown number of times counts once."""

    steps: tuple[Planned, ...]
    budget: Budget
    calls: int
    tokens: int
    cost: Decimal
    open: bool
    """Whether a step is done an unknown number of times."""


def make_plan(
    steps: Sequence[Step],
    model: Model,
    inputs: Mapping[str, Any],
    budget: Budget,
    tools: Mapping[str, Any],
) -> Plan:
    """The steps in the order they can start in. What the model has yet to say is not known here:
    a question that needs it is estimated by its template."""
    lines = []
    for level, together in enumerate(levels(steps)):
        for step in together:
            estimate = None
            if step.question is not None:
                agent = Agent(
                    model,
                    tools=[tools.get(name, name) for name in step.tools],
                    budget=part(budget, step.share) if step.share else budget,
                    ledger=Ledger(),
                )
                estimate = agent.estimate(_likely_question(step, inputs))[step.depth]
            lines.append(
                Planned(
                    step=step.id,
                    level=level,
                    what=step.python or step.depth,
                    needs=needed(step),
                    times=_times(step, inputs),
                    conditional=step.when is not None,
                    estimate=estimate,
                )
            )
    counted = [(line.times if line.times is not None else 1, line.estimate) for line in lines]
    return Plan(
        steps=tuple(lines),
        budget=budget,
        calls=sum(times * one.calls for times, one in counted if one),
        tokens=sum(times * one.tokens for times, one in counted if one),
        cost=sum((times * one.cost for times, one in counted if one), Decimal(0)),
        open=any(line.times is None for line in lines),
    )


def _likely_question(step: Step, inputs: Mapping[str, Any]) -> str:
    assert step.question is not None, "only questions are estimated"
    named = texts(step)["question"]
    early = not named.others and all(use.root == "inputs" for use in named.references)
    asked = render(step.question, {"inputs": namespace(inputs)}) if early else step.question
    return asked if asked.strip() else step.question


def _times(step: Step, inputs: Mapping[str, Any]) -> int | None:
    if step.foreach is None:
        return 1
    if isinstance(step.foreach, list):
        return len(step.foreach)
    if any(use.root == "steps" for use in texts(step)["foreach"].references):
        return None
    return len(list(evaluate(step.foreach, {"inputs": namespace(inputs)})))
