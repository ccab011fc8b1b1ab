"""Row: what came of one question, as one line of the results. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ..agents import Answer
from ..budgets import Usage

OPENING = b'{"id": '
"""Every line begins with it."""

NOTHING_SPENT = Usage().as_dict()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An answer or an error, under the question's id."""

    id: str | int
    answer: str | None = None
    """The text; None where an error took its place."""
    confidence: float | None = None
    depth: str | None = None
    stopped: str | None = None
    """Why the run ended, as in `Answer.stopped`."""
    usage: dict[str, Any] = field(default_factory=NOTHING_SPENT.copy)
    """All that the question has spent, earlier starts of the batch included."""
    error: dict[str, str] | None = None
    """`type` and `message`."""

    def encoded(self) -> bytes:
        """The line, with its end."""
        return json.dumps(asdict(self)).encode() + b"\n"


def answered(name: str | int, answer: Answer, spent: Usage) -> Row:
    """The row of an answer."""
    return Row(
        id=name,
        answer=answer.text,
        confidence=answer.confidence,
        depth=answer.depth,
        stopped=answer.stopped,
        usage=spent.as_dict(),
    )


def failed(name: str | int, kind: str, message: str, spent: Usage | None = None) -> Row:
    """The row of an error."""
    error = {"type": kind, "message": message}
    return Row(id=name, usage=(spent or Usage()).as_dict(), error=error)


@dataclass(frozen=True, slots=True)
class Found:
    """What a resume needs of a row that was written."""

    id: str | int
    failed: bool


def read_row(line: bytes) -> Found | None:
    """The row on a line; None: it is none. Raises `ValueError` for a line that is not JSON."""
    given = json.loads(line)
    if not isinstance(given, dict) or not {"id", "answer", "error"} <= given.keys():
        return None
    if not isinstance(given["id"], str | int):
        return None
    return Found(given["id"], given["error"] is not None)
