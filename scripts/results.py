"""What steps and scripts come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from ..budgets import Budget, Usage

State = Literal["done", "skipped", "failed", "blocked"]
"""`blocked`: a step that it needs has failed."""

FIELDS = ("answer", "text", "output", "confidence", "stopped", "skipped")
"""What templates may read of a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The end of one step, or of one item of a `foreach`."""

    state: State
    answer: Any = None
    """The bare answer, or what the Python function returned; a list for a `foreach`."""
    text: Any = None
    """As the model wrote it; a list for a `foreach`."""
    output: Any = None
    """The typed answer as plain values, where the step has a type; a list for a `foreach`."""
    confidence: Any = None
    stopped: Any = None
    """Why the run ended: answered, budget, deadline, refused. None for Python."""
    question: str = ""
    """As it was asked."""
    error: str | None = None
    budget_ended: bool = False
    """Whether it failed because the budget ended."""
    usage: Usage = field(default_factory=Usage)
    stored: bool = False
    """Whether it was paid for before this run, and read from the run folder."""
    items: tuple[StepResult, ...] = ()
    """Of a `foreach`, in the order of its list."""

    def visible(self) -> dict[str, Any]:
        """What templates and Python functions see."""
        return {
            "answer": self.answer,
            "text": self.text,
            "output": self.output,
            "confidence": self.confidence,
            "stopped": self.stopped,
            "skipped": self.state == "skipped",
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return plain | {
            "usage": self.usage.as_dict(),
            "items": [item.as_dict() for item in self.items],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> StepResult:
        """From `as_dict`, as stored. Raises `KeyError` or `TypeError` for anything else."""
        usage = {name: plain["usage"][name] for name in asdict(Usage())}
        usage["cost"] = Decimal(usage["cost"])
        given = {name: plain[name] for name in _PLAIN}
        return cls(**given | {"usage": Usage(**usage), "stored": True})


_PLAIN = (
    *("state", "answer", "text", "output", "confidence", "stopped"),
    *("question", "error", "budget_ended", "stored"),
)


def gathered(items: tuple[StepResult, ...]) -> StepResult:
    """The items of a `foreach` as one result. It failed when one of them did."""
    failed = [(place, item) for place, item in enumerate(items) if item.state == "failed"]
    total = sum((item.usage for item in items), Usage())
    common = StepResult(
        state="done", usage=total, items=items, stored=all(item.stored for item in items)
    )
    if failed:
        place, first = failed[0]
        told = f"{len(failed)} of {len(items)} items failed; item {place}: {first.error}"
        ended = all(item.budget_ended for _, item in failed)
        return replace(common, state="failed", error=told, budget_ended=ended)
    return replace(
        common,
        answer=[item.answer for item in items],
        text=[item.text for item in items],
        output=[item.output for item in items],
        confidence=[item.confidence for item in items],
        stopped=[item.stopped for item in items],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """The end of a script."""

    steps: Mapping[str, StepResult]
    """By id, in the order of the script."""
    usage: Usage
    """Of the whole run, with what killed runs before it spent."""
    budget: Budget

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return all(step.state in ("done", "skipped") for step in self.steps.values())

    @property
    def failures(self) -> Mapping[str, StepResult]:
        """The steps that failed, without those that were only blocked."""
        return {name: step for name, step in self.steps.items() if step.state == "failed"}

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, in the form that `mull run --json` prints."""
        return {
            "ok": self.ok,
            "steps": {name: step.as_dict() for name, step in self.steps.items()},
            "usage": self.usage.as_dict(),
            "budget": self.budget.as_dict(),
        }
