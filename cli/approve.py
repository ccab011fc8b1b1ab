"""Asks the person at the terminal, by one key, whether a tool with side effects may be called."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from rich.text import Text

from ..graphs import Approval, ApprovalRequest, Approver
from .live import LiveView
from .printable import printable


def approver_for(view: LiveView) -> Approver | None:
    """Who approves: the person who sees the view and has the keyboard; None where nobody does."""
    if sys.platform == "win32" or not view.terminal or not sys.stdin.isatty():
        return None
    return TerminalApprover(view, sys.stdin.fileno())


class TerminalApprover:
    """Asks one question at a time, while the view holds still.

    Args:
        keyboard: File descriptor of the terminal that keys are read from.
    """

    def __init__(self, view: LiveView, keyboard: int) -> None:
        self._view = view
        self._keyboard = keyboard
        self._turn = asyncio.Lock()

    async def __call__(self, request: ApprovalRequest) -> Approval:
        """Approve where `y` is pressed; any other key refuses."""
        async with self._turn:
            with self._view.paused() as console:
                # All that will be run is shown, however long: nothing can hide in what is left out.
                console.print(question(request), soft_wrap=True, end="")
                granted = await one_key(self._keyboard) in (b"y", b"Y")
                console.print(Text("yes" if granted else "no", "green" if granted else "red"))
        return Approval(granted, "" if granted else "the user said no")


def question(request: ApprovalRequest) -> Text:
    """The call as it will be made, and the keys."""
    try:
        given = json.dumps(json.loads(request.arguments or "{}"), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        given = request.arguments
    where = "" if request.branch == "main" else f" ({request.branch})"
    return Text.assemble(
        ("approve ", "bold yellow"),
        (f"{printable(request.tool)}{where}", "bold"),
        f" {printable(given)}\n",
        ("y approves, any other key refuses: ", "bold yellow"),
    )


async def one_key(keyboard: int) -> bytes:
    """The next key that is pressed; keys from before the question do not count.

    Raises `OSError` where the terminal has gone.
    """
    import termios  # There is none on Windows, where nobody is asked.
    import tty

    before = termios.tcgetattr(keyboard)
    loop = asyncio.get_running_loop()
    pressed = asyncio.Event()
    tty.setcbreak(keyboard, termios.TCSAFLUSH)
    loop.add_reader(keyboard, pressed.set)
    try:
        await pressed.wait()
        return os.read(keyboard, 1024)[:1]
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)
