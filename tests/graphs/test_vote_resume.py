"""A vote whose process is killed goes on in another, and repeats only the calls in flight."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import check_books, until

from mull.budgets import Ledger, SQLiteStore

SCRIPT = Path(__file__).parent / "killed_vote.py"
PATIENCE = 30.0


@asynccontextmanager
async def started(
    server: FaultServer, folder: Path, *, tools: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The vote in a process of its own, which ends with the block at the latest."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        server.base_url,
        str(folder),
        "1" if tools else "0",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        await until(lambda: server.active == 0, PATIENCE)


async def gone_on(server: FaultServer, folder: Path, *, tools: bool = False) -> dict[str, Any]:
    """The outcome of the vote, when it is started again."""
    async with started(server, folder, tools=tools) as process:
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    outcome: dict[str, Any] = json.loads(said)
    return outcome


def kept(folder: Path) -> int:
    """How many chains the checkpoints know."""
    file = folder / "graph.db"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as books:
        found = books.execute(
            "SELECT count(DISTINCT task_id) FROM writes WHERE channel = 'samples'"
            " AND checkpoint_ns LIKE 'vote:%' AND checkpoint_ns NOT LIKE '%|%'"
        )
        return int(found.fetchone()[0])


def finished(server: FaultServer) -> int:
    return sum(exchange.finished for exchange in server.requests)


def undecided() -> Callable[[Any], str]:
    """A first wave of four that is a tie, and then agreement."""
    answers = itertools.chain([7, 8, 7, 8], itertools.repeat(7))
    return lambda body: f"Answer: {next(answers)}"


@pytest.mark.parametrize("moment", [0, 2, 5])
async def test_no_chain_that_was_finished_is_paid_again(
    server: FaultServer, tmp_path: Path, moment: int
) -> None:
    server.reply = undecided()
    server.fault = itertools.chain(["none"] * moment, itertools.repeat("hang_before_headers"))
    wave = 4 if moment < 4 else 8
    async with started(server, tmp_path):
        await until(lambda: len(server.requests) == wave, PATIENCE)
        await until(lambda: moment == 0 or kept(tmp_path) == moment, PATIENCE)
    in_flight = wave - moment
    server.fault = "none"
    outcome = await gone_on(server, tmp_path)
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 7", "answered")
    assert finished(server) <= len(outcome["samples"])
    assert len(server.requests) <= len(outcome["samples"]) + in_flight


async def test_a_chain_goes_on_after_its_last_finished_call(
    server: FaultServer, tmp_path: Path
) -> None:
    def reply(body: Any) -> Reply | str:
        told = body["messages"][-1]["role"] == "tool"
        return "Answer: 7" if told else Reply(tool_calls=[("add", {"a": 3, "b": 4})])

    server.reply = reply
    server.fault = itertools.chain(["none"] * 4, itertools.repeat("hang_before_headers"))
    async with started(server, tmp_path, tools=True):
        await until(lambda: len(server.requests) == 8, PATIENCE)
    server.fault = "none"
    outcome = await gone_on(server, tmp_path, tools=True)
    assert outcome["text"] == "Answer: 7"
    assert len(server.requests) <= 8 + 4


@pytest.mark.parametrize("seed", range(2))
async def test_a_kill_at_any_moment_repeats_at_most_what_was_not_written_down(
    server: FaultServer, tmp_path: Path, seed: int
) -> None:
    lengths, answer = random.Random(seed), undecided()
    server.reply = lambda body: f"{'so ' * lengths.randint(30, 60)}\n{answer(body)}"
    server.token_delay = 0.01
    async with started(server, tmp_path):
        await until(lambda: len(server.requests) > 0, PATIENCE)
        await asyncio.sleep(random.Random(seed).uniform(0.0, 0.5))
    lost = len(server.requests) - kept(tmp_path)
    outcome = await gone_on(server, tmp_path)
    assert outcome["text"].endswith("Answer: 7")
    assert len(server.requests) <= len(outcome["samples"]) + lost


async def test_what_the_killed_process_spent_stays_on_the_books(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = undecided()
    server.fault = itertools.chain(["none"] * 2, itertools.repeat("hang_mid_stream"))
    async with started(server, tmp_path):
        await until(lambda: len(server.requests) == 4, PATIENCE)
        await until(lambda: kept(tmp_path) == 2, PATIENCE)
    server.fault = "none"
    await gone_on(server, tmp_path)
    with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
        ledger = Ledger(key="run", store=store)
        assert server.spent_tokens <= ledger.spent().total_tokens <= 20_000
        assert sum(entry.state == "swept" for entry in ledger.journal()) == 2
        check_books(ledger)
