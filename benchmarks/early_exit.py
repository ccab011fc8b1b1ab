"""Milliseconds from the decision of a vote until the server sees each needless chain closed.

    python benchmarks/early_exit.py [--rounds 10] [--chains 32]

The server runs in the same process. Five chains agree early; the others stream a long reply, or
have not begun to, and are aborted when the vote is settled. Wasted is what they cost until then.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mull import Agent, Ledger, Model
from mull.graphs import Settings
from mull.graphs.race import Race

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from fault_server import FaultServer, Reply
from leftovers import until

EARLY = 5
LONG = "so then we add two more " * 2_000
KINDS = ("direct", "direct, before headers", "reason")


async def main(rounds: int, chains: int) -> None:
    """Measure and print the table."""
    table = Table("chains", "aborted", "median ms", "95 % ms", "max ms", "wasted of the total")
    for kind in KINDS:
        took: list[float] = []
        shares: list[float] = []
        for _ in range(rounds):
            late, share = await _round(kind, chains)
            took += late
            shares.append(share)
        took.sort()
        table.add_row(
            kind,
            str(len(took)),
            f"{statistics.median(took):.1f}",
            f"{took[int(0.95 * len(took))]:.1f}",
            f"{took[-1]:.1f}",
            f"{statistics.mean(shares):.1%}",
        )
    Console().print(table)


async def _round(kind: str, chains: int) -> tuple[list[float], float]:
    """One vote: each aborted request's delay, and the wasted part of all tokens."""
    async with FaultServer(token_delay=0.02) as server:
        tools = [add] if kind == "reason" else []
        server.reply = _replies(with_tools=bool(tools))
        if kind == "direct, before headers":
            hold = itertools.repeat("hang_before_headers")
            server.fault = itertools.chain(["none"] * EARLY, hold)
        model, ledger = Model("m", server.base_url), Ledger()
        agent = Agent(
            model,
            depth="vote",
            tools=tools,
            ledger=ledger,
            settings=Settings(samples=chains, at_once=chains),
        )
        with _decisions() as decided:
            await agent.arun("How many?")
        await until(lambda: all(e.finished or e.aborted for e in server.requests))
        await model.aclose()
        aborted = [e.closed_at for e in server.requests if e.closed_at is not None]
        spent = ledger.spent()
        share = spent.wasted_tokens / spent.total_tokens
        return [1000 * (closed - decided[0]) for closed in aborted], share


def _replies(*, with_tools: bool) -> Callable[[Any], Reply | str]:
    early = itertools.count()

    def reply(body: Any) -> Reply | str:
        if with_tools and body["messages"][-1]["role"] != "tool":
            return Reply(tool_calls=[("add", {"a": 3, "b": 4})])
        return "so " * 20 + "\nAnswer: 7" if next(early) < EARLY else Reply(LONG)

    return reply


@contextmanager
def _decisions() -> Iterator[list[float]]:
    """When races were decided, on the clock of `time.monotonic`."""
    moments: list[float] = []
    finish = Race.finish

    def timed(race: Race, sample: Any) -> None:
        before = race.decided
        finish(race, sample)
        if race.decided and not before:
            moments.append(time.monotonic())

    Race.finish = timed  # type: ignore[method-assign, assignment]
    try:
        yield moments
    finally:
        Race.finish = finish  # type: ignore[method-assign]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--chains", type=int, default=32)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.chains))
