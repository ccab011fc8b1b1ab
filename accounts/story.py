"""Story: what happened in a run, branch by branch, from its events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .steps import MAIN
from .trace_file import Trace


@dataclass(slots=True)
class Said:
    """What the model said in one call."""

    thinking: str = ""
    text: str = ""
    attempt: int = 1
    broken: bool = False
    """The stream broke here, and the call's text started again."""


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
    """When the last call before its start ended: events carry no times of their own."""
    until: float | None = None
    """None: it did not end."""
    ended: str = "open"
    """`whole`, `cut`, `weak`, `failed`, `refused`, `cancelled`; `open`: it did not end."""
    told: str = ""
    """Its bare answer, or why there is none."""
    tokens: int | None = None
    """None: the events do not say."""
    turns: list[Turn] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    """When its calls had ended."""
    tools: list[tuple[float, float]] = field(default_factory=list)
    """From when to when its tools ran."""


@dataclass(frozen=True, slots=True)
class Story:
    """One run."""

    branches: tuple[Branch, ...]
    """In order of their start; the first is the run's own."""
    steps: tuple[dict[str, Any], ...]
    """The steps of its graphs, as the answer tells them."""
    answer: dict[str, Any] | None
    """The event that ended it; None: it never ended."""
    spent: dict[str, Any] | None
    """The last usage that the events tell."""
    torn: bool
    """Whether its last event was only half written."""

    @property
    def seconds(self) -> float:
        """How long it took, as far as the events tell."""
        return 0.0 if self.spent is None else float(self.spent["seconds"])


def tell(trace: Trace) -> Story:
    """The story of a run."""
    teller = _Teller()
    for event in trace.events:
        teller.take(event)
    answer = teller.answer
    return Story(
        branches=tuple(teller.branches.values()),
        steps=() if answer is None else tuple(answer["trace"]),
        answer=answer,
        spent=teller.spent,
        torn=trace.torn,
    )


class _Teller:
    """Takes the events in order."""

    def __init__(self) -> None:
        self.branches = {MAIN: Branch(MAIN, 0.0)}
        self.answer: dict[str, Any] | None = None
        self.spent: dict[str, Any] | None = None
        self._now = 0.0
        self._saying: dict[str, Said] = {}
        self._ran: dict[str, list[float]] = {}
        """Seconds of each branch's tool calls since its last budget event."""

    def take(self, event: dict[str, Any]) -> None:
        name = event["branch"]
        branch = self.branches.setdefault(name, Branch(name, self._now))
        match event["event"]:
            case "thinking":
                self._said(branch, event["attempt"]).thinking += event["text"]
            case "text":
                self._said(branch, event["attempt"]).text += event["text"]
            case "budget":
                self._paid(branch, event["spent"])
            case "depth_chosen":
                branch.turns.append(Chosen(event["depth"], event["reason"]))
            case "verdict":
                judged = (event[name] for name in ("verifier", "score", "passed", "reasons"))
                branch.turns.append(Judged(*judged))
            case "tool_started":
                branch.turns.append(Called(event["id"], event["tool"], event["arguments"]))
            case "approval_needed":
                if (call := _open_call(branch, event["id"])) is not None:
                    call.asked = True
            case "tool_finished":
                self._finished(branch, event)
            case "branch_finished":
                self._ended(branch, event["ended"], event["answer"], event["tokens"])
            case "branch_cancelled":
                self._ended(branch, "cancelled", event["reason"], event["tokens"])
            case "answer":
                self.answer, self.spent = event, event["usage"]
                self._now = float(self.spent["seconds"])
                self._ended(branch, event["stopped"], event["answer"], None)

    def _said(self, branch: Branch, attempt: int) -> Said:
        said = self._saying.get(branch.name)
        if said is None or attempt > said.attempt:
            if said is not None:
                said.broken = True
            said = self._saying[branch.name] = Said()
            branch.turns.append(said)
        said.attempt = attempt
        return said

    def _paid(self, branch: Branch, spent: dict[str, Any]) -> None:
        """A call has ended, or the tool calls of a turn have."""
        self.spent, self._now = spent, float(spent["seconds"])
        self._saying.pop(branch.name, None)
        ran = self._ran.pop(branch.name, [])
        branch.tools += [(max(branch.began, self._now - seconds), self._now) for seconds in ran]
        if not ran:
            branch.calls.append(self._now)

    def _finished(self, branch: Branch, event: dict[str, Any]) -> None:
        call = _open_call(branch, event["id"])
        if call is None:
            call = Called(event["id"], event["tool"], "")
            branch.turns.append(call)
        call.result, call.failed = event["text"], event["failed"]
        call.remembered, call.seconds = event["remembered"], event["seconds"]
        self._ran.setdefault(branch.name, []).append(call.seconds)

    def _ended(self, branch: Branch, ended: str, told: str, tokens: int | None) -> None:
        branch.ended, branch.told, branch.tokens = ended, told, tokens
        branch.until = self._now


def _open_call(branch: Branch, id: str) -> Called | None:
    """The first call of that id that has not ended; a backend may use an id again."""
    for turn in branch.turns:
        if isinstance(turn, Called) and turn.id == id and turn.result is None:
            return turn
    return None
