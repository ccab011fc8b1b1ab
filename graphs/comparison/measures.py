"""Numbers with or without a unit: 5 km, $5, 5\\sqrt{2} cm, 2 h 15 min, 48 apples. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from .asked import Asked
from .evaluate import evaluate
from .expression import read
from .numerals import leading
from .rounding import Value
from .tokens import Unreadable
from .units import DEGREE, TEMPERATURE, Unit, measure_key, unit

LONGEST = 200
"""Characters of a number with its unit."""


@dataclass(frozen=True, slots=True)
class Measure:
    """So many of something."""

    value: Value
    unit: Unit | None
    """None: a bare number."""

    def key(self, question: Asked) -> str | None:
        """The key; a bare number is in the unit that the question asks for."""
        unit = self.unit or question.unit
        wanted = question.unit
        if self.unit is DEGREE and wanted is not None and wanted.dimensions == TEMPERATURE:
            unit = wanted
        try:
            return measure_key(self.value, unit)
        except (ArithmeticError, ValueError):
            return None


def measure(text: str) -> Measure | None:
    """What a text measures; None where it is no number, alone or with a known unit."""
    if len(text) > LONGEST or not _POSSIBLE.search(text):
        return None
    found = leading(text)
    if found and not found[1].strip():
        return Measure(found[0], None)
    text = _CURRENCY.sub(r"\1\3 \2", text, count=1)
    found = leading(text)
    if found:
        known = unit(_OF.sub("", found[1]).strip())
        if known:
            return Measure(found[0], known)
    return _sum_of_parts(text) or _expression(text)


def counted(text: str) -> Measure | None:
    """The number of things that a text counts, whatever they are called: 48 apples.

    Names that begin with a number (12 Angry Men) are names.
    """
    found = leading(text) if len(text) <= LONGEST else None
    return Measure(found[0], None) if found and _THINGS.fullmatch(found[1]) else None


def _sum_of_parts(text: str) -> Measure | None:
    """2 hours and 15 minutes; 5 ft 3 in."""
    total, first, end = Fraction(0), None, 0
    for part in _PART.finditer(text):
        known, size = unit(part[2]), leading(part[1])
        if part.start() != end or known is None or size is None or not known.dimensions:
            return None
        first = first or known
        if known.dimensions != first.dimensions or not isinstance(known.factor, Fraction):
            return None
        total, end = total + size[0] * known.factor, part.end()
    if first is None or end != len(text) or not isinstance(first.factor, Fraction):
        return None
    return Measure(total / first.factor, first)


def _expression(text: str) -> Measure | None:
    """An expression without symbols; where it ends in a known unit, with that."""
    for place in list(_UNIT_STARTS.finditer(text))[:_MOST_PLACES]:
        known = unit(text[place.start() :].strip())
        if known is DEGREE and _FUNCTION.search(text):
            continue  # sin 60° is the sine of 60°, not so many degrees
        value = _constant(text[: place.start()].strip()) if known else None
        if value is not None:
            return Measure(value, known)
    value = _constant(text)
    return None if value is None else Measure(value, None)


def _constant(text: str) -> Value | None:
    found = leading(text)
    if found and not found[1].strip():
        return found[0]
    program = read(text)
    if program is None or program.symbols:
        return None
    try:
        return evaluate(program, {})
    except Unreadable:
        return None


_POSSIBLE = re.compile(
    r"[\dπ\\]|\b(?:pi|e|i)\b|^(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety)\b",
    re.I,
)
_CURRENCY = re.compile(r"^([+-]?)\s?(US\$|[$€£¥₹]|(?:USD|EUR|GBP|JPY|CHF|INR)\s)\s?([\d.\\+-].*)$")
_PART = re.compile(r"(?:\s?(?:,\s|\band\b)?\s?)(\d+(?:\.\d+)?)\s?([A-Za-z]+)\.?")
_UNIT_STARTS = re.compile(r"(?<=[\d})\]!\sπ])(?=[^\W\d_]|[°%€£¥₹$])")
_OF = re.compile(r"^(?:-|\sof\s(?:an?\s)?)")
_MOST_PLACES = 8
_FUNCTION = re.compile(r"sin|cos|tan|cot|sec|csc")
_THINGS = re.compile(
    r"(?:\s(?!(?:and|or|to|plus|minus|times|over|by)\b)(?:a|[a-z][a-z'-]+)){1,3}",
)
