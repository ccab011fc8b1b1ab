"""Pausing: calls that wait for a person, by LangGraph's `interrupt`, and what a person may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from langgraph.types import interrupt

from ..errors import WrongUsage
from .approvals import Approval, ApprovalRequest
from .verifiers.human import APPROVES, REJECTS

HOW = (
    "give an Approval, True or False, 'approve', 'reject: why', or "
    "{'approve': bool, 'reason': str, 'arguments': an object or JSON text}"
)


def paused(requests: Mapping[str, ApprovalRequest]) -> dict[str, Approval]:
    """What was decided of each request. Raises `GraphInterrupt` until all are.

    The payload is `{"requests": {name: request}}`; it is resumed with `{name: decision}`, some or
    all. The node that asks runs again from its start when the graph resumes.
    """
    decided: dict[str, Approval] = {}
    while missing := {name: asked for name, asked in requests.items() if name not in decided}:
        payload = {name: asdict(asked) for name, asked in missing.items()}
        said = interrupt({"requests": payload})
        decided |= {name: approval_of(said[name]) for name in missing if name in said}
    return decided


def approval_of(said: Any) -> Approval:
    """The approval in what a person or an application says. Raises `WrongUsage`."""
    match said:
        case Approval():
            return said
        case bool():
            return Approval(said)
        case str():
            word, _, reason = said.partition(":")
            if word.strip().lower() in APPROVES:
                return Approval(True)
            if word.strip().lower() in REJECTS:
                return Approval(False, reason.strip())
        case Mapping() if isinstance(said.get("approve"), bool):
            return _mapping(said)
    raise WrongUsage(f"a decision came as {said!r:.200}: {HOW}")


def plain(approval: Approval) -> dict[str, Any]:
    """The approval as plain values, in the form that `approval_of` reads."""
    said = {"approve": approval.granted, "reason": approval.reason}
    return said if approval.arguments is None else {**said, "arguments": approval.arguments}


def _mapping(said: Mapping[str, Any]) -> Approval:
    reason, arguments = said.get("reason", ""), said.get("arguments")
    if isinstance(arguments, Mapping):
        arguments = json.dumps(arguments)
    unknown = sorted(map(str, set(said) - {"approve", "reason", "arguments"}))
    if unknown or not isinstance(reason, str) or not isinstance(arguments, str | None):
        raise WrongUsage(f"a decision came as {dict(said)!r:.200}: {HOW}")
    return Approval(said["approve"], reason, arguments)
