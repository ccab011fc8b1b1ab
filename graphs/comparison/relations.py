"""Equations and inequalities: what they say about which symbol. Pure.

`x = 5`, `5 = x`, `2x = 10` and `area = 5` say 5; a line is solved for y, so that `2x - y + 1 = 0`
is `y = 2x + 1`; any other equation is the same as its multiples. `x > 5` is the interval (5, ∞).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from .evaluate import add, divide, evaluate, expression_key
from .expression import Program, read
from .measures import measure
from .rounding import Value
from .sequences import list_key
from .tokens import Unreadable

Key = Callable[[str], str | None]
"""The key of a part."""

LONGEST = 400
"""Characters of an equation."""

_RELATION = re.compile(r"<=|>=|!=|=|<|>")
_NAME = re.compile(
    r"\\?[A-Za-z]+(?:_(?:\{\w{1,16}\}|\w))?'?(?:\(\w(?:,\s?\w)?\))?"
    r"|[A-Za-z][A-Za-z ]{1,40}|m?\s?∠\s?[A-Z]+|\(\w(?:,\s?\w)+\)|[a-z]\s?\^\{?\s?-1\}?\s?\(\w\)",
    re.A,
)
_CALL = re.compile(r"[fghFGHPETV]'?\s?\([^()=]{1,16}\)", re.A)
_MEMBER = re.compile(r"(?:\\?[A-Za-z]+)\s?∈\s?(.+)")
_SAME = 1e-9


def relation_key(text: str, key: Key) -> str | None:
    """The key of an equation, an inequality or `x ∈ …`; None: the text is none of them."""
    if len(text) > LONGEST:
        return None
    member = _MEMBER.fullmatch(text)
    if member:
        return key(member[1])
    signs = _RELATION.findall(text)
    sides = [side.strip() for side in _RELATION.split(text)]
    if not 1 <= len(signs) <= 4 or not all(sides):
        return None
    if set(signs) == {"="}:
        return _equation_key(sides, key)
    if "=" in signs or "!=" in signs:
        return None
    return _inequality_key(sides, signs, key)


def _equation_key(sides: list[str], key: Key) -> str | None:
    left, right = sides[-2], sides[-1]
    one, other = read(left), read(right)
    found = measure(right)
    if _CALL.fullmatch(left) or (found and found.unit and _NAME.fullmatch(left)):
        return key(right)  # h = 5 h is no equation in h
    if one and other and left != "y":
        solved = _solved(one, other)
        if solved is not None:
            return solved
    if one and one.symbol and other and right.replace(" ", "").isalpha() and not other.symbol:
        return _expression_key(other)  # F = ma: alone, the letters would pass for a word
    if _names(left, one) or (one and not one.symbols and not (other and other.symbols)):
        return key(right)
    if _names(right, other):
        return key(left)
    return _multiple_key(one, other) if one and other else None


def _expression_key(program: Program) -> str | None:
    try:
        return expression_key(lambda point: evaluate(program, point), sorted(program.symbols))
    except Unreadable:
        return None


def _names(text: str, program: Program | None) -> bool:
    """Whether a side only says what the other side is: x, f(x), AB, area; not the product xy."""
    product = program is not None and len(program.symbols) > 1 and text.isalpha() and text.islower()
    return bool(_NAME.fullmatch(text)) and not product


def _solved(left: Program, right: Program) -> str | None:
    """The key of what the equation says y is, or else its only symbol; None: neither."""
    gap = _gap(left, right)
    name = "y" if "y" in gap.symbols else next(iter(gap.symbols), "")
    if not name or (name != "y" and len(gap.symbols) > 1):
        return None

    def value(point: Mapping[str, Value]) -> Value:
        def at(place: int) -> Value:
            return evaluate(gap, {**point, name: Fraction(place)})

        start = at(0)
        slope = add(at(1), -start)
        for place in (2, -3):
            line, there = add(start, slope * place), at(place)
            if abs(complex(add(there, -line))) > _SAME * max(
                abs(complex(there)), abs(complex(line))
            ):
                raise Unreadable("not a line")
        return divide(-start, slope)

    try:
        return expression_key(value, sorted(gap.symbols - {name}))
    except Unreadable:
        return None


def _multiple_key(left: Program, right: Program) -> str | None:
    """The key of an equation up to a factor: its gap at each point, against the first."""
    gap = _gap(left, right)
    first: list[Value] = []

    def value(point: Mapping[str, Value]) -> Value:
        first.append(evaluate(gap, point))
        return divide(first[-1], first[0])

    try:
        return f"e:{expression_key(value, sorted(gap.symbols))}"
    except Unreadable:
        return None


def _gap(left: Program, right: Program) -> Program:
    return Program((*left.steps, *right.steps, ("-", None)), left.symbols | right.symbols)


def _inequality_key(sides: list[str], signs: list[str], key: Key) -> str | None:
    """The interval in which a name is said to be; None where that takes solving."""
    ways = {sign[0] for sign in signs}
    if len(ways) > 1 or len(sides) > 3:
        return None
    if ways == {">"}:
        sides, signs = sides[::-1], signs[::-1]
    if len(sides) == 3 and _NAME.fullmatch(sides[1]):
        low, high = key(sides[0]), key(sides[2])
        opening, closing = _closed(signs[0], "[("), _closed(signs[1], "])")
    elif len(sides) == 2 and _NAME.fullmatch(sides[0]):
        low, high = "n:-inf", key(sides[1])
        opening, closing = "(", _closed(signs[0], "])")
    elif len(sides) == 2 and _NAME.fullmatch(sides[1]):
        low, high = key(sides[0]), "n:inf"
        opening, closing = _closed(signs[0], "[("), ")"
    else:
        return None
    return list_key([low, high], opening, closing) if low and high else None


def _closed(sign: str, brackets: str) -> str:
    return brackets[0] if sign.endswith("=") else brackets[1]
