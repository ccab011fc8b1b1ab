"""A tool that asks another agent: its runs are its own, whatever thread the tool is called in."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from fault_server import FaultServer, Reply
from leftovers import until

from mull import Agent


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def delegating(body: Any) -> Reply:
    """The outer agent delegates; the inner one adds first and then answers."""
    done = body["messages"][-1]["role"] == "tool"
    tool = body["tools"][0]["function"]["name"]
    arguments = {"question": "How many?"} if tool == "delegate" else {"a": 40, "b": 2}
    return Reply("Answer: 42") if done else Reply(tool_calls=[(tool, arguments)])


def outer_agent(server: FaultServer, folder: Path) -> Agent:
    """An agent whose tool is an agent."""
    inner = Agent("m", base_url=server.base_url, depth="reason", tools=[add])

    async def delegate(question: str) -> str:
        """Ask somebody else."""
        return (await inner.arun(question)).text

    return Agent("m", base_url=server.base_url, depth="reason", tools=[delegate], threads=folder)


async def test_a_run_inside_a_tool_leaves_nothing_in_the_thread(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = delegating
    answer = await outer_agent(server, tmp_path).thread("x").arun("How many?")
    assert answer.final == "42"
    assert len(server.requests) == 4
    with closing(sqlite3.connect(tmp_path / "checkpoints.sqlite")) as db:
        places = db.execute("SELECT DISTINCT checkpoint_ns FROM checkpoints").fetchall()
    assert not [place for (place,) in places if "|" in place]


async def test_a_run_inside_a_tool_begins_anew_when_the_thread_goes_on(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = delegating
    server.fault = ["none", "none", "hang_before_headers"]
    task = asyncio.create_task(outer_agent(server, tmp_path).thread("x").arun("How many?"))
    await until(lambda: len(server.requests) == 3, 20)
    task.cancel()
    await asyncio.wait([task])
    server.fault = "none"
    answer = await outer_agent(server, tmp_path).thread("x").aresume()
    assert answer.final == "42"
    *_, told = server.requests[-1].body["messages"]
    assert told["content"] == "Answer: 42", json.dumps(told)
