"""The work of `mull chat`: a conversation with a person, or over a pipe."""

from __future__ import annotations

import argparse
import io
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.text import Text

from ..agents import Agent, Answer, ThreadStore
from ..budgets import Budget
from ..errors import MullError
from ..graphs import effort_of
from . import ANSWERED, FAILED, INTERRUPTED, exit_code
from .answering import code_of, settings_of, tools_of
from .chat_commands import new_name, obey
from .chat_conversation import Conversation
from .chat_keyboard import Keyboard
from .chat_pipe import Pipe
from .chat_terminal import Terminal
from .live import stderr_console
from .printable import printable

HISTORY = "chat_history"
"""File of earlier inputs, beside the threads."""


def run(arguments: argparse.Namespace) -> int:
    """Hold the conversation to its end."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # What is no text is told as wrong usage, where it is asked.
        sys.stdin.reconfigure(errors="surrogateescape")
    budget = Budget.parse(arguments.budget) if arguments.budget is not None else Budget()
    if arguments.effort is not None:
        effort_of(arguments.effort)  # Here, where a wrong one still ends the command.
    whole = None if arguments.thread_budget is None else _limits(arguments.thread_budget)
    agent = _agent(arguments)
    person = sys.stdin.isatty() and sys.stdout.isatty()
    screen = Terminal(Keyboard(agent.threads.folder / HISTORY)) if person else Pipe()
    conversation = Conversation(
        agent,
        screen,
        depth=arguments.depth,
        effort=arguments.effort,
        budget=budget,
        thread_budget=whole,
        approves_all=arguments.yes,
    )
    with _kept(agent.threads):
        conversation.open(arguments.thread or new_name())
        _guarded(conversation, conversation.catch_up)
        return _with_a_person(conversation) if person else _over_a_pipe(conversation)


@contextmanager
def _kept(threads: ThreadStore) -> Iterator[None]:
    """Close the store in the end; not at Ctrl-C, when a run may still be writing to it."""
    interrupted = False
    try:
        yield
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if not interrupted:
            threads.close()


def _with_a_person(conversation: Conversation) -> int:
    """Until /quit, Ctrl-D or Ctrl-C. What goes wrong is told, and the conversation goes on."""
    conversation.note("/help lists the commands")
    code = ANSWERED
    while not conversation.ended:
        try:
            text = conversation.screen.read()
        except KeyboardInterrupt:
            code = INTERRUPTED
            break
        if text is None:
            break
        _taken(conversation, text)
    _say_kept(conversation)
    return code


def _over_a_pipe(conversation: Conversation) -> int:
    """Until the input ends, or a run waits for a person. The exit code is the last answer's."""
    code = ANSWERED
    while not conversation.ended and (text := conversation.screen.read()) is not None:
        last = _taken(conversation, text)
        code = code if last is None else last
        if last == FAILED and conversation.thread.pending():
            _say_kept(conversation)
            break
    return code


def _say_kept(conversation: Conversation) -> None:
    thread = conversation.thread
    if thread.history() or conversation.cut_off():
        conversation.note(f"kept: mull chat --thread {shlex.quote(printable(thread.id))} goes on")


def _taken(conversation: Conversation, text: str) -> int | None:
    """Ask a question, or obey a command; see `_guarded`."""
    if not text.strip():
        return None
    if text.startswith("/"):
        return _guarded(conversation, lambda: obey(conversation, text))
    return _guarded(conversation, lambda: conversation.ask(text))


def _guarded(conversation: Conversation, work: Callable[[], Answer | None]) -> int | None:
    """Do it, and tell what goes wrong; the exit code, None where nothing was answered."""
    try:
        answer = work()
    except MullError as error:
        conversation.screen.say(Text(f"mull: {printable(str(error))}", "red"))
        return exit_code(error)
    return None if answer is None else code_of(answer)


def _limits(text: str) -> Budget:
    return Budget() if text == "none" else Budget.parse(text)


def _agent(arguments: argparse.Namespace) -> Agent:
    return Agent(
        arguments.model,
        base_url=arguments.base_url,
        tools=tools_of(arguments, stderr_console()),
        depth=arguments.depth,
        verifier=arguments.verify,
        settings=settings_of(arguments),
        approve="all" if arguments.yes else "ask",
    )
