"""The key of an answer. Equality by key is an equivalence by construction. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from .asked import Asked, asked
from .choices import choices_of, is_letter, named
from .clean import clean, unwrap
from .dates import date_key
from .evaluate import evaluate, expression_key
from .expression import read
from .measures import counted, measure
from .relations import relation_key
from .sequences import assignments, bracketed, list_key, matrix, members, set_key
from .structured import json_key
from .tokens import Unreadable
from .words import MOST_WORDS, boolean_key, text_key

LONGEST = 2000
"""Characters of an answer; a longer one is open-ended unless it is JSON."""
DEEPEST = 6
"""Levels of lists in lists."""


def canonical(answer: str, question: str = "") -> str | None:
    """A key: equal answers have equal keys. None: open-ended, not comparable as text.

    Numbers are the same when they agree to six significant digits (whole numbers: to the last).
    The question decides what the answer alone leaves open: which letters are options, the unit of
    a bare number, and whether 50 means 50 % (`what percent`) or 50; elsewhere 50 % is 0.5.
    """
    structured = json_key(answer.strip())
    if structured is not None:
        return structured
    if len(answer) > LONGEST:
        return None
    text = clean(answer)
    if not text or len(text) > LONGEST:
        return None
    if not question:
        return _key(text, Asked())
    choices = choices_of(question)
    letters = named(text, choices)
    if letters and (is_letter(text) or "," in letters):
        return f"c:{letters}"
    key = _key(text, _wanted(question))
    if key is not None:
        equal = [letter for letter, option in _option_keys(question) if option == key]
        letters = equal[0] if len(equal) == 1 else letters
    return f"c:{letters}" if letters else key


def same(a: str, b: str, question: str = "") -> bool:
    """Whether two answers are equal; open-ended ones are only where they are the same text."""
    key = canonical(a, question)
    return a == b if key is None else key == canonical(b, question)


@lru_cache(maxsize=256)
def _wanted(question: str) -> Asked:
    """What the question asks for; where it names no unit, the one that all its options have."""
    wanted = asked(question)
    if wanted.unit is not None:
        return wanted
    measures = [measure(_option(text)) for text in choices_of(question).values()]
    units = {found.unit if found else None for found in measures}
    return replace(wanted, unit=units.pop()) if len(units) == 1 else wanted


@lru_cache(maxsize=256)
def _option_keys(question: str) -> tuple[tuple[str, str | None], ...]:
    wanted = _wanted(question)
    return tuple(
        (letter, _key(_option(text), wanted)) for letter, text in choices_of(question).items()
    )


def _option(text: str) -> str:
    return clean(text[:LONGEST])


def _key(text: str, question: Asked, depth: int = 0) -> str | None:
    """The key of a clean text, or of a member of one."""
    if depth > DEEPEST or not text:
        return None
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return (
        boolean_key(text)
        or _ratio_key(text, question)
        or date_key(text)
        or _measure_key(text, question)
        or (_counted_key(text, question) if depth == 0 else None)
        or _matrix_key(text, question, depth)
        or _bracketed_key(text, question, depth)
        or _list_key(text, question, depth)
        or relation_key(text, lambda side: _key(unwrap(side), question, depth + 1))
        or _expression_key(text)
        or text_key(text)
    )


def _measure_key(text: str, question: Asked) -> str | None:
    found = measure(text)
    return found.key(question) if found else None


def _counted_key(text: str, question: Asked) -> str | None:
    found = counted(text)
    return found.key(question) if found else None


def _ratio_key(text: str, question: Asked) -> str | None:
    sides = _RATIO.split(text) if question.ratio and len(text) < 100 else []
    if len(sides) != 2:
        return None
    return _measure_key(f"({sides[0]})/({sides[1]})", question)


def _matrix_key(text: str, question: Asked, depth: int) -> str | None:
    rows = matrix(text)
    if not rows:
        return None
    return _ordered([f"[{', '.join(row)}]" for row in rows], question, depth)


def _bracketed_key(text: str, question: Asked, depth: int) -> str | None:
    found = bracketed(text)
    if found is None:
        return None
    opening, inside, closing = found
    if not inside:
        return _EMPTY if opening == "{" else list_key(())
    if opening == "{" and closing == "}":
        return _unordered(members(inside), question, depth)
    parts = members(inside, unions=False)
    if len(parts) == 1:
        return _key(unwrap(inside), question, depth + 1)
    # ]0, 1[ is the French way to write (0, 1).
    return _ordered(parts, question, depth, _FRENCH.get(opening, opening), _CLOSING[closing])


def _list_key(text: str, question: Asked, depth: int) -> str | None:
    """The key of what is listed without brackets: without order, but for yes and no."""
    parts = members(text)
    parts = [signed for part in parts for signed in _both_signs(part)]
    if len(parts) < 2 or _prose(text, parts):
        return None
    named = assignments([unwrap(part) for part in parts])
    if named:
        values = [value for _, value in named]
        if len({name for name, _ in named}) == len(named):
            return _ordered(values, question, depth, "(", ")")
        if named[0][0] == named[-1][0]:
            return _unordered(values, question, depth)
    if all(boolean_key(part) for part in parts):
        return _ordered(parts, question, depth)
    return _unordered(parts, question, depth)


def _ordered(
    parts: list[str], question: Asked, depth: int, opening: str = "[", closing: str = "]"
) -> str | None:
    keys = _keys(parts, question, depth)
    return list_key(keys, opening, closing) if keys else None


def _unordered(parts: list[str], question: Asked, depth: int) -> str | None:
    parts = [signed for part in parts for signed in _both_signs(part)]
    keys = _keys(parts, question, depth)
    return set_key(keys) if keys else None


def _keys(parts: list[str], question: Asked, depth: int) -> list[str] | None:
    keys = [_key(unwrap(part), question, depth + 1) for part in parts]
    known = [key for key in keys if key is not None]
    return known if len(known) == len(keys) else None


def _both_signs(text: str) -> list[str]:
    """`1 ± 2` is 1 + 2 and 1 - 2."""
    if "±" not in text:
        return [text]
    return [
        text.replace("±", "+").replace("∓", "-"),
        text.replace("±", "-").replace("∓", "+"),
    ]


def _prose(text: str, parts: list[str]) -> bool:
    """Whether a text with commas is a sentence and no list: long, with long parts of words."""
    if len(text.split()) <= MOST_WORDS:
        return False
    return any(len(part.split()) > _MOST_IN_PART and not _MATHS.search(part) for part in parts)


def _expression_key(text: str) -> str | None:
    if not _MATHS.search(text):
        return None
    program = read(text)
    if program is None:
        return None
    if program.symbol:
        return text_key(program.symbol)
    try:
        return expression_key(lambda point: evaluate(program, point), sorted(program.symbols))
    except Unreadable:
        return None


_EMPTY = set_key(())
_CONSTANTS = {"∅": _EMPTY} | {
    text: f"n:{'-' * (text[0] == '-')}inf"
    for sign in ("", "+", "-")
    for text in (f"{sign}∞", f"{sign}infinity", f"{sign}Infinity", f"{sign}inf")
}
_RATIO = re.compile(r"\s?:\s?|\sto\s")
_FRENCH = {"]": "("}
_CLOSING = {")": ")", "]": "]", "}": "}", "[": ")"}
_MATHS = re.compile(r"[\d+*/^=<>|!\\π°()-]")
_MOST_IN_PART = 3
