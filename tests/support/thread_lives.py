"""Lives of a thread, each in a process of its own that a test may kill.

They are forked from one process that has everything imported already: a fresh one takes seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from leftovers import until

from mull import Agent
from mull.graphs import Settings
from mull.graphs.verifiers.verifier import Candidate
from mull.tools import as_tool

IMPORTED = ("mull.agents.serde", "mull.models", "langgraph.checkpoint.sqlite.aio", "openai")
QUESTION = "How many?"
PATIENCE = 60.0

Work = Callable[..., Coroutine[Any, Any, Any]]


class Life:
    """A process that does one piece of work, and writes what came of it into a file."""

    def __init__(self, pid: int, said: Path) -> None:
        self._pid = pid
        self._said = said

    @property
    def over(self) -> bool:
        """Whether its work is done, or it is dead."""
        return self._said.exists() or not self._runs()

    async def result(self) -> Any:
        """What its work gave, as plain values. Raises `AssertionError` where the work raised."""
        await until(lambda: self.over, PATIENCE)
        failed, said = json.loads(self._said.read_text())
        assert not failed, said
        return said

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if not self._said.exists():  # Else it ends by itself, and its number may be another's.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        await until(lambda: not self._runs(), PATIENCE)

    def _runs(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        return True


class Lives:
    """Starts them."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._begun = 0

    @asynccontextmanager
    async def living(self, work: Work, *args: Any) -> AsyncIterator[Life]:
        """One of the works below in a process, which is killed with the block at the latest."""
        assert self._process.stdin
        assert self._process.stdout
        self._begun += 1
        said = self._folder / str(self._begun)
        order = json.dumps([work.__name__, args, str(said)])
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        life = Life(int(await asyncio.to_thread(self._process.stdout.readline)), said)
        try:
            yield life
        finally:
            await life.kill()


@contextmanager
def opened(folder: Path) -> Iterator[Lives]:
    """The process that lives are forked from, until the block ends.

    Args:
        folder: For what they write.
    """
    pipe = subprocess.PIPE
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Lives(process, folder)
        assert process.stdin
        process.stdin.close()


def _serve() -> None:
    """Fork a process for each line: the name of a work, its arguments, a file for its result."""
    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # So that no zombie is left.
    for line in sys.stdin:
        if pid := os.fork():
            print(pid, flush=True)
        else:
            name, args, said = json.loads(line)
            _live(globals()[name], args, Path(said))
            os._exit(0)


def _live(work: Work, args: list[Any], said: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        told = [False, asyncio.run(work(*args))]
    except Exception:  # noqa: BLE001 - the test is told
        told = [True, traceback.format_exc()]
    draft = said.with_suffix(".draft")
    draft.write_text(json.dumps(told))
    draft.rename(said)


# --- what they do


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def never(candidate: Candidate) -> bool:
    """A verifier that nothing satisfies."""
    return False


async def to_the_end(url: str, folder: str, depth: str) -> dict[str, Any]:
    """Ask, or go on with what was begun; nothing where the answer is there already."""
    agent = Agent(
        "m",
        base_url=url,
        tools=[add],
        threads=folder,
        depth=depth,
        budget="tokens=60000",
        settings=Settings(samples=4, at_once=2, seed=3, expansions=6, rounds=2),
        verifier=never if depth in ("reflect", "search") else None,
    )
    thread = agent.thread("x")
    if await thread.ainterrupted():
        await thread.aresume()
    elif not await thread.ahistory():
        await thread.arun(QUESTION)
    [turn] = await thread.ahistory()
    return turn.as_dict()


async def decided(url: str, folder: str, said: Any) -> dict[str, Any]:
    """Ask something where nothing waits; else decide all that waits in the same way.

    Each call of its tool is a line of the file `sent`. Where there is a file `hold`, the tool never
    comes back.
    """

    async def send_money(to: str, amount: int) -> str:
        """Send money to somebody."""
        with (Path(folder) / "sent").open("a") as book:
            book.write(json.dumps([to, amount]) + "\n")
        if (Path(folder) / "hold").exists():
            await asyncio.Event().wait()
        return f"sent {amount} to {to}"

    agent = Agent(
        "m",
        base_url=url,
        tools=[as_tool(send_money, side_effects=True)],
        approve="ask",
        threads=folder,
        depth="reason",
    )
    thread = agent.thread("x")
    if await thread.ainterrupted():
        pending = await thread.apending()
        answer = await thread.aresume({waiting.id: said for waiting in pending})
    else:
        answer = await thread.arun(QUESTION)
    return answer.as_dict()


async def told(url: str, folder: str, question: str, name: str = "x") -> str:
    """Ask a thread one question."""
    agent = Agent("m", base_url=url, threads=folder, depth="direct")
    return (await agent.thread(name).arun(question)).text


if __name__ == "__main__":
    _serve()
