"""Reserve + settle pairs per second of each store, alone and with processes on one SQLite file.

    python benchmarks/ledger.py [--pairs 4000] [--processes 8]

The limit is half of what the pairs ask for, so that the end of the budget is in the measure. After
each row the books are read: spent plus held must not be over the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mull import Budget, BudgetExhausted, Ledger, Usage
from mull.budgets import Bound, MemoryStore, SQLiteStore, Store

TOKENS = 10
"""Of one call."""
KEY = "benchmark"


async def pairs(store: Store, count: int, name: str) -> int:
    """So many calls, one after the other; how many the ledger granted."""
    ledger = Ledger(key=KEY, store=store)
    granted = 0
    for number in range(count):
        try:
            hold = await ledger.reserve(
                f"{name}.{number}", Bound(output_tokens=TOKENS), least=TOKENS
            )
        except BudgetExhausted:
            continue
        ledger.settle(hold, Usage(output_tokens=TOKENS, calls=1))
        granted += 1
    return granted


def worker(path: Path, count: int, name: str) -> int:
    """The same, in a process of its own."""
    store = SQLiteStore(path)
    try:
        return asyncio.run(pairs(store, count, name))
    finally:
        store.close()


def overshoot(store: Store, limit: int) -> int:
    """Tokens over the limit."""
    ledger = Ledger(key=KEY, store=store)
    return max(0, ledger.spent().total_tokens + ledger.held().tokens - limit)


def main(count: int, processes: int) -> None:
    """Measure and print the table."""
    limit = count * TOKENS // 2
    table = Table("store", "processes", "pairs a second", "granted", "overshoot", box=None)
    with tempfile.TemporaryDirectory() as folder:
        alone: dict[str, Store] = {
            "memory": MemoryStore(),
            "sqlite": SQLiteStore(Path(folder) / "alone.db"),
        }
        for name, store in alone.items():
            Ledger(Budget(tokens=limit), key=KEY, store=store)
            begun = time.perf_counter()
            granted = asyncio.run(pairs(store, count, "alone"))
            rate = count / (time.perf_counter() - begun)
            table.add_row(name, "1", f"{rate:,.0f}", f"{granted:,}", str(overshoot(store, limit)))
        path = Path(folder) / "shared.db"
        shared = SQLiteStore(path)
        Ledger(Budget(tokens=limit), key=KEY, store=shared)
        context = multiprocessing.get_context("spawn")
        each = count // processes
        with context.Pool(processes) as pool:
            pool.map(abs, range(processes))  # They have started, and imported.
            begun = time.perf_counter()
            jobs = [(path, each, f"process.{number}") for number in range(processes)]
            granted = sum(pool.starmap(worker, jobs, chunksize=1))
            rate = each * processes / (time.perf_counter() - begun)
        over = overshoot(shared, limit)
        table.add_row("sqlite", str(processes), f"{rate:,.0f}", f"{granted:,}", str(over))
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--processes", type=int, default=8)
    arguments = parser.parse_args()
    main(arguments.pairs, arguments.processes)
