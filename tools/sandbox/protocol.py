"""What a place to run model-written Python looks like, whatever boundary keeps it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...errors import MullError


class SandboxUnavailable(MullError):
    """No boundary on this machine passed its self-test. The message gives each one's reason."""


class SandboxFileError(MullError):
    """A file name was refused, or the file is missing, too large, or not supported here."""


@dataclass(frozen=True, slots=True)
class Result:
    """One value a cell produced, in the forms it offers. Untrusted."""

    text: str | None = None
    """The value's `repr`, cut at `wire.TEXT_CHARACTERS`."""
    png: bytes | None = None
    html: str | None = None
    latex: str | None = None
    svg: str | None = None
    markdown: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionError:
    """Why a cell stopped. Untrusted where the guest wrote it."""

    name: str
    """The exception's class name. `TimeoutError`, `SandboxLimit` and `SandboxCrash` also come from
    the boundary itself."""
    value: str
    """The exception's message."""
    traceback: str
    """The frames of the cell, oldest first; for the boundary's own errors one line."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What one call of `run_code` did."""

    results: tuple[Result, ...] = ()
    """The value of a last line that is an expression, unless it is None, and what was drawn."""
    stdout: str = ""
    stderr: str = ""
    error: ExecutionError | None = None
    truncated: bool = False
    """True when output went over a cap and its end was dropped."""
    session_lost: bool = False
    """True when the variables of earlier calls are gone."""
    files: tuple[str, ...] = ()
    """Files that the cell made or changed, as relative names, sorted."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What code may do behind a boundary."""

    state: bool
    """Variables last from one call to the next."""
    full_cpython: bool
    """It is CPython, not a subset of the language."""
    packages: bool
    """Packages installed beside mull (numpy, sympy) can be imported."""
    files: bool
    """`write_file`, `read_file` and `open` work, in a directory of the sandbox's own."""
    keeps_state_on_timeout: bool
    """Code that runs out of time is normally interrupted without losing its variables."""
    lacks: str
    """One line for the model: what ordinary Python can do and this cannot."""
    limits: str
    """For people: what is limited, to how much, and what is not limited."""
    remote: bool = False
    """It runs on another machine, which costs money while it is there."""


class Sandbox(Protocol):
    """A Python session behind a boundary. Calls on one sandbox run one after another."""

    @property
    def isolation(self) -> str:
        """The boundary's name: `e2b`, `sandlock` or `monty`."""

    @property
    def capabilities(self) -> Capabilities:
        """What code may do here."""

    async def start(self) -> None:
        """Start the guest now instead of with the first call. Raises `SandboxUnavailable`."""

    async def run_code(self, code: str, timeout: float) -> Execution:
        """Run `code` for at most `timeout` seconds; a failing cell is an `Execution` with `error`.

        Cancelling stops the code and leaves the sandbox usable. Raises `SandboxUnavailable` when
        the guest cannot be started.
        """

    async def write_file(self, name: str, data: bytes) -> None:
        """Put a file into the sandbox's directory. Raises `SandboxFileError`."""

    async def read_file(self, name: str) -> bytes:
        """A file of the sandbox's directory. Raises `SandboxFileError`."""

    async def list_files(self) -> tuple[str, ...]:
        """The regular files of the sandbox's directory, relative names, sorted."""

    async def interrupt(self) -> None:
        """Stop the running call, which then returns with an error. Nothing happens without one."""

    async def restart(self) -> None:
        """Forget every variable, stopping a running call. Files stay."""

    async def park(self) -> None:
        """Give the guest up until the next call, which says that the session was lost.

        Files stay; on another machine only those that `write_file` put there.
        """

    async def close(self) -> None:
        """End the guest and remove what it left. Safe to call twice."""
