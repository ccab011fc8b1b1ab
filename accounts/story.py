"""Story: what happened in a run, branch by branch. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a model that was answered."""

    id: str
    """Its id below the run, which begins with the branch that made it: `chain.0/think.1`."""
    model: str
    asked: dict[str, Any]
    """The request: `messages`, `tools`, settings; of a reward model, `queries`."""
    replied: dict[str, Any]
    """The reply: `text`, `tool_calls`, `usage`, …; of a reward model, `values`."""
    began: float
    """Seconds since the run began, as `ended`."""
    ended: float

    @property
    def tokens(self) -> int:
        """What it was charged; 0 where the trace does not say."""
        usage = self.replied.get("usage", {})
        return int(usage.get("input_tokens", 0)) + int(usage.get("output_tokens", 0))


@dataclass(slots=True)
class Said:
    """What a model said in one call."""

    thinking: str = ""
    text: str = ""
    attempt: int = 1
    broken: bool = False
    """The stream broke here, and the call's text started again."""
    call: Call | None = None
    """What it was asked; None: the trace does not say, or the call did not end."""


@dataclass(slots=True)
class Called:
    """A tool call."""

    id: str
    tool: str
    arguments: str
    """As the model wrote them."""
    asked: bool = False
    """Whether somebody was asked to approve it."""
    result: str | None = None
    """What the model was told; None: it did not end."""
    failed: bool = False
    remembered: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class Judged:
    """A verdict on the branch's answer."""

    verifier: str
    score: float
    passed: bool | None
    reasons: str


@dataclass(slots=True)
class Chosen:
    """A depth that was chosen."""

    depth: str
    reason: str


Turn = Said | Called | Judged | Chosen


@dataclass(slots=True)
class Branch:
    """One branch of the run. Times are seconds since the run began."""

    name: str
    began: float
    """When its first call did; where the trace does not say: when the last call before its start
    had ended."""
    until: float | None = None
    """None: it did not end."""
    ended: str = "open"
    """`whole`, `cut`, `weak`, `failed`, `refused`, `cancelled`; `open`: it did not end."""
    told: str = ""
    """Its bare answer, or why there is none."""
    tokens: int | None = None
    """None: the events do not say."""
    turns: list[Turn] = field(default_factory=list)
    calls: list[tuple[float, float]] = field(default_factory=list)
    """From when to when it waited for a model. Where the trace says only when calls had ended,
    both are that."""
    tools: list[tuple[float, float]] = field(default_factory=list)
    """From when to when its tools ran."""


@dataclass(frozen=True, slots=True)
class Story:
    """One run."""

    branches: tuple[Branch, ...]
    """In order of their start; the first is the run's own."""
    steps: tuple[dict[str, Any], ...]
    """The steps of its graphs, as the answer tells them; without an answer, as the calls do."""
    answer: dict[str, Any] | None
    """The event that ended it; None: it never ended."""
    spent: dict[str, Any] | None
    """The last usage that the events tell."""
    torn: bool
    """Whether its last event was only half written."""
    seconds: float
    """How long it took, as far as the events tell."""
    question: str = ""
    """Empty where the trace does not say."""
    timed: bool = False
    """Whether the trace has the calls, and their times."""
