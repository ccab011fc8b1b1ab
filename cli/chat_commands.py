"""The commands of a conversation: lines that begin with a slash."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from ..agents import Answer
from ..budgets import Budget
from ..errors import WrongUsage
from ..graphs import DEPTHS, EFFORTS, effort_of
from .chat_conversation import Conversation, exchange
from .live import budget_text
from .printable import printable
from .threads import write_new


@dataclass(frozen=True)
class Command:
    """A command: what is typed after its name, what it is for, and what it does.

    `obey` is given the rest of the line, and hands back the answer where there is one.
    """

    takes: str
    about: str
    obey: Callable[[Conversation, str], Answer | None]


def obey(conversation: Conversation, line: str) -> Answer | None:
    """Do what a line says that begins with a slash. Raises `WrongUsage` for an unknown command."""
    name, _, rest = line[1:].strip().partition(" ")
    if name not in COMMANDS:
        raise WrongUsage(f"there is no command /{printable(name)}: /help lists them")
    command, rest = COMMANDS[name], rest.strip()
    if rest and not command.takes:
        raise WrongUsage(f"/{name} takes nothing after it")
    return command.obey(conversation, rest)


def new_name() -> str:
    """A name for a thread: when it began, and a bit of chance."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _help(conversation: Conversation, _: str) -> None:
    for name, command in COMMANDS.items():
        usage = f"/{name} {command.takes}".strip()
        conversation.screen.say(Text.assemble(f"{usage:<16}", (command.about, "dim")))
    conversation.note("A line that ends in \\ goes on. Ctrl-C stops an answer, Ctrl-D ends.")
    conversation.note("A question that begins with / is asked after a space.")


def _budget(conversation: Conversation, text: str) -> None:
    if text:
        conversation.budget = Budget() if text == "none" else Budget.parse(text)
    thread = conversation.thread
    spent, limits = thread.spent(), thread.left()
    conversation.note(f"each answer: {conversation.limits}")
    conversation.note(f"thread: {budget_text(spent.as_dict(), {})} spent, left: {limits}")


def _depth(conversation: Conversation, name: str) -> None:
    if name and name not in DEPTHS:
        raise WrongUsage(f"there is no depth {printable(name)!r}: choose {', '.join(DEPTHS)}")
    conversation.depth = name or conversation.depth
    conversation.note(f"depth: {conversation.depth}")


def _effort(conversation: Conversation, name: str) -> None:
    if name:
        if name != "none":
            effort_of(name)
        conversation.effort = None if name == "none" else name
    conversation.note(f"effort: {conversation.effort or 'none'}, of {', '.join(EFFORTS)}, none")


def _undo(conversation: Conversation, _: str) -> None:
    unanswered = conversation.cut_off()
    turn = conversation.thread.undo()
    if turn is not None:
        conversation.note(f"taken back: {printable(turn.question)}")
    else:
        what = "the question without an answer is" if unanswered else "there is nothing to be"
        conversation.note(f"{what} taken back")


def _history(conversation: Conversation, _: str) -> None:
    turns = conversation.thread.history()
    for turn in turns:
        conversation.screen.say(exchange(turn))
    if not turns:
        conversation.note("nothing was asked yet")


def _export(conversation: Conversation, name: str) -> None:
    thread = conversation.thread
    file = Path(name or f"{thread.id}.json")
    write_new(file, json.dumps(thread.export(), indent=2) + "\n")
    conversation.note(f"written to {printable(str(file))}")


def _new(conversation: Conversation, name: str) -> Answer | None:
    conversation.open(name or new_name())
    return conversation.catch_up()


def _quit(conversation: Conversation, _: str) -> None:
    conversation.ended = True


COMMANDS: Mapping[str, Command] = {
    "help": Command("", "this list", _help),
    "budget": Command("[B]", "limits of each answer, as tokens=8000; none lifts them", _budget),
    "depth": Command("[D]", "how deep to go: auto chooses", _depth),
    "effort": Command("[E]", "a budget and the deepest depth in a word", _effort),
    "undo": Command("", "take the last question back; what it spent stays spent", _undo),
    "resume": Command("", "go on with a question that was cut off", lambda c, _: c.resume()),
    "history": Command("", "all that was said", _history),
    "pending": Command("", "decide what waits for you", lambda c, _: c.settle()),
    "export": Command("[FILE]", "write the conversation as JSON", _export),
    "new": Command("[ID]", "go to another conversation", _new),
    "quit": Command("", "end; the conversation is kept", _quit),
}
