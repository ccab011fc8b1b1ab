"""`mull doctor`: what works here, and what to do about what does not."""

from __future__ import annotations

import argparse
import asyncio
import platform

from rich.markup import escape
from rich.table import Table

from .. import __version__
from ..budgets import Budget, Ledger
from ..errors import MullError
from ..models import Backend, Capabilities, Model, NoBackend, Request, resolve_model, user
from ..models.capabilities import probe
from ..models.demo.problems import problems
from ..portal import run_blocking
from ..tools.sandbox.choose import OPERATOR, chosen, requirement, survey
from . import ANSWERED, NO_BACKEND
from .live import PipeConsole

USUAL = {
    8000: "vLLM",
    30000: "SGLang",
    8080: "llama.cpp or TGI",
    11434: "Ollama",
    1234: "LM Studio",
}
"""Loopback ports where people run backends."""
LOOK = 2.0
"""Seconds that a backend may take to say what it is."""

OK, NO, NOTE = "[green]ok[/green]", "[red]no[/red]", "[yellow]—[/yellow]"


def run(arguments: argparse.Namespace) -> int:
    """Look around and print a table. Exit code 0 when some model can be used, else 3."""
    return run_blocking(_look)


async def _look() -> int:
    console = PipeConsole(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(OK, "mull", f"{__version__} on Python {platform.python_version()}")
    usable = await _models(table)
    await _sandboxes(table)
    console.print(table)
    if not usable:
        console.print("No model can be used here. Start a backend, or: pip install 'mull\\[demo]'")
    return ANSWERED if usable else NO_BACKEND


async def _sandboxes(table: Table) -> None:
    """Rows for the boundary that Python runs behind, and for what each one is worth here."""
    try:
        why = f", as {OPERATOR} requires" if requirement() else ""
        table.add_row(OK, "python tool", f"runs code behind {await chosen()}{why}")
    except MullError as error:
        table.add_row(NO, "python tool", escape(str(error)))
    for report in await survey():
        told = report.limits if report.available else report.reason
        table.add_row(OK if report.available else NOTE, f"sandbox {report.name}", escape(told))


async def _models(table: Table) -> bool:
    """Rows for the configured model, the backends found, and the embedded one."""
    usable = False
    try:
        model = resolve_model()
        found = await asyncio.wait_for(model.capabilities(), LOOK)
        address = model.backend.base_url
        if found.models:
            table.add_row(OK, "configured model", _said(address, found))
            usable = True
        else:
            table.add_row(NO, "configured model", f"{address} does not list any models")
    except TimeoutError:
        table.add_row(NO, "configured model", f"no answer within {LOOK:g} s")
    except NoBackend:
        table.add_row(NOTE, "configured model", "none: see `mull --help` for the three ways")
    except MullError as error:
        table.add_row(NO, "configured model", escape(str(error)))
    looks = await asyncio.gather(*(_knock(port) for port in USUAL))
    for (port, usual), capabilities in zip(USUAL.items(), looks, strict=True):
        if capabilities is not None:
            address = f"http://localhost:{port}/v1"
            table.add_row(OK, f"port {port}", f"{_said(address, capabilities)} (usually {usual})")
            usable = True
    if not any(looks):
        table.add_row(NOTE, "local backends", f"none on ports {', '.join(map(str, USUAL))}")
    try:
        reply = await _try_demo()
        table.add_row(OK, "embedded model", reply)
        usable = True
    except MullError as error:
        table.add_row(NOTE, "embedded model", escape(str(error)))
    return usable


async def _knock(port: int) -> Capabilities | None:
    """What answers as an OpenAI-compatible backend on a loopback port, if anything does."""
    backend = Backend(f"http://localhost:{port}/v1")
    try:
        found = await asyncio.wait_for(probe(backend, None), LOOK)
        return found if found.models else None
    except (MullError, TimeoutError):
        return None
    finally:
        await backend.aclose()


async def _try_demo() -> str:
    model: Model = resolve_model("demo")
    problem = next(problems(seed=1))
    reply = await model.ask(
        Request(messages=[user(problem.question)]),
        ledger=Ledger(Budget(tokens=1000, seconds=20)),
        call_id="doctor",
    )
    return f"{reply.usage.output_tokens} tokens in {1000 * reply.seconds:.0f} ms (--model demo)"


def _said(address: str, found: Capabilities) -> str:
    served = ", ".join(found.models[:5]) or "does not say which models"
    context = f", {found.context} tokens of context" if found.context else ""
    return escape(f"{address}: {found.kind}, serves {served}{context}")
