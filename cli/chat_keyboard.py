"""Lines from a person at the terminal, who can edit them and call back earlier ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ..errors import WrongUsage

KEPT = 1000
"""Lines that the file of the history keeps."""


class Keyboard:
    """Reads lines with the standard library's readline, where the system has it.

    Args:
        history: File of earlier lines; only its owner can read it. Its folder is made.

    Raises `WrongUsage` where the file cannot be read or written.
    """

    def __init__(self, history: Path) -> None:
        self._readline = _readline()
        self._history = history
        if self._readline is None:
            return
        try:
            history.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(history, os.O_CREAT | os.O_RDWR, 0o600))
            self._readline.read_history_file(history)
        except OSError as error:
            raise WrongUsage(f"the history of inputs, {history}: {error.strerror}") from error
        self._readline.set_history_length(KEPT)
        self._readline.set_auto_history(False)

    def line(self, prompt: str) -> str | None:
        """The next line, kept in the history; None at Ctrl-D. Ctrl-C is a `KeyboardInterrupt`."""
        text = _input(prompt)
        if self._readline is not None and text is not None and text.strip():
            self._readline.add_history(text)
            self._readline.append_history_file(1, self._history)
        return text

    def answer(self, prompt: str, *, draft: str = "") -> str | None:
        """The answer to a question of ours, not kept; None at Ctrl-D.

        What was typed before the question does not count. `draft` stands there to be edited.
        """
        _forget_typed()
        if self._readline is None or not draft:
            return _input(prompt)
        readline = self._readline
        readline.set_startup_hook(lambda: readline.insert_text(draft))
        try:
            return _input(prompt)
        finally:
            readline.set_startup_hook(None)


@contextmanager
def silent() -> Iterator[None]:
    """Keys that are pressed do not show meanwhile: they would run into what is drawn."""
    if sys.platform == "win32":
        yield
        return
    import termios

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    flags = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(keyboard, termios.TCSADRAIN, flags)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _input(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None


def _readline() -> ModuleType | None:
    try:
        import readline  # There is none on Windows, whose console edits lines itself.
    except ImportError:
        return None
    return readline


def _forget_typed() -> None:
    if sys.platform != "win32":
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
