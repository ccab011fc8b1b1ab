"""Approvals: who says whether a tool with side effects may be called, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import WrongUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A call that waits for approval."""

    tool: str
    arguments: str
    """JSON text as the model wrote it. Untrusted."""
    branch: str = "main"


@dataclass(frozen=True, slots=True)
class Approval:
    """What came of a request."""

    granted: bool
    reason: str = ""
    """Why not: the model is told."""
    arguments: str | None = None
    """JSON text to call the tool with instead; None: as the model wrote it."""


Approver = Callable[[ApprovalRequest], Awaitable[Approval]]
"""Asked before each call of a tool with side effects; several calls may be asked about at once."""


async def refuse(request: ApprovalRequest) -> Approval:
    """Refuse: what happens where nobody was named to approve."""
    return Approval(False, "nobody is there to approve")


async def grant(request: ApprovalRequest) -> Approval:
    """Approve everything."""
    return Approval(True)


async def ask(request: ApprovalRequest) -> Approval:
    """Pause the run until somebody has decided: the node that meets this approver interrupts."""
    raise WrongUsage(f"{request.tool} waits for approval, and this graph has nothing to pause in")


def resolve_approver(approve: Approver | Literal["all", "ask"] | None) -> Approver:
    """The approver that a caller means; None refuses everything. Raises `WrongUsage`."""
    if approve is None:
        return refuse
    if approve == "all":
        return grant
    if approve == "ask":
        return ask
    if not callable(approve):
        how = "give an async function from ApprovalRequest to Approval, 'all' or 'ask'"
        raise WrongUsage(f"approve={approve!r}: {how}")
    return approve


async def decide(approver: Approver, request: ApprovalRequest, seconds: float | None) -> Approval:
    """The approver's answer. To fail, or to take longer than `seconds`, is to refuse."""
    try:
        async with asyncio.timeout(seconds) as clock:
            approval = await approver(request)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return Approval(False, "the request was withdrawn")
    except Exception as error:  # noqa: BLE001 - foreign code: the model and the trace are told
        if clock.expired():
            return Approval(False, "nobody answered in time")
        return Approval(False, f"the approver failed: {type(error).__name__}: {error}")
    if not isinstance(approval, Approval):
        return Approval(False, f"the approver gave back {type(approval).__name__}, no Approval")
    if not isinstance(approval.arguments, str | None):
        return Approval(False, "the approver changed the arguments to what is no JSON text")
    return approval
