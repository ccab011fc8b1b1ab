"""`mull demo`: the embedded model on seeded word problems, in every way, under one budget."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from ..budgets import Budget
from ..errors import WrongUsage
from ..portal import run_blocking
from . import ANSWERED, NO_BUDGET
from .demo_figures import lesson
from .demo_page import page
from .demo_panels import CHART, WIDEST, account_panel, chart_panel, live_panels, trace_panel
from .demo_run import PROBLEMS, Demo
from .demo_trace import telling
from .live import PipeConsole


def run(arguments: argparse.Namespace) -> int:
    """Ask, show how the ways compare while they run, and write the page."""
    budget, file = Budget.parse(arguments.budget), Path(arguments.html)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise WrongUsage(f"--html {file}: give a file in a folder that exists")
    demo = Demo(arguments.seed, budget)
    console = PipeConsole(highlight=False)
    width = min(console.width, WIDEST)
    console.print(INTRODUCTION.format(count=PROBLEMS, seed=demo.seed), width=width)
    run_blocking(lambda: _watched(demo, console))
    console.print(chart_panel(demo, width, CHART), account_panel(demo, width))
    if (shown := telling(demo.done)) is not None:
        console.print(trace_panel(shown, width))
    said = lesson(demo.done)
    try:
        file.write_text(page(demo, shown, said), encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"--html {file}: {error.strerror}") from error
    console.print(Text.assemble(("page    ", "dim"), str(file.absolute())), soft_wrap=True)
    console.print(Text(said, "bold"), soft_wrap=not console.is_terminal)
    return ANSWERED if any(asked.answer.text for asked in demo.done) else NO_BUDGET


async def _watched(demo: Demo, console: PipeConsole) -> None:
    """Run it; on a terminal, with the figures as they stand."""
    if not console.is_terminal:
        await demo.run()
        return

    def picture() -> RenderableType:
        return live_panels(demo, min(console.width, WIDEST), console.height)

    with Live(console=console, transient=True, get_renderable=picture, refresh_per_second=4):
        await demo.run()


INTRODUCTION = """\
[bold]mull demo[/bold]  A small language model, in this process, answers {count} word problems in \
six ways (seed {seed}).
[dim]direct: one call. vote: chains until the leader is settled. reflect: critique and refine. \
search: a tree of steps. auto: as deep as it pays. All but direct and vote have their equations \
recomputed.[/dim]
"""
