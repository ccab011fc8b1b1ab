"""A conversation over a pipe: a question a line in, answers out, all else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from ..agents import Answer, Pending
from ..budgets import Budget
from ..portal import run_blocking
from .chat_screen import Events, read_whole, watch
from .live import LiveView, stderr_console
from .printable import printable


class Pipe:
    """See `Screen`. Nobody can be asked anything."""

    def __init__(self) -> None:
        self._console = stderr_console()

    def read(self) -> str | None:
        """See `Screen.read`."""
        return read_whole(lambda _: _line())

    def say(self, line: Text) -> None:
        """See `Screen.say`."""
        self._console.print(line, soft_wrap=True)

    def follow(self, events: Events, limits: Budget) -> Answer | None:
        """See `Screen.follow`."""
        view = LiveView(self._console, limits.as_dict())
        return run_blocking(lambda: watch(events, view))

    def reply(self, answer: Answer) -> None:
        """See `Screen.reply`."""
        if answer.text:
            shown = printable(answer.text) if sys.stdout.isatty() else answer.text
            print(shown, flush=True)

    def confirm(self, question: str) -> bool:
        """See `Screen.confirm`."""
        return False

    def decide(self, pending: Sequence[Pending]) -> Mapping[str, Any] | None:
        """See `Screen.decide`."""
        return None


def _line() -> str | None:
    text = sys.stdin.readline()
    return text.removesuffix("\n").removesuffix("\r") if text else None
