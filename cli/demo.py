"""`mull demo`: the embedded model on twenty seeded problems, at each depth, under one budget."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from ..agents import Agent, Answer, Answered
from ..budgets import Budget, Ledger
from ..graphs import Settings
from ..models.demo.problems import Problem, problems
from ..portal import run_blocking
from . import ANSWERED, NO_BUDGET
from .live import LiveView, PipeConsole, budget_text

PROBLEMS = 20
DEPTHS = ("direct", "vote")
CELL = 26
"""Columns of one depth's cell."""


@dataclass(frozen=True, slots=True)
class Result:
    """One problem at one depth."""

    depth: str
    answer: Answer
    right: bool
    milliseconds: float


def run(arguments: argparse.Namespace) -> int:
    """Ask, show each result as it comes, and sum up."""
    budget = Budget.parse(arguments.budget)
    return run_blocking(lambda: _demo(arguments.seed, budget))


async def _demo(seed: int, budget: Budget) -> int:
    console = PipeConsole(highlight=False)
    ledger = Ledger(budget, key="demo")
    agent = Agent("demo", verifier="equations", settings=Settings(seed=seed), ledger=ledger)
    console.print(INTRODUCTION.format(count=PROBLEMS, seed=seed, budget=budget))
    console.print(_heading(console.width), overflow="crop")
    results: list[Result] = []
    with LiveView(console, budget.as_dict(), brief=True) as view:
        for number, problem in enumerate(itertools.islice(problems(seed), PROBLEMS), 1):
            row = [await _solve(agent, problem, depth, view, ledger) for depth in DEPTHS]
            console.print(_row(number, problem, row, console.width), overflow="crop")
            results += row
            if not any(result.answer.text for result in row):
                break  # The budget has ended.
    console.print(_summary(results))
    console.print(Text.assemble(("budget  ", "dim"), _account(ledger, budget)))
    console.print(_lesson(results))
    return ANSWERED if any(result.answer.text for result in results) else NO_BUDGET


async def _solve(
    agent: Agent, problem: Problem, depth: str, view: LiveView, ledger: Ledger
) -> Result:
    started = time.monotonic()
    answer: Answer | None = None
    view.title(f"{depth}: {problem.question}")
    async for event in agent.astream(problem.question, depth=depth):
        if isinstance(event, Answered):
            answer = event.answer
        else:
            view.show(event, above=ledger)
    assert answer is not None, "a stream of events ends with the answer or raises"
    took = 1000 * (time.monotonic() - started)
    return Result(depth, answer, answer.final == str(problem.answer), took)


def _heading(width: int) -> Text:
    cells = "".join(f"{depth:<{CELL}}" for depth in DEPTHS)
    question = "question".ljust(_question_width(width))
    return Text(f"{'#':>3} {question} {'true':>4}   {cells}", style="bold", no_wrap=True)


def _row(number: int, problem: Problem, row: Iterable[Result], width: int) -> Text:
    room = _question_width(width)
    question = problem.question
    if len(question) > room:
        question = question[: room - 1] + "…"
    text = Text(f"{number:>3} {question:<{room}} {problem.answer:>4}   ", no_wrap=True)
    for result in row:
        text.append_text(_cell(result))
    return text


def _cell(result: Result) -> Text:
    if not result.answer.text:
        return Text(f"  – {result.answer.stopped}".ljust(CELL), style="yellow")
    mark, style = ("✓", "green") if result.right else ("✗", "red")
    tokens = result.answer.usage.total_tokens
    figures = f"{tokens:>4} tok {result.milliseconds:>4.0f} ms"
    return Text.assemble(
        (f"{mark} {result.answer.final[:5]:<5} ", style), (f"{figures:<{CELL - 8}}", "dim")
    )


def _question_width(width: int) -> int:
    return max(16, min(width, 140) - 14 - CELL * len(DEPTHS))


def _summary(results: list[Result]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("depth", "right", "tokens each", "ms each", "calls each"):
        table.add_column(name, justify="left" if name == "depth" else "right")
    for depth in DEPTHS:
        mine = [result for result in results if result.depth == depth]
        table.add_row(
            depth,
            f"{sum(r.right for r in mine)} of {len(mine)}",
            f"{sum(r.answer.usage.total_tokens for r in mine) / len(mine):.0f}",
            f"{sum(r.milliseconds for r in mine) / len(mine):.0f}",
            f"{sum(r.answer.usage.calls for r in mine) / len(mine):.1f}",
        )
    return table


def _account(ledger: Ledger, budget: Budget) -> str:
    return budget_text(ledger.spent().as_dict(), budget.as_dict())


def _lesson(results: list[Result]) -> str:
    """Whether the deeper depth paid, in one sentence of figures."""
    right = {d: sum(r.right for r in results if r.depth == d) for d in DEPTHS}
    tokens = {d: sum(r.answer.usage.total_tokens for r in results if r.depth == d) for d in DEPTHS}
    cheap, deep = DEPTHS
    if any(result.answer.stopped in ("budget", "deadline") for result in results):
        return f"The budget ended after {len(results) // len(DEPTHS)} problems: too few to judge."
    times = tokens[deep] / tokens[cheap]
    gain = right[deep] - right[cheap]
    if gain > 0:
        return f"Here {deep} got {gain} more right, for {times:.1f} times the tokens."
    return (
        f"Here {deep} cost {times:.1f} times the tokens and got {-gain} fewer right. More compute "
        "is not better by itself: it has to be spent where it pays."
    )


INTRODUCTION = """\
[bold]mull demo[/bold]  A language model of 1.15 million parameters, in this process, answers \
{count} word problems (seed {seed}).
[dim]direct: one call.  vote: chains until the leader is settled, their equations recomputed.  \
One budget for all: {budget}[/dim]
"""
