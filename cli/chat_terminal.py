"""A conversation with a person at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from ..agents import Answer, Pending
from ..budgets import Budget
from .chat_decide import decisions
from .chat_keyboard import Keyboard, silent
from .chat_screen import Events, read_whole, watch
from .chat_stop import stoppable
from .chat_view import ChatView
from .live import PipeConsole
from .printable import printable


class Terminal:
    """See `Screen`. Ctrl-C at the prompt is a `KeyboardInterrupt`."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._keyboard = keyboard
        self._console = PipeConsole(highlight=False)

    def read(self) -> str | None:
        """See `Screen.read`."""
        self._console.print()
        text: str | None = None
        try:
            text = read_whole(lambda more: self._keyboard.line(". " if more else "> "))
        finally:
            if text is None:
                self._console.print()  # The prompt's line has no end.
        return text

    def say(self, line: Text) -> None:
        """See `Screen.say`."""
        self._console.print(line)

    def follow(self, events: Events, limits: Budget) -> Answer | None:
        """See `Screen.follow`."""
        view = ChatView(self._console, limits)
        with silent():
            answer = stoppable(lambda: watch(events, view))
        if answer is None or any(one.kind == "approval" for one in answer.pending):
            view.keep_said()  # Nothing else shows it now: there is no answer yet.
        return answer

    def reply(self, answer: Answer) -> None:
        """See `Screen.reply`."""
        if answer.text:
            self._console.print(Text(printable(answer.text)))

    def confirm(self, question: str) -> bool:
        """See `Screen.confirm`. Ctrl-C and Ctrl-D are a no."""
        try:
            said = self._keyboard.answer(f"{question} (y/n) ")
        except KeyboardInterrupt:
            said = None
        if said is None:
            self._console.print()
        return (said or "").strip().lower() in ("y", "yes")

    def decide(self, pending: Sequence[Pending]) -> Mapping[str, Any] | None:
        """See `Screen.decide`. Ctrl-C and Ctrl-D put it off."""
        try:
            made = decisions(pending, self._console, self._keyboard)
        except KeyboardInterrupt:
            made = None
        if made is None:
            self._console.print()
        return made
