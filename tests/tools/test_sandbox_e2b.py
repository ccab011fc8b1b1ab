"""What holds for the E2B boundary alone: the real client against a server that may be hostile."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from boundaries import e2b
from e2b_server import E2bServer
from leftovers import until

from mull.tools.sandbox import Execution, SandboxFileError, SandboxUnavailable
from mull.tools.sandbox import e2b as room
from mull.tools.sandbox.e2b import E2bSandbox
from mull.tools.sandbox.e2b_client import LINE_BYTES
from mull.tools.sandbox.wire import OUTPUT_BYTES, TEXT_CHARACTERS


@pytest.fixture
async def server() -> AsyncIterator[E2bServer]:
    async with e2b() as running:
        yield running


@pytest.fixture
async def sandbox(server: E2bServer) -> AsyncIterator[E2bSandbox]:
    sandbox = E2bSandbox()
    yield sandbox
    server.answer = server.refuse = None
    await sandbox.close()
    assert not server.boxes


async def works(sandbox: E2bSandbox) -> Execution:
    done = await sandbox.run_code("40 + 2", 5)
    assert [result.text for result in done.results] == ["42"], done
    return done


def said(**event: object) -> bytes:
    return json.dumps(event).encode() + b"\n"


async def answered(sandbox: E2bSandbox, server: E2bServer, lines: bytes) -> Execution:
    """A call that the machine answers with these bytes; the next one works."""
    await works(sandbox)
    server.answer = lambda code: lines if code == "attack" else None
    done = await sandbox.run_code("attack", 5)
    await works(sandbox)
    return done


async def test_a_machine_has_no_internet_and_an_end_of_its_own(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    await works(sandbox)
    (box,) = server.boxes.values()
    assert not box.internet
    assert box.timeout == room.LIFE_SECONDS


async def test_each_sandbox_has_a_machine_and_ends_it(server: E2bServer) -> None:
    sandboxes = [E2bSandbox() for _ in range(3)]
    await asyncio.gather(*(works(sandbox) for sandbox in sandboxes))
    assert len(server.boxes) == 3
    await asyncio.gather(*(sandbox.close() for sandbox in sandboxes))
    assert not server.boxes


async def test_a_machine_that_is_used_is_kept_alive(
    server: E2bServer, sandbox: E2bSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LIFE_SECONDS", 10)
    await works(sandbox)
    await works(sandbox)
    assert "POST /sandboxes/box1/timeout" in server.requests


async def test_a_machine_that_ended_is_replaced_and_the_loss_told(
    server: E2bServer, sandbox: E2bSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LIFE_SECONDS", 10)
    await sandbox.write_file("in.txt", b"1")
    await works(sandbox)
    server.end(next(iter(server.boxes.values())))
    done = await sandbox.run_code("open('in.txt').read()", 5)
    assert done.session_lost
    assert done.results[0].text == "'1'"


async def test_a_machine_that_ends_during_a_call_costs_the_session_only(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    await works(sandbox)
    running = asyncio.create_task(sandbox.run_code("while True:\n    pass", 30))
    await asyncio.sleep(0.2)
    server.end(next(iter(server.boxes.values())))
    done = await asyncio.wait_for(running, 10)
    assert done.error is not None
    await works(sandbox)


async def test_a_kernel_that_dies_is_an_error_and_the_loss_is_told(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    await sandbox.run_code("x = 1", 5)
    died = await sandbox.run_code("import os\nos._exit(3)", 5)
    assert died.error is not None
    assert (await works(sandbox)).session_lost
    assert not (await works(sandbox)).session_lost


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_machine_that_is_refused_says_why(
    server: E2bServer, sandbox: E2bSandbox, status: int
) -> None:
    server.refuse = lambda method, path: status if path == "/v2/sandboxes" else None
    with pytest.raises(SandboxUnavailable, match=f"{status}.*E2B_API_KEY"):
        await sandbox.run_code("1", 5)
    server.refuse = None
    await works(sandbox)


async def test_a_machine_without_a_session_is_not_left_behind(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    server.refuse = lambda method, path: 500 if path == "/contexts" else None
    with pytest.raises(SandboxUnavailable):
        await sandbox.run_code("1", 5)
    assert server.made == 1
    assert not server.boxes


async def test_a_machine_that_is_slow_to_start_is_given_up(
    server: E2bServer, sandbox: E2bSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.delay = 0.5
    monkeypatch.setattr(room, "START_SECONDS", 0.1)
    with pytest.raises(SandboxUnavailable, match="Timeout"):
        await sandbox.run_code("1", 5)


async def test_a_machine_that_comes_after_the_call_was_cancelled_is_ended(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    server.delay = 0.2
    running = asyncio.create_task(sandbox.run_code("1", 5))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: server.made == 1)
    await until(lambda: not server.boxes)


async def test_without_the_key_nothing_is_asked(
    server: E2bServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("E2B_API_KEY")
    with pytest.raises(SandboxUnavailable, match="E2B_API_KEY"):
        E2bSandbox()
    assert not server.requests


async def test_a_session_that_cannot_be_restarted_costs_the_machine(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    await works(sandbox)
    server.refuse = lambda method, path: 500 if path.endswith("/restart") else None
    done = await sandbox.run_code("while True:\n    pass", 0.2)
    assert done.session_lost
    await works(sandbox)
    assert server.made == 2


async def test_pictures_come_as_bytes_and_other_forms_as_text(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    frame = {"png": "iVBORw0KGgo=", "html": "<b>1</b>", "latex": "$1$", "text": "1"}
    done = await answered(sandbox, server, said(type="result", **frame))
    (result,) = done.results
    assert result.png == b"\x89PNG\r\n\x1a\n"
    assert (result.html, result.latex, result.text) == ("<b>1</b>", "$1$", "1")


@pytest.mark.parametrize(
    "lines",
    [
        b'garbage\n[]\n7\n"x"\nnull\n\xff\xfe\n{\n',
        b"[" * 1_000_000 + b"\n",
        b'{"type": "result", "text": ' + b"1" * 100_000 + b"}\n",
        said(type="result", self=1, text=["no"], png=3, chart={"type": "bar"}),
        said(type="result", png="no picture", text="\ud800"),
        said(type="stdout") + said(type="stdout", text=3) + said(type="stderr", text=None),
        said(type="error") + said(type="error", name=1, value=2, traceback=3),
        said(type="number_of_executions", execution_count="many"),
        said(type="unheard of") + said(type=["result"]),
        said(type="stdout", text="\ud800", timestamp="late"),
    ],
    ids=range(10),
)
async def test_a_forged_reply_does_no_harm(
    server: E2bServer, sandbox: E2bSandbox, lines: bytes
) -> None:
    done = await answered(sandbox, server, lines)
    texts = [done.stdout, done.stderr, *(result.text or "" for result in done.results)]
    assert all(text.encode() is not None and len(text) < 100 for text in texts)


@pytest.mark.parametrize("line", [b"{}\n", said(text="no type")], ids=range(2))
async def test_a_reply_that_the_client_cannot_read_costs_the_session(
    server: E2bServer, sandbox: E2bSandbox, line: bytes
) -> None:
    done = await answered(sandbox, server, line)
    assert done.session_lost
    assert done.error is not None
    assert done.error.name == "SandboxCrash"


@pytest.mark.parametrize(
    "lines",
    [
        b"x" * (30 << 20),
        said(type="result", text="z" * (LINE_BYTES + 1)),
        said(type="result", text="z" * 3_000_000) * 10,
        said(type="stdout", text="z" * 10_000) * 3_000,
        said(type="error", name="n" * 10_000, value="v" * 1_000_000, traceback="t" * 1_000_000) * 9,
    ],
    ids=["no line", "one line", "results", "stdout", "errors"],
)
async def test_a_reply_without_end_takes_little_memory(
    server: E2bServer, sandbox: E2bSandbox, lines: bytes
) -> None:
    await works(sandbox)
    tracemalloc.start()
    try:
        done = await answered(sandbox, server, lines)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(done.stdout) <= OUTPUT_BYTES
    assert all(len(result.text or "") <= TEXT_CHARACTERS for result in done.results)
    assert done.error or done.truncated
    assert kept < 24 << 20
    assert peak < 120 << 20


async def test_a_file_too_large_to_take_is_refused(
    server: E2bServer, sandbox: E2bSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FILE_BYTES", 1000)
    await sandbox.run_code("with open('f', 'w') as f:\n    f.write('x' * 1001)", 5)
    with pytest.raises(SandboxFileError, match="too large"):
        await sandbox.read_file("f")
    with pytest.raises(SandboxFileError, match="1001 bytes"):
        await sandbox.write_file("g", b"x" * 1001)
    await works(sandbox)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "", ".", "a\0b"])
async def test_a_name_that_leads_outside_is_refused(sandbox: E2bSandbox, name: str) -> None:
    with pytest.raises(SandboxFileError):
        await sandbox.read_file(name)
    with pytest.raises(SandboxFileError):
        await sandbox.write_file(name, b"x")


async def test_a_missing_file_and_a_broken_listing_are_told(
    server: E2bServer, sandbox: E2bSandbox
) -> None:
    with pytest.raises(SandboxFileError, match="no such file"):
        await sandbox.read_file("none")
    server.answer = lambda code: said(type="stdout", text='["forged"]', timestamp=0)
    assert await sandbox.list_files() == ()


async def test_the_keys_of_the_host_stay_here(server: E2bServer, sandbox: E2bSandbox) -> None:
    done = await sandbox.run_code("import os\n[k for k in os.environ if 'E2B' in k]", 5)
    assert done.results[0].text == "[]"
