"""Bytes that a thread keeps on disk: over the turns of a conversation, and the steps of one run.

    python benchmarks/thread_size.py [--moments 50 100 200]

Each turn asks and answers some 300 bytes; each step is a tool call with a result of 2,000. The
bytes are those in the tables of the checkpoints and the artifacts, without SQLite's own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from fault_server import FaultServer
from thread_sizes import conversation, long_run


async def main(moments: list[int]) -> None:
    """Measure and print the table."""
    table = Table("thread", *map(str, moments), "bytes for each more")
    for name, measured in (("turns of a conversation", conversation), ("steps of a run", long_run)):
        with tempfile.TemporaryDirectory() as folder:
            async with FaultServer() as server:
                sizes = await measured(server, Path(folder), moments)
        each = [
            (sizes[after] - sizes[before]) / (after - before) for before, after in pairwise(moments)
        ]
        table.add_row(
            name,
            *(f"{sizes[moment]:,}" for moment in moments),
            ", ".join(f"{rate:,.0f}" for rate in each),
        )
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--moments", type=int, nargs="+", default=[50, 100, 200])
    asyncio.run(main(parser.parse_args().moments))
