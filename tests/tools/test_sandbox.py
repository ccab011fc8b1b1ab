"""What holds behind every boundary that this machine offers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from boundaries import EVERYWHERE, HERE, boundary

from mull.errors import MullError
from mull.tools.sandbox import Sandbox, SandboxFileError, open_sandbox
from mull.tools.sandbox.wire import OUTPUT_BYTES, TEXT_CHARACTERS


@pytest.fixture(params=EVERYWHERE)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    async with boundary(request.param) as opened:
        yield opened


@pytest.fixture(params=HERE)
async def local(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    async with boundary(request.param) as opened:
        yield opened


async def works(sandbox: Sandbox) -> None:
    after = await sandbox.run_code("40 + 2", 5)
    assert [result.text for result in after.results] == ["42"]


async def test_the_value_of_a_last_expression_is_the_result(sandbox: Sandbox) -> None:
    done = await sandbox.run_code("x = 20\nx + 1", 5)
    assert [result.text for result in done.results] == ["21"]
    assert done.error is None
    assert not done.session_lost
    assert not (await sandbox.run_code("None", 5)).results


async def test_state_lasts_until_a_restart(sandbox: Sandbox) -> None:
    await sandbox.run_code("x = 5\ndef double(n):\n    return 2 * n", 5)
    assert (await sandbox.run_code("double(x)", 5)).results[0].text == "10"
    await sandbox.restart()
    gone = await sandbox.run_code("x", 5)
    assert gone.error is not None
    assert gone.error.name == "NameError"


async def test_output_and_error_come_apart(sandbox: Sandbox) -> None:
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 / 0"
    done = await sandbox.run_code(code, 5)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert done.error is not None
    assert (done.error.name, done.error.value) == ("ZeroDivisionError", "division by zero")
    assert "line 4" in done.error.traceback


async def test_a_syntax_error_is_the_cells_own(sandbox: Sandbox) -> None:
    done = await sandbox.run_code("def f(:", 5)
    assert done.error is not None
    assert done.error.name == "SyntaxError"
    await works(sandbox)


async def test_two_gigabytes_are_not_had(sandbox: Sandbox) -> None:
    done = await sandbox.run_code("x = 'a' * (2 << 30)\nlen(x)", 10)
    assert done.error is not None
    assert not done.results
    await works(sandbox)


async def test_code_out_of_time_is_stopped(sandbox: Sandbox) -> None:
    await sandbox.run_code("x = 7", 5)
    start = time.monotonic()
    done = await sandbox.run_code("print('before')\nwhile True:\n    pass", 0.3)
    assert time.monotonic() - start < 2
    assert done.error is not None
    assert done.error.name == "TimeoutError"
    assert done.stdout == "before\n"
    assert done.session_lost is not sandbox.capabilities.keeps_state_on_timeout
    kept = await sandbox.run_code("x", 5)
    assert (kept.error is None) is sandbox.capabilities.keeps_state_on_timeout


async def test_output_without_end_is_cut(sandbox: Sandbox) -> None:
    # The subset's interpreter, and a server that relays it line by line, print slowly.
    megabytes = 100 if sandbox.isolation == "sandlock" else 20
    code = f"s = ('y' * 99 + '\\n') * 10000\nfor i in range({megabytes}):\n    print(s, end='')"
    done = await sandbox.run_code(code, 20)
    assert done.error is None
    assert done.truncated
    assert 0 < len(done.stdout) <= OUTPUT_BYTES
    await works(sandbox)


async def test_a_thirty_megabyte_value_is_cut(local: Sandbox) -> None:
    done = await local.run_code("'z' * (30 << 20)", 10)
    assert done.truncated
    assert len(done.results[0].text or "") == TEXT_CHARACTERS
    await works(local)


async def test_a_cancelled_call_stops_and_the_sandbox_goes_on(sandbox: Sandbox) -> None:
    await works(sandbox)
    running = asyncio.create_task(sandbox.run_code("while True:\n    pass", 30))
    await asyncio.sleep(0.2)
    running.cancel()
    start = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - start < 1
    await works(sandbox)


async def test_interrupt_stops_a_running_call(sandbox: Sandbox) -> None:
    await works(sandbox)
    running = asyncio.create_task(sandbox.run_code("while True:\n    pass", 30))
    await asyncio.sleep(0.2)
    await sandbox.interrupt()
    done = await asyncio.wait_for(running, 2)
    assert done.error is not None
    assert done.error.name == "KeyboardInterrupt"
    await works(sandbox)


async def test_restart_stops_a_running_call(sandbox: Sandbox) -> None:
    await works(sandbox)
    running = asyncio.create_task(sandbox.run_code("while True:\n    pass", 30))
    await asyncio.sleep(0.2)
    await asyncio.wait_for(sandbox.restart(), 2)
    assert (await asyncio.wait_for(running, 2)).error is not None
    await works(sandbox)


async def test_a_started_sandbox_has_run_nothing(sandbox: Sandbox) -> None:
    await sandbox.start()
    await sandbox.start()
    done = await sandbox.run_code("x", 5)
    assert done.error is not None
    assert not done.session_lost


async def test_a_parked_sandbox_says_that_its_session_was_lost(sandbox: Sandbox) -> None:
    await sandbox.run_code("x = 5", 5)
    await sandbox.park()
    done = await sandbox.run_code("x", 5)
    assert done.error is not None
    assert done.session_lost
    assert not (await sandbox.run_code("1", 5)).session_lost


async def test_parking_what_never_ran_loses_nothing(sandbox: Sandbox) -> None:
    await sandbox.park()
    assert not (await sandbox.run_code("1", 5)).session_lost


async def test_files_that_the_host_gave_outlast_parking(sandbox: Sandbox) -> None:
    if not sandbox.capabilities.files:
        with pytest.raises(SandboxFileError):
            await sandbox.write_file("a.txt", b"a")
        return
    await sandbox.write_file("data/a.txt", b"a")
    await sandbox.run_code("1", 5)
    await sandbox.park()
    assert (await sandbox.run_code("open('data/a.txt').read()", 5)).results[0].text == "'a'"


async def test_the_files_that_a_cell_made_or_changed_are_named(sandbox: Sandbox) -> None:
    if not sandbox.capabilities.files:
        return
    await sandbox.write_file("given.txt", b"a")
    assert (await sandbox.run_code("open('given.txt').read()", 5)).files == ()
    made = await sandbox.run_code(
        "import os\nos.mkdir('d')\nfor n in ('new.txt', 'd/b.txt'):\n    open(n, 'w').close()", 5
    )
    assert made.files == ("d/b.txt", "new.txt")
    changed = await sandbox.run_code("with open('given.txt', 'w') as f:\n    f.write('longer')", 5)
    assert changed.files == ("given.txt",)


async def test_a_closed_sandbox_refuses_to_start(sandbox: Sandbox) -> None:
    await sandbox.close()
    await sandbox.close()
    for call in (sandbox.start(), sandbox.run_code("1", 5)):
        with pytest.raises(MullError, match="closed"):
            await call


async def test_two_sandboxes_share_nothing(sandbox: Sandbox) -> None:
    await sandbox.run_code("x = 1", 5)
    async with open_sandbox(sandbox.isolation) as other:
        assert (await other.run_code("x", 5)).error is not None


async def test_a_closed_sandbox_leaves_no_descriptor_and_no_worker(local: Sandbox) -> None:
    async def use() -> None:
        async with open_sandbox(local.isolation) as other:
            await works(other)

    def held() -> tuple[int, list[int]]:
        # Threads of the event loop's own pool stay; children and descriptors must not.
        here = psutil.Process()
        return here.num_fds(), sorted(child.pid for child in here.children())

    await works(local)
    await use()
    before = held()
    for _ in range(3):
        await use()
    assert held() == before


HOST = """
import asyncio, psutil, sys
from mull.tools.sandbox import choose, monty

monty.LONGEST_SECONDS = 1.0

async def main():
    sandboxes = [choose.make(sys.argv[1]) for _ in ("idle", "busy")]
    for sandbox in sandboxes:
        await sandbox.run_code("1", 5)
    busy = asyncio.create_task(sandbox.run_code("while True:\\n    pass", 60))
    await asyncio.sleep(0.1)
    print(*(child.pid for child in psutil.Process().children()), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_host_leaves_no_guest_idle_or_busy(local: Sandbox) -> None:
    host = _python(HOST, local.isolation)
    assert host.stdout is not None
    guests = (await asyncio.to_thread(host.stdout.readline)).split()
    host.kill()
    host.communicate()
    assert len(guests) >= 2
    # A busy monty worker ends by its own time limit, 1 s here; everything else ends at once.
    deadline = time.monotonic() + (2 if local.isolation == "monty" else 1)
    while running := [pid for pid in guests if _runs(pid)]:
        assert time.monotonic() < deadline, running
        await asyncio.sleep(0.05)


def _python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
