"""Events: what happens in a run, as it happens. Frozen, and JSON-able by `as_dict`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a branch of a run."""

    kind: ClassVar[str]
    branch: str = "main"

    def as_dict(self) -> dict[str, Any]:
        """The event with its kind, of plain values."""
        return {"event": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthChosen(Event):
    """How deep the run goes, and why. `auto` may choose several times."""

    kind: ClassVar[str] = "depth_chosen"
    depth: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking(Event):
    """A piece of the model's reasoning."""

    kind: ClassVar[str] = "thinking"
    text: str
    attempt: int = 1
    """Higher than before: the stream broke, and this call's text starts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Event):
    """A piece of what the model says."""

    kind: ClassVar[str] = "text"
    text: str
    attempt: int = 1
    """Higher than before: the stream broke, and this call's text starts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted(Event):
    """A tool call begins."""

    kind: ClassVar[str] = "tool_started"
    id: str
    tool: str
    arguments: str
    """As the model wrote them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalNeeded(Event):
    """A tool call that has begun waits for approval: the tool has side effects."""

    kind: ClassVar[str] = "approval_needed"
    id: str
    tool: str
    arguments: str
    """As the model wrote them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(Event):
    """A tool call has ended."""

    kind: ClassVar[str] = "tool_finished"
    id: str
    tool: str
    text: str
    """What the model is told."""
    failed: bool
    remembered: bool
    """Answered from memory, at no cost."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchStarted(Event):
    """A branch begins: a chain of a vote, a critique, a step of a search."""

    kind: ClassVar[str] = "branch_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchFinished(Event):
    """A branch has ended by itself."""

    kind: ClassVar[str] = "branch_finished"
    ended: str
    """`whole`, `cut` (by the budget), `weak` (dropped as unlikely), `failed`."""
    answer: str
    """Its bare answer, or why there is none."""
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchCancelled(Event):
    """A branch was stopped because it was not needed any more."""

    kind: ClassVar[str] = "branch_cancelled"
    reason: str
    tokens: int
    """Spent on it for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictGiven(Event):
    """A verifier or a critic has judged the branch's answer."""

    kind: ClassVar[str] = "verdict"
    verifier: str
    score: float
    """From 0 to 1."""
    passed: bool | None
    """None: it could not tell."""
    reasons: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState(Event):
    """What has been spent and what remains, after each call."""

    kind: ClassVar[str] = "budget"
    spent: dict[str, Any]
    left: dict[str, Any] = field(default_factory=dict)
    """`None` in a dimension without a limit."""
