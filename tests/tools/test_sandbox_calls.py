"""Which system calls the sandlock boundary denies, and that ordinary work goes on without them."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator

import pytest
from boundaries import boundary

from mull.tools.sandbox import Sandbox
from mull.tools.sandbox.calls import denied_calls
from mull.tools.sandbox.selftest import LAST_PROBE


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with boundary("sandlock") as opened:
        yield opened


async def test_every_denied_call_is_denied(sandbox: Sandbox) -> None:
    from sandlock._sdk import _lib  # on Linux only

    numbers = {name: _lib.sandlock_syscall_nr(name.encode()) for name in denied_calls()}
    assert min(numbers.values()) >= 0
    code = (
        f"import ctypes\ncalls = {numbers}\nopen_ = []\nc = ctypes.CDLL(None, use_errno=True)\n"
        "for name, number in calls.items():\n"
        "    ctypes.set_errno(0)\n"
        "    if c.syscall(number, -1, -1, -1, -1, -1) >= 0 or ctypes.get_errno() != 1:\n"
        "        open_.append((name, ctypes.get_errno()))\n"
        "open_"
    )
    assert (await sandbox.run_code(code, 5)).results[0].text == "[]"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Other call tables are x86's.")
@pytest.mark.parametrize(
    "code",
    ["import ctypes\nctypes.CDLL(None).syscall(0x40000000 | 39)", LAST_PROBE[1]],
    ids=["x32", "i386"],
)
async def test_another_call_table_ends_the_session(sandbox: Sandbox, code: str) -> None:
    done = await sandbox.run_code(code, 5)
    assert done.session_lost
    assert done.error is not None
    assert "SIGSYS" in done.error.value


async def test_the_guest_has_nobodys_powers(sandbox: Sandbox) -> None:
    code = (
        "import ctypes\nheld = (ctypes.c_uint * 6)()\n"
        "ctypes.CDLL(None).capget((ctypes.c_uint * 2)(0x20080522, 0), held)\nlist(held)"
    )
    assert (await sandbox.run_code(code, 5)).results[0].text == "[0, 0, 0, 0, 0, 0]"


ORDINARY = {
    "temporary directory": (
        "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    open(d + '/x', 'w').close()"
    ),
    "temporary file": (
        "import tempfile\nwith tempfile.NamedTemporaryFile() as f:\n    f.write(b'1')"
    ),
    "copy and move": (
        "import shutil\nopen('a', 'w').write('1')\nshutil.copyfile('a', 'b')\nshutil.move('b', 'c')"
    ),
    "touch": "import pathlib\npathlib.Path('a').touch()\npathlib.Path('fresh').touch()",
    "json": "import json\njson.dump([1], open('j', 'w'))\nassert json.load(open('j')) == [1]",
    "zip": (
        "import zipfile\nwith zipfile.ZipFile('z', 'w') as z:\n    z.write('a')\n"
        "zipfile.ZipFile('z').extractall('unzipped')"
    ),
    "tar": (
        "import tarfile\nwith tarfile.open('t', 'w') as t:\n    t.add('a')\n"
        "tarfile.open('t').extractall('untarred')"
    ),
    "sqlite": (
        "import sqlite3\nd = sqlite3.connect('s.db')\nd.execute('pragma journal_mode = wal')\n"
        "d.execute('create table t(a)')\nd.execute('insert into t values (1)')\nd.commit()"
    ),
    "asyncio": "import asyncio\nasyncio.run(asyncio.to_thread(len, ''))",
    "recursion in a thread": (
        "import threading\nx, said = [], []\nfor _ in range(900):\n    x = [x]\n"
        "t = threading.Thread(target=lambda: said.append(repr(x)))\nt.start()\nt.join()\n"
        "assert len(said[0]) == 1802"
    ),
}


async def test_ordinary_work_goes_on(sandbox: Sandbox) -> None:
    for name, code in ORDINARY.items():
        assert (await sandbox.run_code(code, 10)).error is None, name


async def test_copying_a_mode_fails_as_the_model_is_told(sandbox: Sandbox) -> None:
    code = "import shutil\nopen('a', 'w').close()\nshutil.copy('a', 'b')"
    done = await sandbox.run_code(code, 5)
    assert done.error is not None
    assert done.error.name == "PermissionError"
    assert "shutil.copy" in sandbox.capabilities.lacks


async def test_open_files_have_a_largest_number(sandbox: Sandbox) -> None:
    code = "kept = [open('f', 'w') for _ in range(300)]"
    done = await sandbox.run_code(code, 5)
    assert done.error is not None
    assert "Too many open files" in done.error.value
    assert not done.session_lost
