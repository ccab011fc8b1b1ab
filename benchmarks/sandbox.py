"""Milliseconds of a Python call behind each boundary, beside a plain subprocess that keeps nothing.

    python benchmarks/sandbox.py [--calls 200] [--branches 30]

Cold: a branch's first call, with a sandbox of its own and no pool. Pool: the same from the pool,
while one branch after another comes. Warm: the further calls of a branch. E2B's client is measured
against the tests' server on this machine: what the client and our screening cost, no network and no
virtual machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mull.tools.sandbox import SandboxUnavailable, chosen, open_sandbox
from mull.tools.sandbox.pool import pool_here

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from boundaries import EVERYWHERE, e2b

CODE = "sum(range(100))"


async def main(calls: int, branches: int) -> None:
    """Measure and print the table."""
    table = Table("boundary", "cold ms", "pool ms", "warm ms", "warm 95 %", "cold 95 %")
    plain = [await _timed(_plain) for _ in range(branches)]
    table.add_row("plain subprocess", _ms(plain), "", "", "", _ms(plain, 0.95))
    for name in EVERYWHERE:
        async with AsyncExitStack() as stack:
            if name == "e2b":
                await stack.enter_async_context(e2b())
            try:
                await chosen(name)
            except SandboxUnavailable as error:
                table.add_row(name, str(error)[:60])
                continue
            cold, pooled, warm = await _measure(name, calls, branches)
            fields = _ms(cold), _ms(pooled), _ms(warm), _ms(warm, 0.95), _ms(cold, 0.95)
            table.add_row(name, *fields)
    Console().print(table)


async def _measure(
    name: str, calls: int, branches: int
) -> tuple[list[float], list[float], list[float]]:
    cold, pooled = [], []
    for _ in range(branches):
        async with open_sandbox(name) as sandbox:
            cold.append(await _timed(lambda: sandbox.run_code(CODE, 5)))
    pool = await pool_here(name)
    async with pool.session() as session:
        await session.run_code(CODE, 5)
        warm = [await _timed(lambda: session.run_code(CODE, 5)) for _ in range(calls)]
        for _ in range(branches):
            await asyncio.sleep(0.5)  # A branch thinks before it calls: spare workers get ready.
            async with pool.session() as other:
                pooled.append(await _timed(lambda: other.run_code(CODE, 5)))
    return cold, pooled, warm


async def _plain() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", f"print({CODE})", stdout=subprocess.PIPE
    )
    await process.communicate()


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


def _ms(seconds: list[float], share: float = 0.5) -> str:
    """The median, or the value that `share` of them do not exceed."""
    at = statistics.quantiles(seconds, n=100)[round(100 * share) - 1]
    return f"{1000 * at:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--branches", type=int, default=30)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.calls, arguments.branches))
