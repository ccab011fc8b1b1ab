"""What each depth buys on the embedded model: accuracy and tokens, at three budgets.

    python benchmarks/depths.py [--problems 200] [--seed 1000]

The problems, and each call's seed, are fixed by --seed. `auto` uses a calibration that is fitted
first, on as many other problems.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from mull import Agent, Answer, Budget, Context, Ledger
from mull.cli.demo_figures import wilson
from mull.graphs import DEPTHS, Calibration, Sample, Settings, comparable, open_run
from mull.graphs.difficulty import Signs, observed
from mull.graphs.verifiers import Equations
from mull.models import Model, resolve_model
from mull.models.demo.problems import Problem, problems

AT_ONCE = 4
"""Questions at work at the same time."""
SAMPLES = 16
BUDGETS = (150, 500, 4_000)
"""Tokens for each question: one or two chains, a handful, and more than any depth needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to spend a budget."""

    name: str
    depth: str
    verifier: str | None = None
    samples: int = SAMPLES
    calibrated: bool = False
    budgets: tuple[int, ...] = BUDGETS


ROWS = (
    Row(name="one sample (T=0.8)", depth="vote", samples=1, budgets=(BUDGETS[-1],)),
    Row(name="direct (greedy)", depth="direct"),
    Row(name="reason", depth="reason"),
    Row(name="reflect, equations", depth="reflect", verifier="equations"),
    Row(name="vote", depth="vote"),
    Row(name="vote, equations", depth="vote", verifier="equations"),
    Row(name="search, equations", depth="search", verifier="equations"),
    Row(name="auto, equations", depth="auto", verifier="equations", calibrated=True),
    Row(name="auto, not calibrated", depth="auto", verifier="equations"),
    Row(
        name="control: vote of 2, no classifier",
        depth="vote",
        verifier="equations",
        samples=2,
        budgets=(BUDGETS[-1],),
    ),
    Row(
        name="control: vote of 4, no classifier",
        depth="vote",
        verifier="equations",
        samples=4,
        budgets=(BUDGETS[-1],),
    ),
)


async def main(count: int, seed: int) -> None:
    """Fit, run every row, and print the table."""
    console = Console(width=110)
    model = resolve_model("demo")
    calibration = await calibrate(model, count, seed + 1)
    chosen = list(itertools.islice(problems(seed), count))
    table = Table("budget", "how", "right", "95 %", "tokens", "calls", "budget ended", box=None)
    for budget in BUDGETS:
        for row in ROWS:
            if budget not in row.budgets:
                continue
            begun = time.monotonic()
            answers = await run(row, chosen, budget, seed, calibration)
            table.add_row(str(budget), row.name, *cells(answers, chosen))
            took = time.monotonic() - begun
            console.print(f"[dim]{budget} {row.name}: {took:.0f} s[/dim]", highlight=False)
    console.print(f"{count} problems, seed {seed}; calibrated on {count} others.")
    console.print(table)


async def calibrate(model: Model, count: int, seed: int) -> Calibration:
    """A calibration from full votes on other problems."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def drawn(problem: Problem) -> list[Sample]:
        settings = Settings(samples=SAMPLES, at_once=SAMPLES, seed=seed)
        async with (
            gate,
            open_run(model, Ledger(), settings=settings, verifier=Equations()) as run,
        ):
            asked: Any = {"question": problem.question}
            graph = DEPTHS["vote"].graph
            outcome: Any = await graph.ainvoke(asked, context=Context(run=run.key))
            return [sample for sample in outcome["samples"] if sample["ended"] == "whole"]

    learned = list(itertools.islice(problems(seed), count))
    pools = await asyncio.gather(*map(drawn, learned))
    singles: list[bool] = []
    seen: list[tuple[Signs, bool]] = []
    for problem, samples in zip(learned, pools, strict=True):

        def right(sample: Sample, problem: Problem = problem) -> bool:
            return comparable(sample["text"]) == str(problem.answer)

        singles += map(right, samples)
        seen += observed(samples, right)
    return Calibration.fit(singles, seen)


async def run(
    row: Row, chosen: Sequence[Problem], budget: int, seed: int, calibration: Calibration
) -> list[Answer]:
    """Every problem by one row, under its own budget."""
    agent = Agent(
        "demo",
        depth=row.depth,
        verifier=row.verifier,
        budget=Budget(tokens=budget),
        settings=Settings(samples=row.samples, seed=seed),
        calibration=calibration if row.calibrated else None,
    )
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(problem: Problem) -> Answer:
        async with gate:
            return await agent.arun(problem.question)

    return list(await asyncio.gather(*map(one, chosen)))


def cells(answers: Sequence[Answer], chosen: Sequence[Problem]) -> list[str]:
    """Figures of one row."""
    count = len(answers)
    right = sum(a.final == str(p.answer) for a, p in zip(answers, chosen, strict=True))
    low, high = wilson(right, count)
    return [
        f"{right / count:.1%}",
        f"{low:.0%}–{high:.0%}",
        f"{sum(a.usage.total_tokens for a in answers) / count:.0f}",
        f"{sum(a.usage.calls for a in answers) / count:.1f}",
        f"{sum(a.stopped == 'budget' for a in answers) / count:.0%}",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.problems, arguments.seed))
