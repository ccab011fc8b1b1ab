"""Reads the trace of one run, as `mull ask --trace FILE` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WrongUsage

NUMBER = (int, float)
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "run": {"question": str, "at": NUMBER},
    "call": {
        "call_id": str,
        "kind": str,
        "name": str,
        "asked": dict,
        "replied": dict,
        "started": NUMBER,
        "seconds": NUMBER,
    },
    "depth_chosen": {"depth": str, "reason": str},
    "thinking": {"text": str, "attempt": int},
    "text": {"text": str, "attempt": int},
    "tool_started": {"id": str, "tool": str, "arguments": str},
    "approval_needed": {"id": str},
    "tool_finished": {
        "id": str,
        "tool": str,
        "text": str,
        "failed": bool,
        "remembered": bool,
        "seconds": NUMBER,
    },
    "branch_finished": {"ended": str, "answer": str, "tokens": int},
    "branch_cancelled": {"reason": str, "tokens": int},
    "verdict": {
        "verifier": str,
        "score": NUMBER,
        "passed": (bool, type(None)),
        "reasons": str,
    },
    "budget": {"spent": dict},
    "answer": {
        "answer": str,
        "depth": str,
        "stopped": str,
        "usage": dict,
        "trace": list,
        "budget": dict,
    },
}
"""What is read of each kind of event. Kinds that are not here are passed over."""
SPENT: Mapping[str, Any] = {
    "calls": int,
    "tool_calls": int,
    "total_tokens": int,
    "seconds": NUMBER,
    "cost": str,
}
"""What is read of a usage."""
STEP: Mapping[str, Any] = {"node": str, "reason": str}
STEP_MAY: Mapping[str, Any] = {"branch": str, "tool": str, "tokens": int, "seconds": NUMBER}
"""What is read of a step, and what a step may lack."""
REPLIED_MAY: Mapping[str, Any] = {"text": str, "reasoning": str, "usage": dict, "tool_calls": list}
"""What is read of a reply, and what it may lack."""
MESSAGE: Mapping[str, Any] = {"role": str}
MOST = 1e15
"""No number of a run comes near it; infinity and not-a-number are not below it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The events of one run, in order, each with all that `FIELDS` says of its kind."""

    events: tuple[dict[str, Any], ...]
    torn: bool = False
    """Whether the last line was only half written, and is left out: the process was killed."""


def read_trace(path: Path) -> Trace:
    """The events in the file. Raises `WrongUsage` where it is not a trace."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}: give a file of `mull ask --trace`") from error
    rest = lines.pop()  # Empty after a last line that is whole.
    events = [_event(path, n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if not events:
        raise WrongUsage(f"{path}: there are no events in it: give a file of `mull ask --trace`")
    return Trace(tuple(events), torn=bool(rest.strip()))


def _event(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
        _check(event, {"event": str})
        _check(event, {} if event["event"] in ("run", "call") else {"branch": str})
        _check(event, FIELDS.get(event["event"], {}))
        if event["event"] == "call":
            _check_call(event["asked"], event["replied"])
        for usage in ("spent", "usage"):
            if usage in event:
                _check(event[usage], SPENT)
        for step in event.get("trace", ()):
            _check(step, STEP)
            _check_given(step, STEP_MAY)
    except (ValueError, RecursionError) as error:
        raise WrongUsage(f"{path}, line {number}: not an event of a run: {error}") from error
    return dict(event)


def _check_call(asked: dict[str, Any], replied: dict[str, Any]) -> None:
    _check_given(asked, {"messages": list, "tools": list})
    for message in asked.get("messages", ()):
        _check(message, MESSAGE)
        _check_given(message, {"tool_calls": (list, type(None))})
    _check_given(replied, REPLIED_MAY)
    _check_given(replied.get("usage", {}), {"input_tokens": int, "output_tokens": int})


def _check_given(value: Any, fields: Mapping[str, Any]) -> None:
    """Raises `ValueError` where one of these fields is there and not as it must be."""
    _check(value, {name: kind for name, kind in fields.items() if name in value})


def _check(value: Any, fields: Mapping[str, Any]) -> None:
    """Raises `ValueError` where `value` is not an object with these fields."""
    if not isinstance(value, dict):
        raise ValueError(f"{str(value)[:60]!r} is no JSON object")
    for name, kind in fields.items():
        found = value.get(name, ...)
        good = isinstance(found, kind) and (not isinstance(found, NUMBER) or abs(found) < MOST)
        if not good:
            raise ValueError(f"{name} is {'missing' if found is ... else repr(found)[:60]}")
