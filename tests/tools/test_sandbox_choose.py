"""Choosing a boundary: the strongest that passed, or a refusal with every reason."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile

import pytest

from mull.errors import WrongUsage
from mull.tools.sandbox import (
    Execution,
    ExecutionError,
    Result,
    Sandbox,
    SandboxUnavailable,
    choose,
    open_sandbox,
    survey,
)
from mull.tools.sandbox.monty import MontySandbox
from mull.tools.sandbox.selftest import PROBES, breaches


class OpenDoor(MontySandbox):
    """No boundary at all: runs the cell as a plain process, as the self-test must find out."""

    async def run_code(self, code: str, timeout: float) -> Execution:
        worker = (
            "import sys, subprocess\ncode = sys.stdin.read()\n"
            "try: print(eval(code))\nexcept SyntaxError: exec(code)"
        )
        command = [sys.executable, "-c", worker]
        with tempfile.TemporaryDirectory() as folder:
            done = await asyncio.to_thread(
                subprocess.run, command, input=code, capture_output=True, text=True, cwd=folder
            )
        if done.returncode:
            return Execution(error=ExecutionError("Error", done.stderr, ""))
        return Execution(results=(Result(text=done.stdout.strip()),))


async def test_the_self_test_finds_everything_that_a_plain_process_can_do() -> None:
    found = await breaches(OpenDoor())
    # Packet sockets need root and a kernel with them; MPTCP and Fast Open a kernel with them.
    optional = {"open a packet socket", "connect by MPTCP", "connect by TCP Fast Open"}
    assert set(PROBES) - set(found) <= optional


async def test_a_boundary_with_a_breach_is_refused_and_the_breach_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choose, "_reports", {})
    monkeypatch.setattr(choose, "_make", lambda name: OpenDoor())
    with pytest.raises(SandboxUnavailable) as caught:
        async with open_sandbox():
            pass
    for word in ("sandlock:", "monty:", "read a file outside", "mull doctor"):
        assert word in str(caught.value)


async def test_without_the_first_boundary_the_second_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = choose._make

    def elsewhere(name: str) -> Sandbox:
        if name == "sandlock":
            raise SandboxUnavailable("It needs Linux.")
        return make(name)

    monkeypatch.setattr(choose, "_reports", {})
    monkeypatch.setattr(choose, "_make", elsewhere)
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
    assert [report.name for report in reports] == ["sandlock", "monty"]
    for report in reports:
        assert bool(report.limits) is report.available
        assert bool(report.reason) is not report.available


async def test_the_self_test_runs_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    await survey()

    def again(name: str) -> Sandbox:
        raise AssertionError("tested again")

    monkeypatch.setattr(choose, "_make", again)
    await survey()


def test_importing_the_room_imports_no_boundary() -> None:
    code = (
        "import sys, mull.tools.sandbox, mull.tools.python\n"
        "late = {'sandlock', 'pydantic_monty', 'mull.tools.sandbox.workdir'} & set(sys.modules)\n"
        "assert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
