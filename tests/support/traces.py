"""Traces as a run writes them, line by line, and the pages that the command makes of them."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mull.accounts import Story, read_trace, tell
from mull.accounts.story import Turn
from mull.cli import trace

QUESTION = "What is 6 times 7?"
SURE = "It is clear.\nAnswer: 42"
AT = 1_790_121_600.0

Event = dict[str, Any]


# ---- events, as a run writes them


def spent(seconds: float, tokens: int = 10) -> Event:
    return {
        "calls": 1,
        "tool_calls": 0,
        "total_tokens": tokens,
        "seconds": seconds,
        "cost": "0.01",
    }


def said(text: str, *, branch: str = "main", attempt: int = 1) -> Event:
    return {"event": "text", "branch": branch, "text": text, "attempt": attempt}


def paid(seconds: float, *, branch: str = "main") -> Event:
    return {"event": "budget", "branch": branch, "spent": spent(seconds), "left": {}}


def started(branch: str) -> Event:
    return {"event": "branch_started", "branch": branch}


def called(id: str, arguments: str = "{}", *, branch: str = "main") -> Event:
    event = {"event": "tool_started", "branch": branch, "id": id, "tool": "python"}
    return event | {"arguments": arguments}


def returned(id: str, text: str, *, seconds: float = 0.5, branch: str = "main") -> Event:
    event = {"event": "tool_finished", "branch": branch, "id": id, "tool": "python", "text": text}
    return event | {"failed": False, "remembered": False, "seconds": seconds}


def judged(reasons: str) -> Event:
    event = {"event": "verdict", "branch": "main", "verifier": "judge", "score": 0.25}
    return event | {"passed": False, "reasons": reasons}


def finished(branch: str, ended: str = "whole") -> Event:
    event = {"event": "branch_finished", "branch": branch, "ended": ended}
    return event | {"answer": "42", "tokens": 1234}


def cancelled(branch: str, reason: str) -> Event:
    return {"event": "branch_cancelled", "branch": branch, "reason": reason, "tokens": 77}


def run_line(question: str = QUESTION) -> Event:
    return {"event": "run", "question": question, "at": AT}


def call(
    id: str,
    text: str = "",
    *,
    began: float = 0.0,
    seconds: float = 1.0,
    messages: Sequence[Event] = (),
    **replied: Any,
) -> Event:
    """A call of a model, as a recorder writes it; `began` is counted from the run's start."""
    event = {"event": "call", "call_id": id, "kind": "model", "name": "m"}
    times = {"started": AT + began, "seconds": seconds}
    asked = {"messages": list(messages), "max_tokens": 99}
    return event | times | {"asked": asked, "replied": {"text": text, **replied}}


def tool_call(id: str, arguments: Event, text: str, *, began: float = 0.0) -> Event:
    event = {"event": "call", "call_id": id, "kind": "tool", "name": "python"}
    times = {"started": AT + began, "seconds": 0.5}
    return event | times | {"asked": {"arguments": arguments}, "replied": {"text": text}}


def message(content: str, role: str = "user") -> Event:
    return {"role": role, "content": content}


def answered(text: str, steps: Sequence[Event] = (), *, seconds: float = 2.0) -> Event:
    event = {"event": "answer", "branch": "main", "answer": text, "depth": "vote"}
    usage = spent(seconds, tokens=1000)
    return event | {"stopped": "answered", "usage": usage, "trace": list(steps), "budget": {}}


@dataclass
class Desk:
    """A folder with a trace, and what is made of it."""

    folder: Path

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    def write(self, *events: Event, rest: str = "") -> None:
        lines = [json.dumps(event) + "\n" for event in events]
        self.events.write_text("".join(lines) + rest)

    def story(self, *events: Event) -> Story:
        self.write(*events)
        return tell(read_trace(self.events))

    def page(self, *events: Event) -> "Seen":
        """The page that the command makes of these events."""
        self.write(*events)
        return self.made()

    def made(self, *, name: str = "page.html") -> "Seen":
        """The page that the command makes of the trace."""
        parser = argparse.ArgumentParser()
        trace.add_parser(parser.add_subparsers())
        file = self.folder / name
        given = parser.parse_args(["trace", str(self.events), "--html", str(file)])
        assert trace.run(given) == 0
        return Seen.of(file.read_text(encoding="utf-8"))


class Seen(HTMLParser):
    """A page as a browser takes it: its tags, its attributes, its text. Tags must be balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.links: list[str] = []
        self.places: list[str] = []
        self.text = ""
        self.raw = ""
        self._open: list[str] = []

    @classmethod
    def of(cls, raw: str) -> "Seen":
        seen = cls()
        seen.raw = raw
        seen.feed(raw)
        seen.close()
        assert seen._open == []
        return seen

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.places += [value or "" for name, value in attrs if name == "id"]
        self.attributes += [name for name, _ in attrs]
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def turns_of(story: Story) -> list[Turn]:
    return [turn for branch in story.branches for turn in branch.turns]
