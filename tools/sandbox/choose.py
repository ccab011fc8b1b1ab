"""Which boundary to use: the strongest that works here and passed its self-test, or none."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ...errors import WrongUsage
from .protocol import Sandbox, SandboxUnavailable
from .selftest import breaches

BOUNDARIES = ("e2b", "sandlock", "monty")
"""In order of preference."""
OPERATOR = "MULL_SANDBOX"
"""The variable that names the only boundary to accept."""
RETRY_SECONDS = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BoundaryReport:
    """What one boundary is worth on this machine."""

    name: str
    available: bool
    reason: str
    """Why it is not available; empty when it is."""
    limits: str
    """What it limits and what it does not; empty when it is not available."""


async def chosen(require: str | None = None) -> str:
    """The boundary to use: the first that passes its self-test.

    `require` names the only one to accept. So does the environment's `MULL_SANDBOX`, the operator's
    word, which code cannot loosen. Otherwise e2b comes first where `E2B_API_KEY` is set.

    Raises `SandboxUnavailable` with every reason when none is left or the two requirements differ,
    and `WrongUsage` for an unknown name.
    """
    required = requirement(require)
    configured = [name for name in BOUNDARIES if name != "e2b" or os.environ.get("E2B_API_KEY")]
    reasons: list[str] = []
    for name in configured if required is None else [required]:
        report = await _report(name)
        if report.available:
            return name
        reasons.append(f"{name}: {report.reason}")
    raise SandboxUnavailable(
        f"No sandbox for Python code {'works here' if required is None else 'is accepted'}, so "
        f"none is run. {' '.join(reasons)} Run `mull doctor` for details, or leave the `python` "
        "tool out."
    )


def requirement(require: str | None = None) -> str | None:
    """The only boundary to accept, or None. Raises as `chosen` does."""
    operator = os.environ.get(OPERATOR) or None
    for name in (operator, require):
        if name is not None and name not in BOUNDARIES:
            known = ", ".join(BOUNDARIES[:-1]) + f" or {BOUNDARIES[-1]}"
            raise WrongUsage(f"Unknown sandbox boundary {name!r}: choose {known}.")
    if operator and require and operator != require:
        raise SandboxUnavailable(
            f"The operator requires the {operator} boundary ({OPERATOR}), and the program the "
            f"{require} boundary: change one of them."
        )
    return operator or require


@asynccontextmanager
async def open_sandbox(require: str | None = None) -> AsyncIterator[Sandbox]:
    """A sandbox behind the boundary that `chosen` names, closed at the end."""
    sandbox = make(await chosen(require))
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def survey() -> list[BoundaryReport]:
    """Every boundary's report, in order of preference."""
    return [await _report(name) for name in BOUNDARIES]


def make(name: str) -> Sandbox:
    """A sandbox behind that boundary, not started. Raises `SandboxUnavailable`."""
    # The boundaries' packages exist on some systems only.
    if name == "e2b":
        from .e2b import E2bSandbox

        return E2bSandbox()
    if name == "sandlock":
        if sys.platform != "linux":
            raise SandboxUnavailable("It needs Linux.")
        from .sandlock import SandlockSandbox

        return SandlockSandbox()
    from .monty import MontySandbox

    return MontySandbox()


_Tested = tuple[str, str | None]  # a boundary, and the key that it was tested with
_reports: dict[_Tested, BoundaryReport] = {}
_try_again: dict[_Tested, float] = {}
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def _report(name: str) -> BoundaryReport:
    """The report, tested once per process: parallel branches wait for the first one's test.

    A machine elsewhere that cannot be reached now may be reached later: it is tried again after
    `RETRY_SECONDS`.
    """
    lock = _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock:
        key = os.environ.get("E2B_API_KEY") if name == "e2b" else None
        known = name, key
        if known not in _reports or time.monotonic() >= _try_again.get(known, math.inf):
            report = _reports[known] = await _test(name, make)
            _try_again.pop(known, None)
            if key and not report.available:
                _try_again[known] = time.monotonic() + RETRY_SECONDS
                _log.warning("E2B_API_KEY is set, but E2B cannot be used: %s", report.reason)
        return _reports[known]


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
