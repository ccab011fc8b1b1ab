"""`mull ask`: one question, one answer on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..agents import Agent, Answer, Answered
from ..budgets import Budget
from ..errors import WrongUsage
from ..portal import run_blocking
from . import ANSWERED, FAILED, NO_BUDGET
from .live import LiveView, budget_text, stderr_console


def run(arguments: argparse.Namespace) -> int:
    """Ask, show the progress, print the answer."""
    question = sys.stdin.read() if arguments.question == "-" else arguments.question
    budget = Budget.parse(arguments.budget) if arguments.budget is not None else Budget()
    tools = [name.strip() for name in arguments.tools.split(",") if name.strip()]
    agent = Agent(
        arguments.model,
        base_url=arguments.base_url,
        tools=tools,
        budget=budget,
        depth=arguments.depth,
    )
    answer = run_blocking(lambda: _ask(agent, question, budget, arguments.trace))
    if arguments.json:
        print(json.dumps(answer.as_dict(), ensure_ascii=False))
    elif answer.text:
        print(answer.text)
    return _code(answer)


async def _ask(agent: Agent, question: str, budget: Budget, trace: str | None) -> Answer:
    console = stderr_console()
    answer: Answer | None = None
    lines: list[str] = []
    try:
        with LiveView(console, budget.as_dict()) as view:
            async for event in agent.astream(question):
                if isinstance(event, Answered):
                    answer = event.answer
                else:
                    view.show(event)
                if trace is not None:
                    lines.append(json.dumps(event.as_dict(), ensure_ascii=False) + "\n")
    finally:
        if trace is not None:
            _write(trace, lines)
    assert answer is not None, "a stream of events ends with the answer or raises"
    spent = budget_text(answer.usage.as_dict(), budget.as_dict())
    console.print(f"[dim]{answer.stopped}  {spent}[/dim]")
    if not answer.text:
        console.print(f"mull: no answer: {_why(answer)}", style="red")
    return answer


def _write(file: str, lines: list[str]) -> None:
    try:
        Path(file).write_text("".join(lines), "utf-8")
    except OSError as error:
        raise WrongUsage(f"--trace {file}: {error.strerror}") from error


def _why(answer: Answer) -> str:
    last = answer.trace[-1]["reason"] if answer.trace else answer.stopped
    return str(last)


def _code(answer: Answer) -> int:
    if answer.text:
        return ANSWERED
    return NO_BUDGET if answer.stopped in ("budget", "deadline") else FAILED
