"""The equations that a text writes down, found among its words. Pure.

Careful before complete: what may be algebra (`2x + 1 = 7`), a conversion of units (`3 hours = 180
minutes`) or anything else that is not plain arithmetic is left out, so that a right text is not
called wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from .arithmetic import NotArithmetic, Token, compute, operates, tokens
from .fences import prose
from .runs import OPERANDS, Run, runs

LONGEST_TEXT = 20_000
"""Characters that are read, from the end."""
LONGEST_STATED = 200
"""Characters of a bare answer."""


@dataclass(frozen=True, slots=True)
class Side:
    """What stands between two equals signs."""

    tokens: tuple[Token, ...]
    value: Fraction
    text: str
    units: frozenset[str] = frozenset()
    cut: bool = False
    """An ellipsis follows: `3.333…`."""

    @property
    def operates(self) -> bool:
        """Whether something is computed here."""
        return operates(self.tokens)

    @property
    def numbers(self) -> tuple[Fraction, ...]:
        """The numbers that are written here, a percentage as its share."""
        pairs = zip(self.tokens, (*self.tokens[1:], None), strict=True)
        return tuple(
            token.value / 100 if after and after.kind == "percent" else token.value
            for token, after in pairs
            if token.kind == "number"
        )


@dataclass(frozen=True, slots=True)
class Equation:
    """Two sides with an equals sign between them, one of which at least computes something."""

    left: Side
    right: Side
    about: bool = False
    """Written with `≈`."""
    continues: bool = False
    """Another equals sign follows: `2 + 3 = 5 * 4 = 20` is two equations."""
    described: bool = False
    """Words stand before it: `he has 8 = 2 * 4`, but also `what he lost of 8 = 2 + 3`."""


def equations(text: str) -> list[Equation]:
    """The equations in the order they are written; code in fences is none of the text's claims."""
    text = _MARKER.sub(r"\1", prose(text[-LONGEST_TEXT:]))
    return [e for run in runs(list(tokens(text))) for e in _equations(run, text)]


def numbers(text: str, *, words: bool = True) -> list[Fraction]:
    """Every number that a text mentions, in digits or (with `words`) as a word, in its order."""
    found = []
    for token in tokens(text[-LONGEST_TEXT:]):
        if token.kind == "number":
            found.append(token.value)
        elif words and token.kind == "word":
            found += [_NUMBER_WORDS[w] for w in token.text.lower().split("-") if w in _NUMBER_WORDS]
    return found


def stated(text: str) -> Side | None:
    """The one value that a short text gives: `51 apples`, `x = 3/4`, `$12.50`. None: not one."""
    text = text[-LONGEST_STATED:]
    given = [run for run in runs(list(tokens(text))) if run.tokens]
    if len(given) != 1:
        return None
    run = given[0]
    signs = [at for at, token in enumerate(run.tokens) if token.kind == "equals"]
    inner = _ended(run.tokens[signs[-1] + 1 if signs else 0 :])
    return None if run.doubtful_end else _side(inner, run, text, cut=run.cut)


def _equations(run: Run, text: str) -> Iterator[Equation]:
    signs = [at for at, token in enumerate(run.tokens) if token.kind == "equals"]
    if not signs:
        return
    bounds = [-1, *signs, len(run.tokens)]
    sides: list[Side | None] = []
    for number, (before, after) in enumerate(pairwise(bounds)):
        first, last = number == 0, number == len(signs)
        doubtful = (first and run.doubtful_start) or (last and run.doubtful_end)
        inner = run.tokens[before + 1 : after]
        if first:
            inner = inner[_opened(inner) :]
        if last:
            inner = _ended(inner)
            doubtful = doubtful or bool(inner and inner[-1].kind == "operator")
        sides.append(None if doubtful else _side(inner, run, text, cut=last and run.cut))
    for number, sign in enumerate(signs):
        left, right = sides[number], sides[number + 1]
        if left and right and (left.operates or right.operates):
            about = run.tokens[sign].text == "≈"
            continues, described = number + 1 < len(signs), number == 0 and run.described
            yield Equation(left, right, about, continues, described)


def _side(inner: Sequence[Token], run: Run, text: str, *, cut: bool) -> Side | None:
    if not inner or (inner[0].kind == "operator" and not _is_sign(inner, text)):
        return None
    try:
        value = compute(inner)
    except NotArithmetic:
        return None
    written = " ".join(text[inner[0].start : inner[-1].end].split())
    return Side(tuple(inner), value, written, frozenset(run.units), cut)


def _is_sign(inner: Sequence[Token], text: str) -> bool:
    """Whether an operator at the beginning is a number's sign: it touches the number alone."""
    sign, before = inner[0], text[inner[0].start - 1 : inner[0].start]
    touches = len(inner) > 1 and inner[1].start == sign.end
    return sign.text == "-" and touches and not before.isalnum()


def _opened(inner: Sequence[Token]) -> int:
    """Where the first side begins: after a bracket that its equation is written in."""
    depth = 0
    for at in range(len(inner) - 1, -1, -1):
        depth += (inner[at].kind == "close") - (inner[at].kind == "open")
        if depth < 0:
            return at + 1
    return 0


def _ended(inner: list[Token]) -> list[Token]:
    """The last side without the bracket that its equation or its next words are in."""
    depth, unclosed = 0, len(inner)
    for at, token in enumerate(inner):
        if token.kind == "open":
            before = inner[at - 1] if at else None
            apart = before is not None and before.end < token.start
            if depth == 0 and before is not None and apart and before.kind in OPERANDS:
                return inner[:at]  # `= 4 (15 minutes)`
            unclosed = at if depth == 0 else unclosed
            depth += 1
        elif token.kind == "close":
            depth -= 1
            if depth < 0:
                return inner[:at]
    return inner[:unclosed] if depth else inner


_MARKER = re.compile(
    r"^([ \t]*)(?:(?:[-*+•–][ \t]+|\(?[0-9]{1,3}[.):][ \t]+)(?=\S))+", re.MULTILINE
)
"""Bullets and numbers of lists."""
_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_NUMBER_WORDS = {
    **{word: Fraction(number) for number, word in enumerate(_TO_TWENTY.split())},
    **{word: Fraction(10 * number) for number, word in enumerate(_TENS.split(), 2)},
    "thousand": Fraction(1000),
    "dozen": Fraction(12),
    "half": Fraction(1, 2),
    "twice": Fraction(2),
    "double": Fraction(2),
    "triple": Fraction(3),
    "quarter": Fraction(1, 4),
    "third": Fraction(1, 3),
}
