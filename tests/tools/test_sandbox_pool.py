"""The pool of Python sessions: bounded, fair, never shared, free of deadlocks, nothing left."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil
import pytest
from boundaries import HERE, boundary
from hypothesis import given, settings
from hypothesis import strategies as st
from leftovers import until

from mull.tools.python import PythonTool
from mull.tools.sandbox import Execution, Result, SandboxUnavailable, pool
from mull.tools.sandbox.monty import MontySandbox
from mull.tools.sandbox.pool import Pool, local_places, pool_here
from mull.tools.tool import Scope


class Counted(MontySandbox):
    """Counts instead of running: code is a number of seconds, and the value the calls so far."""

    made: list[Counted]
    running = most_running = 0

    def __init__(self) -> None:
        super().__init__()
        self.on = self.closed = self.lost = False
        self.calls = 0
        type(self).made.append(self)

    async def start(self) -> None:
        await asyncio.sleep(0)
        self.on = True

    async def run_code(self, code: str, timeout: float) -> Execution:
        assert not self.closed
        kind = type(self)
        kind.running += 1
        kind.most_running = max(kind.most_running, kind.running)
        try:
            await self.start()
            assert sum(other.on for other in kind.made) <= PLACES
            await asyncio.sleep(float(code))
        finally:
            kind.running -= 1
        self.calls += 1
        lost, self.lost = self.lost, False
        return Execution(results=(Result(text=str(self.calls)),), session_lost=lost)

    async def park(self) -> None:
        await asyncio.sleep(0)
        self.lost, self.on, self.calls = self.on, False, 0

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.on, self.closed = False, True


PLACES = 3


def counting() -> Pool:
    kind = type("Counted", (Counted,), {"made": []})
    return Pool(kind, places=PLACES, turns=2, spares=0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(pool, "WAIT_SECONDS", 1.0)


async def test_every_session_has_a_sandbox_that_ends_with_it() -> None:
    sessions = counting()
    async with sessions.session() as one, sessions.session() as other:
        assert one.sandbox is not other.sandbox
        await one.run_code("0", 1)
    assert isinstance(one.sandbox, Counted)
    assert one.sandbox.closed
    async with sessions.session() as later:
        assert later.sandbox not in (one.sandbox, other.sandbox)


async def test_who_comes_first_gets_the_first_place() -> None:
    sessions, order = counting(), []

    async def branch(number: int) -> None:
        async with sessions.session() as session:
            await session.run_code("0.01", 1)
            order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(branch(number))
            await asyncio.sleep(0)
    assert [abs(place - number) <= PLACES for place, number in enumerate(order)] == [True] * 20
    assert sessions.alive == 0


async def test_sessions_that_are_called_again_soon_keep_their_state_under_pressure() -> None:
    sessions = counting()

    async def branch() -> None:
        async with sessions.session() as session:
            for call in range(3):
                done = await session.run_code("0.001", 1)
                assert (done.results[0].text, done.session_lost) == (str(call + 1), False)

    await asyncio.gather(*(branch() for _ in range(30)))


async def test_no_more_cells_run_at_once_than_there_are_turns() -> None:
    sessions = counting()

    async def branch() -> None:
        async with sessions.session() as session:
            await session.run_code("0.005", 1)
            assert isinstance(session.sandbox, Counted)
            kinds.append(type(session.sandbox))

    kinds: list[type[Counted]] = []
    await asyncio.gather(*(branch() for _ in range(10)))
    assert kinds[0].most_running == 2


async def test_the_longest_idle_session_is_parked_for_who_waits(quick: None) -> None:
    sessions = counting()
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(sessions.session()) for _ in range(PLACES)]
        for session in held:
            await session.run_code("0", 1)
        await held[0].run_code("0", 1)  # the second is the longest idle now
        late = await stack.enter_async_context(sessions.session())
        await late.run_code("0", 1)
        assert [session.seated for session in held] == [True, False, True]
        done = await held[1].run_code("0", 1)
        assert done.session_lost
        assert (await held[1].run_code("0", 1)).results[0].text == "2"


async def test_branches_below_a_branch_that_holds_a_session_get_theirs(quick: None) -> None:
    sessions = counting()

    async def branch(depth: int) -> int:
        async with sessions.session() as session:
            await session.run_code("0", 1)
            if depth == 0:
                return 1
            below = await asyncio.gather(branch(depth - 1), branch(depth - 1))
            await session.run_code("0", 1)
            return 1 + sum(below)

    async with asyncio.timeout(10):
        assert await branch(3) == 15
    assert sessions.alive == 0


async def test_a_place_that_never_comes_is_told(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.05)
    sessions = Pool(counting()._make, places=1, turns=1)
    async with sessions.session() as one, sessions.session() as other:
        busy = asyncio.create_task(one.run_code("0.3", 1))
        await asyncio.sleep(0.01)
        with pytest.raises(SandboxUnavailable, match="busy"):
            await other.run_code("0", 1)
        await busy
        monkeypatch.setattr(pool, "WAIT_SECONDS", 1.0)
        await other.run_code("0", 1)


async def test_a_session_ended_while_it_waits_takes_no_place(quick: None) -> None:
    sessions = Pool(counting()._make, places=1, turns=1)
    async with sessions.session() as one:
        busy = asyncio.create_task(one.run_code("0.05", 1))
        await asyncio.sleep(0.01)
        async with sessions.session() as other:
            waiting = asyncio.create_task(other.run_code("0", 1))
            await asyncio.sleep(0.01)
        with suppress(AssertionError):
            await waiting
        await busy
    assert sessions.alive == 0


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(0, 0.01), st.floats(0, 0.02), st.integers(0, 3), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_whoever_is_cancelled_whenever_no_place_is_lost_or_given_twice(
    branches: list[tuple[float, float, int, bool]],
) -> None:
    async def branch(sessions: Pool, seconds: float, calls: int) -> None:
        async with sessions.session() as session:
            for _ in range(calls):
                await session.run_code(str(seconds), 1)
                await asyncio.sleep(seconds)

    async def main() -> None:
        sessions = counting()
        tasks = []
        for seconds, after, calls, cancelled in branches:
            task = asyncio.create_task(branch(sessions, seconds, calls))
            tasks.append(task)
            if cancelled:
                asyncio.get_running_loop().call_later(after, task.cancel)
        async with asyncio.timeout(5):
            done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError | None) for end in done), done
        assert sessions.alive == 0
        await sessions.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "IDLE_SECONDS", 0.002)
        asyncio.run(main())


@pytest.fixture(params=HERE)
async def here(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with boundary(request.param) as opened:
        yield opened.isolation


async def test_a_second_branch_finds_a_worker_that_was_started_ahead(here: str) -> None:
    sessions = await pool_here(here)
    async with sessions.session() as one:
        await one.run_code("1", 5)
        await until(lambda: len(sessions._spares) == pool.SPARES, 10)
        ahead = list(sessions._spares)
        async with sessions.session() as other:
            assert other.sandbox in ahead
            assert not (await other.run_code("1", 5)).session_lost


async def test_workers_started_ahead_go_some_time_after_the_last_session(
    here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LINGER_SECONDS", 0.05)
    sessions = await pool_here(here)
    before = children()
    async with sessions.session() as session:
        await session.run_code("1", 5)
        await until(lambda: len(sessions._spares) == pool.SPARES, 10)
    assert sessions.alive == pool.SPARES
    await until(lambda: sessions.alive == 0)
    await until(lambda: children() <= before)


def test_a_loop_that_ends_leaves_no_worker() -> None:
    async def work() -> None:
        for name in HERE:
            async with boundary(name) as opened, AsyncExitStack() as stack:
                sessions = await pool_here(opened.isolation)
                await (await stack.enter_async_context(sessions.session())).run_code("1", 5)
                await until(lambda: len(sessions._spares) == pool.SPARES, 10)  # noqa: B023

    before = children()
    asyncio.run(work())
    assert children() <= before


def test_there_are_places_for_half_of_the_memory_from_four_to_thirty_two() -> None:
    gib = 1 << 30
    assert [local_places(memory * gib) for memory in (1, 16, 24, 512)] == [4, 8, 12, 32]


async def test_a_hundred_branches_keep_their_own_state_in_a_bounded_number_of_processes() -> None:
    async with boundary("sandlock"):
        sessions, tool, before = await pool_here("sandlock"), PythonTool(), children()
        most, held = 0, 0

        async def watch() -> None:
            nonlocal most, held
            while True:
                guests = [psutil.Process(pid) for pid in children() - before]
                most = max(most, len(guests))
                with suppress(psutil.NoSuchProcess):
                    held = max(held, sum(guest.memory_info().rss for guest in guests))
                await asyncio.sleep(0.05)

        async def branch(number: int) -> None:
            scope = Scope(str(number))
            try:
                for code, said in (
                    (f"assert 'x' not in globals()\nx = {number}\nx", str(number)),
                    ("import os\nassert os.listdir() == []\nx += 1000\nx", str(number + 1000)),
                ):
                    output = await tool.call({"code": code}, scope)
                    assert (output.text, output.failed) == (said, False)
            finally:
                await scope.aclose()

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(branch(number) for number in range(100)))
        watching.cancel()
        assert 0 < most <= sessions.places
        assert held < sessions.places * (64 << 20)
        await sessions.aclose()
        assert sessions.alive == 0
        await until(lambda: children() <= before)


HOST = """
import asyncio, psutil
from mull.tools.python import PythonTool
from mull.tools.tool import Scope

async def main():
    tool, scopes = PythonTool(), [Scope() for _ in range(3)]
    await asyncio.gather(*(tool.call({"code": "x = 1"}, scope) for scope in scopes))
    await asyncio.sleep(1)
    print(*(child.pid for child in psutil.Process().children()), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_host_leaves_no_worker_of_the_pool() -> None:
    async with boundary("sandlock"):
        host = host_process()
        assert host.stdout is not None
        guests = [int(pid) for pid in (await asyncio.to_thread(host.stdout.readline)).split()]
        host.kill()
        host.communicate()
        assert len(guests) == 3 + pool.SPARES
        await until(lambda: not any(runs(pid) for pid in guests))


SYNCHRONOUS = """
import asyncio, psutil
from mull.portal import run_blocking
from mull.tools.python import PythonTool
from mull.tools.tool import Scope

async def work():
    await PythonTool().call({"code": "1"}, scope)
    await asyncio.sleep(1)

scope = Scope()
run_blocking(work)
assert len(psutil.Process().children()) > 1
"""


def test_a_synchronous_program_ends_in_silence_and_leaves_no_directory(tmp_path: Path) -> None:
    where = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", SYNCHRONOUS]
    done = subprocess.run(command, env=where, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert os.listdir(tmp_path) == []


def host_process() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
