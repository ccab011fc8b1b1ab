"""Choosing a boundary: the strongest that passed, or a refusal with every reason."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest
from boundaries import e2b

from mull.errors import WrongUsage
from mull.tools.sandbox import (
    Execution,
    ExecutionError,
    Result,
    Sandbox,
    SandboxUnavailable,
    choose,
    chosen,
    open_sandbox,
    survey,
)
from mull.tools.sandbox.monty import MontySandbox
from mull.tools.sandbox.selftest import LAST_PROBE, PROBES, breaches


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """No boundary was tested yet."""
    monkeypatch.setattr(choose, "_reports", {})
    monkeypatch.setattr(choose, "_try_again", {})


OPEN_DOOR = """
import ctypes, os, sys
for line in sys.stdin:
    if child := os.fork():
        print(os.waitpid(child, 0)[1], flush=True)
        continue
    os.close(0)
    code = eval(line)
    try:
        print(eval(code), end=" ", flush=True)
    except SyntaxError:
        exec(code, {})
    os._exit(0)
"""


class OpenDoor(MontySandbox):
    """No boundary at all: runs each cell as a plain process, as the self-test must find out."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        pipe = subprocess.PIPE
        self._worker = subprocess.Popen(
            [sys.executable, "-c", OPEN_DOOR],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self._folder.name,
        )

    async def run_code(self, code: str, timeout: float) -> Execution:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(f"{code!r}\n")
        self._worker.stdin.flush()
        *value, status = self._worker.stdout.readline().split()
        if status != "0":
            return Execution(error=ExecutionError("Error", status, ""))
        return Execution(results=(Result(text=" ".join(value)),))

    async def close(self) -> None:
        await super().close()
        self._worker.communicate()
        self._folder.cleanup()


async def test_the_self_test_finds_everything_that_a_plain_process_can_do() -> None:
    door = OpenDoor()
    found = await breaches(door)
    await door.close()
    # These need root, a recent kernel or C library, or a file system with attributes.
    optional = {
        "open a packet socket",
        "connect by MPTCP",
        "connect by TCP Fast Open",
        "signal a thread of the host",
        "change a mode outside by a newer call",
        "change the mode of an open file",
        "set an attribute outside",
        "remove an attribute outside",
        "set an attribute outside by a newer call",
        "remove an attribute outside by a newer call",
        "set a file's flags by a newer call",
        "remove a message queue",
        "change the mount table",
        "hold root's powers",
        LAST_PROBE[0],
    }
    assert {*PROBES, LAST_PROBE[0]} - set(found) <= optional


async def test_a_boundary_with_a_breach_is_refused_and_the_breach_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choose, "_reports", {})
    monkeypatch.setattr(choose, "make", lambda name: OpenDoor())
    with pytest.raises(SandboxUnavailable) as caught:
        async with open_sandbox():
            pass
    for word in ("sandlock:", "monty:", "read a file outside", "mull doctor"):
        assert word in str(caught.value)


async def test_without_the_first_boundary_the_second_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = choose.make

    def elsewhere(name: str) -> Sandbox:
        if name == "sandlock":
            raise SandboxUnavailable("It needs Linux.")
        return make(name)

    monkeypatch.setattr(choose, "_reports", {})
    monkeypatch.setattr(choose, "make", elsewhere)
    async with open_sandbox() as sandbox:
        assert sandbox.isolation == "monty"
    with pytest.raises(SandboxUnavailable, match="needs Linux"):
        async with open_sandbox("sandlock"):
            pass


async def test_an_unknown_boundary_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="sandlock or monty"):
        async with open_sandbox("docker"):
            pass


async def test_the_survey_names_every_boundary_with_limits_or_a_reason() -> None:
    reports = await survey()
    assert [report.name for report in reports] == ["e2b", "sandlock", "monty"]
    for report in reports:
        assert bool(report.limits) is report.available
        assert bool(report.reason) is not report.available


async def test_the_self_test_runs_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    await survey()

    def again(name: str) -> Sandbox:
        raise AssertionError("tested again")

    monkeypatch.setattr(choose, "make", again)
    await survey()


async def test_without_a_key_e2b_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    with pytest.raises(SandboxUnavailable, match="E2B_API_KEY"):
        await chosen("e2b")
    assert await chosen() != "e2b"


async def test_with_a_key_e2b_comes_first(reports: None) -> None:
    async with e2b():
        assert await chosen() == "e2b"
        async with open_sandbox() as sandbox:
            assert sandbox.isolation == "e2b"


async def test_e2b_out_of_reach_is_replaced_only_where_nobody_requires_it(
    reports: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with e2b() as server:
        server.refuse = lambda method, path: 401
        assert await chosen() != "e2b"
        assert "E2B cannot be used" in caplog.text
        with pytest.raises(SandboxUnavailable, match="401"):
            await chosen("e2b")
        monkeypatch.setenv("MULL_SANDBOX", "e2b")
        with pytest.raises(SandboxUnavailable, match="401"):
            await chosen()


async def test_e2b_that_was_out_of_reach_is_tried_again(
    reports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "RETRY_SECONDS", 0.0)
    async with e2b() as server:
        server.refuse = lambda method, path: 401
        assert await chosen() != "e2b"
        server.refuse = None
        assert await chosen() == "e2b"


async def test_a_machine_that_answers_every_cell_with_success_is_refused(reports: None) -> None:
    async with e2b() as server:
        server.answer = lambda code: b'{"type": "result", "text": "42"}\n'
        with pytest.raises(SandboxUnavailable, match="reach the internet"):
            await chosen("e2b")


async def test_the_operators_boundary_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULL_SANDBOX", "monty")
    assert await chosen() == "monty"
    assert await chosen("monty") == "monty"
    with pytest.raises(SandboxUnavailable, match="operator requires the monty"):
        await chosen("sandlock")


async def test_an_unknown_boundary_of_the_operator_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULL_SANDBOX", "docker")
    with pytest.raises(WrongUsage, match="docker"):
        await chosen()


def test_importing_the_room_imports_no_boundary() -> None:
    code = (
        "import sys, mull.tools.sandbox, mull.tools.python\n"
        "late = {'sandlock', 'pydantic_monty', 'e2b', 'httpx', 'mull.tools.sandbox.workdir'}\n"
        "late &= set(sys.modules)\n"
        "assert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
