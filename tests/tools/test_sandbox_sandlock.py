"""What holds for the sandlock boundary alone: real CPython, real files, real signals."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from boundaries import boundary

from mull.errors import MullError
from mull.tools.sandbox import Sandbox, SandboxFileError
from mull.tools.sandbox.wire import REPLY_BYTES, BadReply, parse
from mull.tools.sandbox.workdir import PREFIX, Workdir


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with boundary("sandlock") as opened:
        yield opened


async def fails(sandbox: Sandbox, code: str, seconds: float = 5, lost: bool = True) -> str:
    """Run `code`, which must end as told; afterwards the sandbox must work. The error's name."""
    done = await sandbox.run_code(code, seconds)
    assert done.error is not None
    assert done.session_lost is lost, done.error
    after = await sandbox.run_code("40 + 2", 5)
    assert [result.text for result in after.results] == ["42"]
    assert not after.session_lost
    return f"{done.error.name}: {done.error.value}"


async def test_a_segfault_costs_the_session_and_nothing_else(sandbox: Sandbox) -> None:
    assert "SIGSEGV" in await fails(sandbox, "import ctypes\nctypes.string_at(0)")


async def test_an_exit_of_the_process_is_reported_with_its_code(sandbox: Sandbox) -> None:
    assert "code 3" in await fails(sandbox, "import os\nos._exit(3)")


async def test_another_program_in_the_workers_place_is_a_lost_session(sandbox: Sandbox) -> None:
    await fails(sandbox, "import os\nos.execv('/bin/true', ['true'])")


async def test_sys_exit_ends_the_cell_only(sandbox: Sandbox) -> None:
    assert "SystemExit" in await fails(sandbox, "raise SystemExit(2)", lost=False)


async def test_a_guest_that_left_its_process_group_is_killed(sandbox: Sandbox) -> None:
    code = (
        "import contextlib, os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with contextlib.suppress(OSError):\n    os.setsid()\n"
        "with contextlib.suppress(OSError):\n    os.setpgid(0, 0)\nwhile True:\n    pass"
    )
    assert "TimeoutError" in await fails(sandbox, code, 0.1)


async def test_ignoring_the_interrupt_costs_the_session(sandbox: Sandbox) -> None:
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass"
    start = time.monotonic()
    assert "TimeoutError" in await fails(sandbox, code, 0.1)
    assert time.monotonic() - start < 2


async def test_cancelling_a_cell_that_ignores_the_interrupt_kills_it(sandbox: Sandbox) -> None:
    await sandbox.run_code("x = 1", 5)
    code = "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True:\n    pass"
    running = asyncio.create_task(sandbox.run_code(code, 30))
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await sandbox.run_code("1", 5)).session_lost
    assert not (await sandbox.run_code("1", 5)).session_lost


async def test_a_second_cancellation_kills_at_once(sandbox: Sandbox) -> None:
    code = "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True:\n    pass"
    await sandbox.run_code("x = 1", 5)
    running = asyncio.create_task(sandbox.run_code(code, 30))
    await asyncio.sleep(0.2)
    running.cancel()
    await asyncio.sleep(0.05)
    running.cancel()
    start = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - start < 0.3
    assert (await sandbox.run_code("1", 5)).session_lost


async def test_cancellation_keeps_the_variables(sandbox: Sandbox) -> None:
    await sandbox.run_code("x = 7", 5)
    running = asyncio.create_task(sandbox.run_code("while True:\n    pass", 30))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    kept = await sandbox.run_code("x", 5)
    assert kept.results[0].text == "7"
    assert not kept.session_lost


@pytest.mark.parametrize("stack", [0, 32768])
async def test_a_thread_bomb_costs_the_session(sandbox: Sandbox, stack: int) -> None:
    code = (
        f"import threading, time\nthreading.stack_size({stack})\n"
        "for i in range(5000):\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    await fails(sandbox, code, 10)


async def test_a_pool_of_threads_works(sandbox: Sandbox) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(16) as pool:\n    n = sum(pool.map(abs, range(16)))\nn"
    )
    assert (await sandbox.run_code(code, 5)).results[0].text == "120"


async def test_a_thread_left_behind_is_frozen_between_calls(sandbox: Sandbox) -> None:
    code = (
        "import threading\nn = 0\ndef count():\n    global n\n    while True:\n        n += 1\n"
        "threading.Thread(target=count, daemon=True).start()"
    )
    await sandbox.run_code(code, 5)
    spent = []
    for _ in range(2):
        await asyncio.sleep(0.3)
        done = await sandbox.run_code("import time\ntime.process_time()", 5)
        spent.append(float(done.results[0].text or 0))
    assert spent[1] - spent[0] < 0.15


async def test_memory_that_grows_is_stopped(sandbox: Sandbox) -> None:
    code = "import mmap\nx = []\nwhile True:\n    x.append(mmap.mmap(-1, 1 << 26))"
    assert "memory" in await fails(sandbox, code)


async def test_more_files_in_all_than_allowed_are_removed(sandbox: Sandbox) -> None:
    code = "for i in range(40):\n    open(f'f{i}', 'wb').write(b'x' * (32 << 20))"
    assert "MiB of files" in await fails(sandbox, code, 10)
    assert await sandbox.list_files() == ()


async def test_deleted_files_that_stay_open_count(sandbox: Sandbox) -> None:
    code = (
        "import os, time\nkept = []\nfor i in range(9):\n"
        "    kept.append(open('f', 'wb+'))\n    os.unlink('f')\n"
        "    kept[-1].write(b'x' * (48 << 20))\ntime.sleep(1)"
    )
    assert "deleted files" in await fails(sandbox, code, 10)


async def test_one_file_has_a_largest_size(sandbox: Sandbox) -> None:
    code = "open('f', 'wb').write(b'x' * (65 << 20))"
    assert "File too large" in await fails(sandbox, code, lost=False)


async def test_an_inode_bomb_is_stopped(sandbox: Sandbox) -> None:
    code = (
        "import os, time\nfor i in range(4200):\n    os.mkdir(str(i))\n"
        "while True:\n    time.sleep(1)"
    )
    assert "files" in await fails(sandbox, code, 15)
    assert await sandbox.list_files() == ()


FORGE = (
    "import os, stat\n"
    "def _fifo(fd):\n"
    "    try:\n        found = os.fstat(fd)\n    except OSError:\n        return False\n"
    "    return stat.S_ISFIFO(found.st_mode)\n"
    "pipes = [fd for fd in range(3, 20) if _fifo(fd)]\n"
    "def forge(data):\n"
    "    for fd in pipes:\n"
    "        try:\n            os.write(fd, data)\n        except OSError:\n            pass\n"
)


async def test_a_garbled_reply_costs_the_session(sandbox: Sandbox) -> None:
    assert "protocol" in await fails(sandbox, FORGE + "forge(b'garbage\\n')")


async def test_an_endless_reply_costs_the_session_and_little_memory(sandbox: Sandbox) -> None:
    code = FORGE + "for i in range(480):\n    forge(b'z' * 65536)"
    assert "longer than" in await fails(sandbox, code, 10)


async def test_a_forged_reply_to_another_call_is_dropped(sandbox: Sandbox) -> None:
    code = FORGE + 'forge(b\'{"id": "0", "text": "forged"}\\n\')\n"real"'
    done = await sandbox.run_code(code, 5)
    assert done.results[0].text == "'real'"


async def test_closing_every_descriptor_is_a_lost_session(sandbox: Sandbox) -> None:
    await fails(sandbox, "import os\nos.closerange(0, 64)")


async def test_closing_the_standard_streams_lasts_for_the_cell(sandbox: Sandbox) -> None:
    await sandbox.run_code("import os, sys\nos.close(1)\nsys.stdout = None", 5)
    assert (await sandbox.run_code("print('back')", 5)).stdout == "back\n"


async def test_prints_below_python_are_output_and_not_protocol(sandbox: Sandbox) -> None:
    code = (
        "import ctypes, os\nos.write(1, b'fd\\n')\nctypes.CDLL(None).puts(b'libc')\n"
        "os.write(2, b'e')\n7"
    )
    done = await sandbox.run_code(code, 5)
    assert sorted(done.stdout.split()) == ["fd", "libc"]
    assert done.stderr == "e"
    assert done.results[0].text == "7"


async def test_input_finds_an_end_of_file(sandbox: Sandbox) -> None:
    assert "EOFError" in await fails(sandbox, "input()", lost=False)


async def test_a_value_whose_repr_fails_is_an_error(sandbox: Sandbox) -> None:
    code = (
        "class Bad(Exception):\n    def __repr__(self):\n        raise Bad\n"
        "    __str__ = __repr__\n"
    )
    assert "Bad" in await fails(sandbox, code + "Bad()", lost=False)
    assert "Bad" in await fails(sandbox, code + "raise Bad()", lost=False)


async def test_files_go_in_and_out(sandbox: Sandbox) -> None:
    await sandbox.write_file("data/in.txt", b"12")
    await sandbox.run_code("open('out.txt', 'w').write(open('data/in.txt').read() * 2)", 5)
    assert await sandbox.read_file("out.txt") == b"1212"
    assert await sandbox.list_files() == ("data/in.txt", "out.txt")


async def test_a_changed_file_is_seen_whatever_times_the_guest_sets(sandbox: Sandbox) -> None:
    await sandbox.write_file("a.txt", b"old")
    code = "import os\nwith open('a.txt', 'w') as f:\n    f.write('new')"
    assert (await sandbox.run_code(code, 5)).files == ("a.txt",)
    assert (await sandbox.run_code("open('a.txt').read()", 5)).files == ()


async def test_files_outlast_a_restart(sandbox: Sandbox) -> None:
    await sandbox.write_file("a.txt", b"a")
    await sandbox.restart()
    assert (await sandbox.run_code("open('a.txt').read()", 5)).results[0].text == "'a'"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "", ".", "a\0b"])
async def test_a_name_that_leads_outside_is_refused(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(SandboxFileError):
        await sandbox.read_file(name)
    with pytest.raises(SandboxFileError):
        await sandbox.write_file(name, b"x")


async def test_links_are_never_followed(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    code = (
        f"import os\nos.symlink({str(secret)!r}, 'link')\n"
        f"os.symlink({str(tmp_path)!r}, 'folder')\nos.symlink('/', 'root')"
    )
    await sandbox.run_code(code, 5)
    for name in ("link", "folder/secret", f"root{secret}"):
        with pytest.raises(SandboxFileError):
            await sandbox.read_file(name)
        with pytest.raises(SandboxFileError):
            await sandbox.write_file(name, b"x")
    assert secret.read_text() == "secret"
    assert await sandbox.list_files() == ()


async def test_descriptors_the_host_left_inheritable_are_closed() -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        async with boundary("sandlock") as sandbox:
            done = await sandbox.run_code(f"import os\nos.write({write}, b'x')", 5)
            os.set_blocking(read, False)
            with pytest.raises(BlockingIOError):
                os.read(read, 1)
            assert done.stdout == ""
    finally:
        os.close(read)
        os.close(write)


async def test_closing_removes_the_directory_and_refuses_more(sandbox: Sandbox) -> None:
    where = (await sandbox.run_code("import os\nos.getcwd()", 5)).results[0].text or ""
    root = Path(where.strip("'")).parent
    assert root.name in os.listdir(root.parent)
    await sandbox.close()
    assert root.name not in os.listdir(root.parent)
    with pytest.raises(MullError, match="closed"):
        await sandbox.run_code("1", 5)


def test_directories_of_dead_hosts_are_removed_and_of_living_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living = Workdir()
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    for folder in (living.root, dead):
        os.utime(folder, (0, 0))
    Workdir().close()
    assert os.listdir(tmp_path) == [living.root.name]
    living.close()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"text": "no id"}',
        b'{"id": 1}',
        b'{"id": "a", "text": 1}',
        b'{"id": "a", "error": "no"}',
        b'{"id": "a", "error": ["a", "b"]}',
        b'{"id": "a", "error": ["a", "b", 3]}',
        b"[" * REPLY_BYTES,
        b"1" * REPLY_BYTES,
        b"\xff\xfe",
    ],
    ids=range(11),
)
def test_a_reply_that_is_not_the_workers_is_refused(line: bytes) -> None:
    with pytest.raises(BadReply):
        parse(line)


def test_a_lone_surrogate_in_a_reply_can_be_encoded() -> None:
    _, execution = parse(b'{"id": "a", "text": "\\ud800"}')
    assert (execution.results[0].text or "").encode() == b"?"
