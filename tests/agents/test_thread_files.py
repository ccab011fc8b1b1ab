"""The three files of a store of threads: their owner's alone, and told where they fail."""

import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from fault_server import FaultServer

from mull import Agent
from mull.agents import ThreadStore
from mull.errors import StorageFailed, WrongUsage

FILES = {"artifacts", "checkpoints", "ledger"}


@asynccontextmanager
async def agent_on(server: FaultServer, folder: Path) -> AsyncIterator[Agent]:
    agent = Agent("m", base_url=server.base_url, threads=folder, depth="direct")
    yield agent
    await agent.aclose()
    agent.threads.close()


def listed(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_threads_files_are_their_owners_alone_in_a_folder_that_is_not(
    server: FaultServer, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        async with agent_on(server, tmp_path) as agent:
            await agent.thread("x").arun("One?")
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in listed(tmp_path)}
    finally:
        os.umask(before)
    assert {name.partition(".")[0] for name in modes} == FILES
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_folder_with_a_file_that_is_no_database_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.sqlite").write_text("not a database " * 100)
    with pytest.raises(WrongUsage, match=r"threads in .*not a database: name another folder"):
        ThreadStore(tmp_path)


@pytest.mark.parametrize(
    ("file", "table"),
    [("artifacts", "records"), ("checkpoints", "checkpoints"), ("ledger", "calls")],
)
async def test_a_file_that_takes_no_more_is_named(
    server: FaultServer, tmp_path: Path, file: str, table: str
) -> None:
    async with agent_on(server, tmp_path) as agent:
        await agent.thread("x").arun("One?")
        with closing(sqlite3.connect(tmp_path / f"{file}.sqlite")) as db:
            db.execute(
                f"CREATE TRIGGER full BEFORE INSERT ON {table} "
                "BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
            )
        with pytest.raises(StorageFailed, match=rf"{file}\.sqlite: disk is full\. See that there"):
            await agent.thread("x").arun("Two?")
