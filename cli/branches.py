"""The branches of a run on a terminal: what each is doing, and how the votes stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.text import Text

from ..graphs import (
    BranchCancelled,
    BranchFinished,
    BranchStarted,
    BudgetState,
    Event,
    Thinking,
    ToolStarted,
    VerdictGiven,
)
from ..graphs import Text as Said
from .printable import printable

ROWS = 8
"""Running branches that are shown."""
TAIL = 300
"""Characters of a branch's text that are kept."""
LEADERS = 4
"""Answers whose votes are shown."""


@dataclass(slots=True)
class _Branch:
    said: str = ""
    attempt: int = 1


@dataclass(slots=True)
class BranchBoard:
    """Takes the events of branches; draws those that run, and counts those that have ended."""

    running: dict[str, _Branch] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    votes: Counter[str] = field(default_factory=Counter)
    parents: set[str] = field(default_factory=set)
    """Branches that have branches of their own: they show in those, and have no vote."""

    def clear(self) -> None:
        """Forget all: a new question begins."""
        self.running.clear()
        self.ended.clear()
        self.votes.clear()
        self.parents.clear()

    def take(self, event: Event) -> Text | None:
        """Note an event; the line that it leaves behind, if any."""
        match event:
            case BranchStarted(branch=name):
                self.running[name] = _Branch()
                self.parents.add(name.rpartition("/")[0])
            case Said(text=text, attempt=attempt) | Thinking(text=text, attempt=attempt):
                row = self.running.setdefault(event.branch, _Branch())
                if attempt != row.attempt:
                    row.said, row.attempt = "", attempt
                row.said = (row.said + printable(text))[-TAIL:]
            case ToolStarted(branch=name, tool=tool):
                self.running.setdefault(name, _Branch()).said = f"calls {printable(tool)} …"
            case BranchFinished():
                return self._finished(event)
            case BranchCancelled(branch=name, reason=reason, tokens=tokens):
                self.running.pop(name, None)
                self.ended["cancelled"] += 1
                return _line("branch", name, Text(f"cancelled: {reason}", "dim"), tokens)
            case VerdictGiven(branch=name, passed=passed, reasons=reasons, verifier=who):
                word, style = _VERDICTS[passed]
                first = printable(reasons.strip().splitlines()[0][:160]) if reasons.strip() else ""
                said = Text.assemble((word, style), (f"  {who}: {first}" if first else "", "dim"))
                return _line("check", name, said)
            case BudgetState():
                pass
        return None

    def _finished(self, event: BranchFinished) -> Text:
        self.running.pop(event.branch, None)
        self.ended[event.ended] += 1
        answer = printable(" ".join(readable_key(event.answer).split())[:100])
        if event.ended == "whole" and event.branch not in self.parents:
            self.votes[answer] += 1
        style = _ENDS.get(event.ended, "yellow")
        text = Text.assemble((f"{event.ended} ", style), answer)
        return _line("branch", event.branch, text, event.tokens)

    def draw(self) -> RenderableType | None:
        """The running branches over the votes; None without any."""
        rows = list(self._rows())
        if not rows and not self.votes:
            return None
        if self.votes:
            rows.append(self._tally())
        for row in rows:
            row.no_wrap, row.overflow = True, "ellipsis"
        return Group(*rows)

    def _rows(self) -> Iterator[Text]:
        leaves = [name for name in self.running if name not in self.parents]
        for name in leaves[:ROWS]:
            row = self.running[name]
            tail = " ".join(row.said.split())[-200:]
            yield Text.assemble((f"{name:<18.18} ", "cyan"), (tail or "…", "dim italic"))
        hidden = len(leaves) - ROWS
        if hidden > 0:
            yield Text(f"… and {hidden} more running", style="dim")

    def _tally(self) -> Text:
        text = Text.assemble(("votes  ", "dim"))
        for answer, count in self.votes.most_common(LEADERS):
            text.append(f"{answer[:40]} ", style="bold")
            text.append(f"×{count}   ", style="green")
        others = len(self.votes) - LEADERS
        if others > 0:
            text.append(f"and {others} other answers   ", style="dim")
        if rest := sum(n for how, n in self.ended.items() if how != "whole"):
            text.append(f"{rest} without a vote", style="dim")
        return text


def readable_key(key: str) -> str:
    """A canonical answer without the name of its kind."""
    kind, colon, rest = key.partition(":")
    return rest if colon and kind.isalpha() and rest else key


def _line(what: str, name: str, text: Text, tokens: int | None = None) -> Text:
    cost = "" if tokens is None else f"  {tokens} tokens"
    line = Text.assemble((f"{what:<7}", "dim"), (f"{name} ", "cyan"), text, (cost, "dim"))
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


_ENDS = {"whole": "green", "failed": "red"}
_VERDICTS = {True: ("passed", "green"), False: ("failed", "red"), None: ("no verdict", "yellow")}
