"""The demo's questions, each in every way, a few at once, under one budget."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..agents import Agent
from ..budgets import Budget, Ledger
from ..graphs import Settings
from ..models.demo.problems import Problem, problems
from .demo_figures import WAYS, Asked, Way, compared

PROBLEMS = 24
STEPS = (3, 4, 5)
"""Of a problem: so many that one call is often wrong, and more compute has room to help."""
AT_ONCE = 4
"""Runs at work at the same time."""
SCARCE_TOKENS, SCARCE_CALLS = 3000, 10
"""With less than this unspent, a run that ended for its budget ended for the demo's.

With more it was a reply that reached the model's own limit.
"""


@dataclass(slots=True)
class Demo:
    """What is to be done, what is done, and the account of it."""

    seed: int
    budget: Budget
    done: list[Asked] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    """The ways at work, one for each run."""
    over: bool = False
    """Whether the budget has ended before the problems."""
    ledger: Ledger = field(init=False)
    accounts: dict[str, Ledger] = field(init=False)
    """Each way's own account, below the demo's."""

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.budget, key="demo")
        self.accounts = {way.name: self.ledger.child(way.name) for way in WAYS}

    async def run(self) -> None:
        """Ask all, problem by problem, until the budget ends. Raises what a run raises."""
        agents = {way.name: self._agent(way) for way in WAYS}
        chosen = enumerate(itertools.islice(problems(self.seed, steps=STEPS), PROBLEMS), 1)
        work = itertools.product(chosen, WAYS)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._work(work, agents))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def _agent(self, way: Way) -> Agent:
        return Agent(
            "demo",
            depth=way.depth,
            verifier=way.verifier,
            settings=Settings(samples=6, expansions=12, rounds=2, seed=self.seed),
            ledger=self.accounts[way.name],
        )

    async def _work(
        self, work: Iterator[tuple[tuple[int, Problem], Way]], agents: dict[str, Agent]
    ) -> None:
        for (number, problem), way in work:
            if self.over:
                return
            self.running.append(way.name)
            answer = await agents[way.name].arun(problem.question)
            self.running.remove(way.name)
            cut = answer.stopped in ("budget", "deadline") and self._scarce()
            self.over = self.over or cut
            right = problem.solved_by(answer.text)
            self.done.append(
                Asked(way.name, number, problem.question, problem.answer, answer, right, cut)
            )

    def _scarce(self) -> bool:
        """Whether so little is unspent that a run may have been refused a call."""
        spent, limits = self.ledger.spent(), self.budget
        return (
            self.ledger.seconds_left() == 0
            or (limits.tokens is not None and limits.tokens - spent.total_tokens < SCARCE_TOKENS)
            or (limits.calls is not None and limits.calls - spent.calls < SCARCE_CALLS)
        )


def left_text(demo: Demo) -> str:
    """What is left of the budget, in its own dimensions."""
    left = demo.ledger.left()
    parts = [
        f"{value:,} {name.replace('_', ' ')}"
        for name, value in (
            ("tokens", left.tokens),
            ("calls", left.calls),
            ("tool_calls", left.tool_calls),
        )
        if value is not None
    ]
    if left.seconds is not None:
        parts.append(f"{left.seconds:.1f} s")
    return " · ".join(parts) or "no limit was set"


def ended_early(demo: Demo) -> str:
    """That the budget ended first, and what is judged all the same."""
    count = len(compared(demo.done))
    return (
        f"The budget ended early, after {len(demo.done)} of {PROBLEMS * len(WAYS)} runs. Only what "
        f"was answered in every way before that is compared: {count} of {PROBLEMS} problems."
    )
