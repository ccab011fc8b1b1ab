"""`mull ask`: one question, one answer on standard output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from rich.text import Text

from ..agents import Agent, Answer, Answered
from ..budgets import Budget
from ..errors import WrongUsage
from ..graphs import Settings, effort_of
from ..portal import run_blocking
from . import ANSWERED, FAILED, NO_BUDGET
from .approve import approver_for
from .documents import documents_tool
from .live import LiveView, budget_text, stderr_console


def run(arguments: argparse.Namespace) -> int:
    """Ask, show the progress, print the answer."""
    question = sys.stdin.read() if arguments.question == "-" else arguments.question
    if not question.strip():
        raise WrongUsage("the question is empty: ask something")
    budget = Budget.parse(arguments.budget) if arguments.budget is not None else Budget()
    dial = None if arguments.effort is None else effort_of(arguments.effort)
    shown = dial.budget if dial is not None and arguments.budget is None else budget
    view = LiveView(stderr_console(), shown.as_dict())
    tools: list[Any] = [name.strip() for name in arguments.tools.split(",") if name.strip()]
    if arguments.docs:
        tools.append(documents_tool(arguments.docs, stderr_console()))
    agent = Agent(
        arguments.model,
        base_url=arguments.base_url,
        tools=tools,
        budget=budget,
        depth=arguments.depth,
        effort=arguments.effort,
        verifier=arguments.verify,
        settings=_settings(arguments),
        approve="all" if arguments.yes else approver_for(view),
    )
    with _opened(arguments.trace) as trace:
        answer = run_blocking(lambda: _ask(agent, question, view, trace))
    _sum_up(answer, shown)
    if arguments.json:
        print(json.dumps(answer.as_dict()))
    elif answer.text:
        print(answer.text)
    return _code(answer)


async def _ask(agent: Agent, question: str, view: LiveView, trace: IO[str]) -> Answer:
    answer: Answer | None = None
    with view:
        async for event in agent.astream(question):
            if isinstance(event, Answered):
                answer = event.answer
            else:
                view.show(event)
            print(json.dumps(event.as_dict()), file=trace)
    assert answer is not None, "a stream of events ends with the answer or raises"
    return answer


def _sum_up(answer: Answer, budget: Budget) -> None:
    """How the run ended, under its progress."""
    console = stderr_console()
    spent = budget_text(answer.usage.as_dict(), budget.as_dict())
    console.print(f"[dim]stopped: {answer.stopped} · {spent}[/dim]")
    if not answer.text:
        console.print(Text(f"mull: no answer: {_why(answer)}", "red"), soft_wrap=True)


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {"samples": arguments.samples, "seed": arguments.seed}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _opened(file: str | None) -> IO[str]:
    """Where the events go; opened before anything is spent."""
    try:
        return Path(file or os.devnull).open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise WrongUsage(f"--trace {file}: {error.strerror}") from error


def _why(answer: Answer) -> str:
    last = answer.trace[-1]["reason"] if answer.trace else answer.stopped
    return str(last)


def _code(answer: Answer) -> int:
    if answer.text:
        return ANSWERED
    return NO_BUDGET if answer.stopped in ("budget", "deadline") else FAILED
