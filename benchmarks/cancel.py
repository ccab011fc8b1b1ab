"""Milliseconds from cancelling a call to the server seeing its connection closed.

    python benchmarks/cancel.py [--calls 60]

The server runs in the same process, streams a long reply, and notes when the client has gone.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mull import Agent, Budget, Ledger, Model

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
import leftovers
from fault_server import FaultServer


async def main(calls: int) -> None:
    """Measure and print the table."""
    table = Table("cancelled", "median ms", "max ms", "charged of what the server made")
    for when, fault in (("while streaming", "none"), ("before headers", "hang_before_headers")):
        async with FaultServer(fault, tokens=100_000, token_delay=0.002) as server:
            model = Model("m", server.base_url)
            ledger = Ledger(Budget())
            agent = Agent(model, depth="direct", ledger=ledger)
            took = [await _cancel_one(agent, server) for _ in range(calls)]
            charged = ledger.spent().total_tokens / server.spent_tokens
            await model.aclose()
        table.add_row(
            when, f"{statistics.median(took):.1f}", f"{max(took):.1f}", f"{charged:.2f} times"
        )
    Console().print(table)


async def _cancel_one(agent: Agent, server: FaultServer) -> float:
    before = len(server.requests)
    task = asyncio.create_task(agent.arun("Count to a thousand."))
    await leftovers.until(lambda: len(server.requests) > before)
    await asyncio.sleep(0.02)
    cancelled = time.monotonic()
    task.cancel()
    exchange = server.requests[-1]
    await leftovers.until(lambda: exchange.aborted)
    assert exchange.closed_at is not None
    return 1000 * (exchange.closed_at - cancelled)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=60)
    asyncio.run(main(parser.parse_args().calls))
