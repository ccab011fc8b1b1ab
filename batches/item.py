"""Item: one question of a batch, read from one line. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..budgets import Budget
from ..errors import WrongUsage
from ..graphs import DEPTHS

LONGEST_ID = 200
"""Characters of an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A question to answer."""

    id: str | int
    """As the line gives it; the line's number where it gives none."""
    line: int
    """From 1, empty lines counted."""
    question: str
    depth: str | None = None
    budget: Budget | None = None
    """Limits in place of the batch's limits of each question, one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line that is no question."""

    id: str | int
    line: int
    reason: str


def read_item(line: bytes, number: int) -> Item | Refused:
    """The question on a line: an object with `question`, and perhaps `id`, `depth`, `budget`.

    Other fields are left alone.
    """
    try:
        given = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        return Refused(id=number, line=number, reason=f"not JSON: {error}")
    if not isinstance(given, dict):
        return Refused(id=number, line=number, reason='not an object such as {"question": "…"}')
    name = given.get("id")
    if name is None:
        name = number
    elif (wrong := _wrong_id(name)) is not None:
        return Refused(id=number, line=number, reason=wrong)
    try:
        return Item(
            id=name,
            line=number,
            question=_question(given.get("question")),
            depth=_depth(given.get("depth")),
            budget=_budget(given.get("budget")),
        )
    except WrongUsage as error:
        return Refused(id=name, line=number, reason=str(error))


def _wrong_id(name: Any) -> str | None:
    if isinstance(name, bool) or not isinstance(name, str | int):
        return "the id is neither text nor a whole number"
    text = str(name)
    if not text or len(text) > LONGEST_ID:
        return f"the id has {len(text)} characters: give 1 to {LONGEST_ID}"
    return None if _encodes(text) else "the id is not Unicode text"


def _question(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise WrongUsage("there is no question: give text in `question`")
    if not _encodes(given):
        raise WrongUsage("the question is not Unicode text")
    return given


def _depth(given: Any) -> str | None:
    if given is not None and (not isinstance(given, str) or given not in DEPTHS):
        raise WrongUsage(f"there is no depth {given!r}: choose one of {', '.join(DEPTHS)}")
    return given


def _budget(given: Any) -> Budget | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise WrongUsage(f"budget {given!r}: give text such as 'tokens=8000'")
    return Budget.parse(given)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
