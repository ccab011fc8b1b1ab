"""Answer: what comes back from a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic_core import to_jsonable_python

from ..budgets import Budget, Usage
from ..graphs import Event, Stopped, comparable
from ..tools import Attachment
from .pending import Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer, and the account of how it was reached."""

    text: str
    """As the model wrote it; empty when the budget ended before there was any."""
    output: Any = None
    """The typed output, where one was asked for."""
    confidence: float | None = None
    """Probability that the answer is right, where something measured it."""
    depth: str
    """How deep the run went."""
    difficulty: dict[str, Any] | None = None
    """`level`, `p_direct` and `source`, where a classifier was asked."""
    stopped: Stopped
    """Why the run ended."""
    usage: Usage
    budget: Budget
    attachments: tuple[Attachment, ...] = ()
    """Files and pictures that tools made on the way. Not in `as_dict`."""
    thread: str | None = None
    """Of a run in a thread: its name."""
    pending: tuple[Pending, ...] = ()
    """What a run that is `paused` waits for: resume its thread with the decisions."""
    trace: tuple[dict[str, Any], ...] = ()
    """What was done, in order: node, reason, tokens, seconds."""

    @property
    def final(self) -> str:
        """The bare answer: the last `Answer: …` line or `\\boxed{…}`, else the whole text."""
        return comparable(self.text) or self.text.strip()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, in the form that `mull ask --json` prints."""
        return {
            "answer": self.text,
            "output": to_jsonable_python(self.output, inf_nan_mode="null"),
            "confidence": self.confidence,
            "depth": self.depth,
            "difficulty": self.difficulty,
            "stopped": self.stopped,
            "usage": self.usage.as_dict(),
            "budget": self.budget.as_dict(),
            "thread": self.thread,
            "pending": [waiting.as_dict() for waiting in self.pending],
            "trace": list(self.trace),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    """The run has ended with this answer. Always the last event."""

    kind: ClassVar[str] = "answer"
    answer: Answer

    def as_dict(self) -> dict[str, Any]:
        """The event with its kind, of plain values."""
        return {"event": self.kind, "branch": self.branch, **self.answer.as_dict()}
