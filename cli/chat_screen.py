"""What a conversation needs of whoever it is held with: a person at a terminal, or a pipe."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from rich.text import Text

from ..agents import Answer, Answered, Pending
from ..budgets import Budget
from ..graphs import Event
from .chat_view import ChatView
from .live import LiveView

Events = Callable[[], AsyncGenerator[Event, None]]
"""Begins a run, and gives its events; the last is `Answered`."""


class Screen(Protocol):
    """Reads what is asked, and shows what comes of it."""

    def read(self) -> str | None:
        """The next question or command; None at the end of the input."""

    def say(self, line: Text) -> None:
        """Show a line that is no answer. Foreign text in it must be `printable` already."""

    def follow(self, events: Events, limits: Budget) -> Answer | None:
        """Show a run while it goes on; None where the person stopped it.

        `limits` are those of the run, for show. Raises what the run raises.
        """

    def reply(self, answer: Answer) -> None:
        """Show the text of an answer."""

    def confirm(self, question: str) -> bool:
        """Whether the person says yes. No where nobody can be asked."""

    def decide(self, pending: Sequence[Pending]) -> Mapping[str, Any] | None:
        """What the person decides, by the ids of what waits; None: nothing is decided now."""


def read_whole(line: Callable[[bool], str | None]) -> str | None:
    """One input of one or more lines: a line that ends in a backslash goes on in the next.

    Args:
        line: The next line, None at the end; it is told whether the line goes on from another.
    """
    parts: list[str] = []
    while (text := line(bool(parts))) is not None:
        if not text.endswith("\\"):
            return "\n".join([*parts, text])
        parts.append(text[:-1])
    return "\n".join(parts) if parts else None


async def watch(events: Events, view: ChatView | LiveView) -> Answer:
    """Show the events of a run, to its answer. Raises what the run raises."""
    answer: Answer | None = None
    with view:
        async with aclosing(events()) as stream:
            async for event in stream:
                if isinstance(event, Answered):
                    answer = event.answer
                else:
                    view.show(event)
    assert answer is not None, "a stream of events ends with the answer or raises"
    return answer
