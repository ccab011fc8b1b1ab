"""Which boundary to use: the strongest that works here and passed its self-test, or none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ...errors import WrongUsage
from .protocol import Sandbox, SandboxUnavailable
from .selftest import breaches

BOUNDARIES = ("sandlock", "monty")
"""In order of preference."""


@dataclass(frozen=True, slots=True)
class BoundaryReport:
    """What one boundary is worth on this machine."""

    name: str
    available: bool
    reason: str
    """Why it is not available; empty when it is."""
    limits: str
    """What it limits and what it does not; empty when it is not available."""


@asynccontextmanager
async def open_sandbox(require: str | None = None) -> AsyncIterator[Sandbox]:
    """A sandbox behind the first boundary that passes its self-test, closed at the end.

    `require` names the only boundary to accept. Raises `SandboxUnavailable` with every reason when
    none is left, and `WrongUsage` for an unknown name.
    """
    if require is not None and require not in BOUNDARIES:
        raise WrongUsage(f"Unknown sandbox boundary {require!r}: choose {' or '.join(BOUNDARIES)}.")
    sandbox = await _first(BOUNDARIES if require is None else (require,))
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def survey() -> list[BoundaryReport]:
    """Every boundary's report, in order of preference."""
    return [await _report(name) for name in BOUNDARIES]


async def _first(names: tuple[str, ...]) -> Sandbox:
    reasons = []
    for name in names:
        report = await _report(name)
        if report.available:
            return _make(name)
        reasons.append(f"{name}: {report.reason}")
    raise SandboxUnavailable(
        "No sandbox for Python code works here, so none is run. "
        + " ".join(reasons)
        + " Run `mull doctor` for details, or leave the `python` tool out."
    )


def _make(name: str) -> Sandbox:
    # The boundaries' packages exist on some systems only.
    if name == "sandlock":
        if sys.platform != "linux":
            raise SandboxUnavailable("It needs Linux.")
        from .sandlock import SandlockSandbox

        return SandlockSandbox()
    from .monty import MontySandbox

    return MontySandbox()


_reports: dict[str, BoundaryReport] = {}
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def _report(name: str) -> BoundaryReport:
    """The report, tested once per process: parallel branches wait for the first one's test."""
    lock = _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock:
        if name not in _reports:
            _reports[name] = await _test(name, _make)
        return _reports[name]


async def _test(name: str, make: Callable[[str], Sandbox]) -> BoundaryReport:
    try:
        sandbox = make(name)
    except (SandboxUnavailable, ImportError) as error:
        return BoundaryReport(name, False, str(error), "")
    try:
        found = await breaches(sandbox)
    except SandboxUnavailable as error:
        return BoundaryReport(name, False, str(error), "")
    finally:
        await sandbox.close()
    if found:
        return BoundaryReport(name, False, f"Code inside it could: {'; '.join(found)}.", "")
    return BoundaryReport(name, True, "", sandbox.capabilities.limits)
