"""Turns: one process at a time, for as long as it lives or until it is done."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

LOOK_AGAIN = 0.05
"""Seconds between two looks at whether the turn is free."""


@asynccontextmanager
async def turn(path: Path) -> AsyncIterator[None]:
    """Hold the lock at `path`, a file of its own; waits while another holds it.

    It is the lock of an empty SQLite file: the system frees it when its holder dies.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Where the block ends may be another thread, that of an event loop's shutdown.
    lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            await asyncio.sleep(LOOK_AGAIN)
        yield
    finally:
        lock.close()
