"""Long threads, and the bytes that a store keeps of them."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any

from fault_server import FaultServer, Reply

from mull import Agent
from mull.graphs import loop_guard

RESULT = 2_000
"""Bytes of a tool's result."""
SAID = "It goes on like this for a while, and there is no more to say. " * 5
ASKED = "What is there to say about it? " * 10


def kept(folder: Path) -> int:
    """Bytes in all columns of all tables of a store's checkpoints and artifacts."""
    total = 0
    for name in ("checkpoints", "artifacts"):
        db = sqlite3.connect(folder / f"{name}.sqlite")
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            sizes = " + ".join(f"coalesce(sum(length(CAST({c} AS BLOB))), 0)" for c in columns)
            [(size,)] = db.execute(f"SELECT {sizes} FROM {table}").fetchall()
            total += size
        db.close()
    return total


async def conversation(
    server: FaultServer, folder: Path, moments: Collection[int]
) -> dict[int, int]:
    """The bytes after so many turns of one thread."""
    server.reply = SAID
    agent = Agent("m", base_url=server.base_url, threads=folder, depth="direct")
    thread, sizes = agent.thread("x"), dict[int, int]()
    for number in range(1, max(moments) + 1):
        await thread.arun(f"Turn {number}. {ASKED}")
        if number in moments:
            sizes[number] = kept(folder)
    await agent.aclose()
    return sizes


async def long_run(server: FaultServer, folder: Path, moments: Collection[int]) -> dict[int, int]:
    """The bytes after so many steps of one run, each of them a call with another argument."""
    numbers, sizes = itertools.count(1), dict[int, int]()

    def reply(body: Any) -> Reply:
        if (number := next(numbers)) > max(moments):
            return Reply("Answer: 42")
        return Reply(tool_calls=[("look_up", {"number": number})])

    def look_up(number: int) -> str:
        """Look something up."""
        if number in moments:
            sizes[number] = kept(folder)
        return f"{number:>{RESULT}}"

    server.reply = reply
    guard, loop_guard.TURNS = loop_guard.TURNS, 2 * max(moments)
    try:
        agent = Agent(
            "m", base_url=server.base_url, threads=folder, depth="reason", tools=[look_up]
        )
        await agent.thread("x").arun("How many?")
        await agent.aclose()
    finally:
        loop_guard.TURNS = guard
    return sizes
