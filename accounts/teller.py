"""Teller: makes a story of the lines of a trace. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .steps import MAIN
from .story import Branch, Call, Called, Chosen, Judged, Said, Story
from .trace_file import Trace


def tell(trace: Trace) -> Story:
    """The story of a run."""
    branches = {str(event["branch"]) for event in trace.events if "branch" in event}
    starts = [float(event["started"]) for event in trace.events if event["event"] == "call"]
    teller = _Teller(branches, min(starts, default=None))
    for event in trace.events:
        teller.take(event)
    teller.finish()
    answer = teller.answer
    return Story(
        branches=tuple(teller.branches.values()),
        steps=tuple((answer or {}).get("trace") or teller.steps()),
        answer=answer,
        spent=teller.spent,
        torn=trace.torn,
        seconds=teller.now,
        question=teller.question,
        timed=teller.at is not None,
    )


UNSURE = frozenset(("call", "branch_started", "thinking", "text", "budget"))
"""Lines that may stand below that of a call they come before."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that has no turn yet."""

    call: Call
    is_tool: bool
    said: bool
    """Whether events tell what it says: the branch itself made it, and no judge or classifier."""


class _Teller:
    """Takes the lines in order.

    A call's line is written at once and an event a moment later: the last pieces of what a model
    said may stand below the line of the call that said it. So a branch's calls wait for an event
    that surely comes after them.
    """

    def __init__(self, names: Collection[str], at: float | None) -> None:
        self.branches = {MAIN: Branch(MAIN, 0.0)}
        self.answer: dict[str, Any] | None = None
        self.spent: dict[str, Any] | None = None
        self.question = ""
        self.at = at
        """When the run began, in seconds since the epoch; None: a trace without calls."""
        self.now = 0.0
        self._names = names
        self._saying: dict[str, Said] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        """Each branch's calls that have no turn yet."""
        self._ids: set[str] = set()
        self._steps: list[tuple[float, dict[str, Any]]] = []
        """The calls as steps, with their starts."""
        self._ran: dict[str, list[float]] = {}
        """Seconds of each branch's tool calls since its last budget event."""

    def take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "run":
            self.question, self.at = event["question"], float(event["at"])
            return
        name = self._maker_of(event["call_id"]) if kind == "call" else event["branch"]
        branch = self.branches.setdefault(name, Branch(name, self.now))
        if kind not in UNSURE:
            self._place(branch, tools=kind != "tool_started")
        match kind:
            case "call":
                self._answered(branch, event)
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
                self.now = max(self.now, float(self.spent["seconds"]))
                self._ended(branch, event["stopped"], event["answer"], None)

    def finish(self) -> None:
        """After the last line."""
        for branch in self.branches.values():
            self._place(branch)

    def steps(self) -> list[dict[str, Any]]:
        """What the calls tell of the steps of a run whose answer does not tell them."""
        return [step for _, step in sorted(self._steps, key=lambda known: known[0])]

    def _maker_of(self, call_id: str) -> str:
        """The branch that made a call: judges and classifiers have accounts below it."""
        path = call_id.split("/")[:-1]
        names = ("/".join(path[:end]) for end in range(len(path), 0, -1))
        return next((name for name in names if name in self._names), MAIN)

    def _answered(self, branch: Branch, event: dict[str, Any]) -> None:
        began = max(0.0, float(event["started"]) - (self.at or 0.0))
        ended = began + float(event["seconds"])
        if branch.name != MAIN:
            first = not (branch.calls or branch.tools)
            branch.began = began if first else min(began, branch.began)
        is_tool, id = event["kind"] == "tool", event["call_id"]
        (branch.tools if is_tool else branch.calls).append((began, ended))
        above = id.rpartition("/")[0]
        said = above == ("" if branch.name == MAIN else branch.name) or above in self._ids
        call = Call(id, event["name"], event["asked"], event["replied"], began, ended)
        self._waiting.setdefault(branch.name, []).append(_Waiting(call, is_tool, said))
        self._ids.add(id)  # A call that goes on where it ended has its id and a number.
        self._steps.append((began, _step(branch.name, call, is_tool)))
        self.now = max(self.now, ended)

    def _place(self, branch: Branch, *, tools: bool = True) -> None:
        """Give the branch's waiting calls their turns; without `tools`, those before a tool's."""
        self._say(branch)
        waiting = self._waiting.get(branch.name, [])
        while waiting and (tools or not waiting[0].is_tool):
            first = waiting.pop(0)
            if not first.is_tool:
                branch.turns.append(_told(first.call))
            elif not _is_called(branch, first.call):
                branch.turns.append(_tool_turn(first.call))

    def _say(self, branch: Branch) -> None:
        """End what the branch is saying, and put the calls that said it in its place."""
        said = self._saying.pop(branch.name, None)
        if said is None:
            return
        waiting, length, told = self._waiting.get(branch.name, []), _length(said), list[Said]()
        while waiting and length > 0 and not waiting[0].is_tool:
            first = waiting.pop(0)
            told.append(_told(first.call))
            length -= _length(told[-1]) if first.said else 0
        if told:
            place = next(n for n, turn in enumerate(branch.turns) if turn is said)
            branch.turns[place : place + 1] = told

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
        self.spent, self.now = spent, max(self.now, float(spent["seconds"]))
        self._say(branch)
        ran = self._ran.pop(branch.name, [])
        if self.at is None:
            branch.tools += [(max(branch.began, self.now - seconds), self.now) for seconds in ran]
            branch.calls += [] if ran else [(self.now, self.now)]

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
        branch.until = self.now


def _step(branch: str, call: Call, is_tool: bool) -> dict[str, Any]:
    """A call as a step: named as the node that made it."""
    own = call.id if branch == MAIN else call.id.removeprefix(f"{branch}/")
    step = {"branch": branch, "node": re.split(r"[./]", own, maxsplit=1)[0], "reason": ""}
    spent = {"tool": call.model} if is_tool else {"tokens": call.tokens}
    return {**step, **spent, "seconds": round(call.ended - call.began, 3)}


def _told(call: Call) -> Said:
    """What a call said, as its reply has it."""
    replied = call.replied
    return Said(thinking=replied.get("reasoning", ""), text=replied.get("text", ""), call=call)


def _length(said: Said) -> int:
    """Of what can be seen: spaces may have been trimmed."""
    return len("".join((said.thinking + said.text).split()))


def _is_called(branch: Branch, call: Call) -> bool:
    """Whether the events tell a tool's call: then it has a turn."""
    given = call.asked.get("arguments")
    open_ = [turn for turn in branch.turns if isinstance(turn, Called) and turn.result is None]
    return any(turn.tool == call.model and (turn.asked or _read(turn) == given) for turn in open_)


def _read(turn: Called) -> Any:
    try:
        return json.loads(turn.arguments or "{}")
    except (ValueError, RecursionError):
        return None


def _tool_turn(call: Call) -> Called:
    """A tool's call that no event tells: a verifier's, or of a run of which only calls are kept."""
    return Called(
        call.id,
        call.model,
        json.dumps(call.asked.get("arguments")),
        result=call.replied.get("text", ""),
        failed=bool(call.replied.get("failed")),
        seconds=call.ended - call.began,
    )


def _open_call(branch: Branch, id: str) -> Called | None:
    """The first call of that id that has not ended; a backend may use an id again."""
    for turn in branch.turns:
        if isinstance(turn, Called) and turn.id == id and turn.result is None:
            return turn
    return None
