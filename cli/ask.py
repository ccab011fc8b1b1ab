"""`mull ask`: one question, one answer on standard output."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.text import Text

from ..accounts import TraceRecorder
from ..agents import Agent, Answer, Answered
from ..budgets import Budget, Ledger
from ..errors import WrongUsage
from ..graphs import effort_of
from ..portal import run_blocking
from .answering import code_of, settings_of, tools_of
from .approve import approver_for
from .live import LiveView, budget_text, stderr_console
from .printable import printable


def run(arguments: argparse.Namespace) -> int:
    """Ask, show the progress, print the answer."""
    question = sys.stdin.read() if arguments.question == "-" else arguments.question
    if not question.strip():
        raise WrongUsage("the question is empty: ask something")
    budget = Budget.parse(arguments.budget) if arguments.budget is not None else Budget()
    dial = None if arguments.effort is None else effort_of(arguments.effort)
    shown = dial.budget if dial is not None and arguments.budget is None else budget
    view = LiveView(stderr_console(), shown.as_dict())
    recorder = TraceRecorder(Path(arguments.trace)) if arguments.trace else None
    agent = Agent(
        arguments.model,
        base_url=arguments.base_url,
        tools=tools_of(arguments, stderr_console()),
        budget=budget,
        depth=arguments.depth,
        effort=arguments.effort,
        verifier=arguments.verify,
        settings=settings_of(arguments),
        approve="all" if arguments.yes else approver_for(view),
        ledger=None if recorder is None else Ledger(recorder=recorder),
    )
    with ExitStack() as stack:
        if recorder is not None:  # Opened before anything is spent.
            stack.enter_context(recorder).write(_head(question, shown, arguments))
        answer = run_blocking(lambda: _ask(agent, question, view, recorder))
    _sum_up(answer, shown)
    if arguments.json:
        print(json.dumps(answer.as_dict()))
    elif answer.text:
        print(printable(answer.text) if sys.stdout.isatty() else answer.text)
    return code_of(answer)


def _head(question: str, budget: Budget, arguments: argparse.Namespace) -> dict[str, Any]:
    """The first line of a trace: what was asked for, and when."""
    return {
        "event": "run",
        "question": question,
        "budget": budget.as_dict(),
        "depth": arguments.depth,
        "model": arguments.model,
        "at": time.time(),
    }


async def _ask(
    agent: Agent, question: str, view: LiveView, recorder: TraceRecorder | None
) -> Answer:
    answer: Answer | None = None
    with view:
        async for event in agent.astream(question):
            if isinstance(event, Answered):
                answer = event.answer
            else:
                view.show(event)
            if recorder is not None:
                recorder.write(event.as_dict())
    assert answer is not None, "a stream of events ends with the answer or raises"
    return answer


def _sum_up(answer: Answer, budget: Budget) -> None:
    """How the run ended, under its progress."""
    console = stderr_console()
    spent = budget_text(answer.usage.as_dict(), budget.as_dict())
    console.print(f"[dim]stopped: {answer.stopped} · {spent}[/dim]")
    if not answer.text:
        console.print(Text(f"mull: no answer: {_why(answer)}", "red"), soft_wrap=True)


def _why(answer: Answer) -> str:
    last = answer.trace[-1]["reason"] if answer.trace else answer.stopped
    return printable(str(last))
