"""Asks the person at the terminal to decide what a run waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ..agents import Pending
from ..graphs import Approval
from .chat_keyboard import Keyboard
from .chat_view import alone
from .printable import printable


def decisions(
    pending: Sequence[Pending], console: Console, keyboard: Keyboard
) -> Mapping[str, Any] | None:
    """A decision on each of them, by id; None at Ctrl-D. Ctrl-C is a `KeyboardInterrupt`."""
    made: dict[str, Any] = {}
    for number, one in enumerate(pending, 1):
        if len(pending) > 1:
            console.print(Text(f"{number} of {len(pending)}", "dim"))
        console.print(described(one))
        decide = _approval if one.kind == "approval" else _verdict
        decision = decide(one, console, keyboard)
        if decision is None:
            return None
        made[one.id] = decision
    return made


def described(pending: Pending) -> Text:
    """All that the decision is about, however long: nothing can hide in what is left out."""
    if pending.kind == "approval":
        where = "" if alone(pending.branch) else f" ({printable(pending.branch)})"
        return Text.assemble(
            ("approve ", "bold yellow"),
            (f"{printable(pending.tool)}{where}", "bold"),
            f" {printable(_readable(pending.arguments))}",
        )
    error = f"\n{printable(pending.error)}" if pending.error else ""
    return Text.assemble(
        ("judge  ", "bold yellow"),
        (f"{printable(pending.question)}\n", "bold"),
        printable(pending.text),
        (error, "red"),
    )


def _approval(pending: Pending, console: Console, keyboard: Keyboard) -> Approval | None:
    while (said := keyboard.answer("y approves, e edits the arguments, n rejects: ")) is not None:
        match said.strip().lower():
            case "y" | "yes":
                return Approval(True)
            case "n" | "no":
                why = keyboard.answer("why not? the model is told: ")
                return None if why is None else Approval(False, why.strip() or "the user said no")
            case "e" | "edit":
                return _edited(pending, console, keyboard)
    return None


def _edited(pending: Pending, console: Console, keyboard: Keyboard) -> Approval | None:
    """Approval with other arguments. They are asked for until they are a JSON object."""
    draft = _one_line(pending.arguments)
    while (said := keyboard.answer("arguments: ", draft=draft)) is not None:
        try:
            fits = isinstance(json.loads(said), dict)
        except (ValueError, RecursionError):
            fits = False
        if fits:
            return Approval(True, arguments=said)
        console.print(Text("they must be one JSON object, with the tool's own names", "red"))
        draft = said
    return None


def _verdict(pending: Pending, console: Console, keyboard: Keyboard) -> Mapping[str, Any] | None:
    prompt = "y: it is right, n: it is wrong, or a score from 0 to 1: "
    while (said := keyboard.answer(prompt)) is not None:
        match said.strip().lower():
            case "y" | "yes":
                return {"approved": True}
            case "n" | "no":
                why = keyboard.answer("what is wrong? the model may be told: ")
                return None if why is None else {"approved": False, "reasons": why.strip()}
            case score if (value := _score(score)) is not None:
                return {"score": value}
    return None


def _score(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _readable(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return arguments


def _one_line(arguments: str) -> str:
    """The arguments for a line editor, whatever characters are in them."""
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return printable(" ".join(arguments.split()))
    plain = json.dumps(given, ensure_ascii=False)
    return plain if plain.isprintable() else json.dumps(given)
