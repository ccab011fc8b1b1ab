"""Numbers as people write them: 1,234.5; 1.5e3; 3*10^4; 1 1/2; twelve; 2 million. Pure.

A comma is read as a thousands separator where every group has three digits (1,234). The European
form is read where it can be nothing else (1.234,5 and 1.234.567); `1,5` is a list of two numbers.
"""

from __future__ import annotations

import re
from fractions import Fraction

EXPONENT = 1000
"""Powers of ten beyond this are not worked out."""

_LITERAL = re.compile(
    r"""(?P<sign>[+-]?)\s?
    (?:(?P<european>\d{1,3}(?:\.\d{3})+,\d+(?![\d,])|\d{1,3}(?:\.\d{3}){2,}(?![\d.,]))
      |(?P<plain>\d{1,3}(?:(?:,\d{3})+|(?:[ ]\d{3})+|(?:'\d{3})+|(?:_\d{3})+)
          (?:\.\d+)?(?![\d'_]|,\d)
      |\d+(?:\.\d+)?|\.\d+))
    \.?
    (?:[eE](?P<e>[+-]?\d+)
      |\s?[*x]\s?10\s?\^\s?(?:\{\s?(?P<braced>[+-]?\d+)\s?\}|(?P<bare>[+-]?\d+)))?
    (?![\d/])""",
    re.X | re.A,
)
_FRACTION = re.compile(
    r"(?P<sign>[+-]?)\s?(?:(?P<whole>\d{1,100})\s)?(?P<over>\d{1,100})\s?/\s?(?P<under>\d{1,100})"
    r"(?![\d.,/^])",
    re.A,
)
_SEPARATORS = re.compile(r"[,' _]")

_UNIT_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    " fifteen sixteen seventeen eighteen nineteen"
)
_TEN_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS = {word: number for number, word in enumerate(_UNIT_NAMES.split())}
_TENS = {word: 10 * number for number, word in enumerate(_TEN_NAMES.split(), start=2)}
_SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
_SCALE = re.compile(rf"\s?({'|'.join(_SCALES)})\b", re.I)
_WORD = re.compile(r"[\s-]?(?:and\s)?([a-z]+)\b", re.I)
_LONGEST_SPELLED = 12
"""Words that a spelled number may have."""


def leading(text: str) -> tuple[Fraction, str] | None:
    """The number that a text begins with, and the rest; None: it begins with none."""
    found = _fraction(text) or _literal(text)
    if found is None:
        return _spelled(text)
    value, rest = found
    while scale := _SCALE.match(rest):
        value, rest = value * _SCALES[scale[1].lower()], rest[scale.end() :]
        if value.numerator.bit_length() > EXPONENT:
            return None
    return value, rest


def number(text: str) -> Fraction | None:
    """The number that a text is; None: it is something else."""
    found = leading(text)
    return found[0] if found and not found[1].strip() else None


def _fraction(text: str) -> tuple[Fraction, str] | None:
    match = _FRACTION.match(text)
    if not match or not int(match["under"]):
        return None
    value = int(match["whole"] or 0) + Fraction(int(match["over"]), int(match["under"]))
    return (-value if match["sign"] == "-" else value), text[match.end() :]


def _literal(text: str) -> tuple[Fraction, str] | None:
    match = _LITERAL.match(text)
    if not match:
        return None
    exponent = match["e"] or match["braced"] or match["bare"] or "0"
    if len(exponent) > 6 or abs(int(exponent)) > EXPONENT:
        return None
    if match["european"]:
        digits = match["european"].replace(".", "").replace(",", ".")
    else:
        digits = _SEPARATORS.sub("", match["plain"])
    whole, _, decimals = digits.partition(".")
    if len(whole) + len(decimals) > EXPONENT:
        return None
    power = int(exponent) - len(decimals)
    coefficient = int(match["sign"] + whole + decimals)
    value = Fraction(coefficient) * 10**power if power >= 0 else Fraction(coefficient, 10**-power)
    return value, text[match.end() :]


def _spelled(text: str) -> tuple[Fraction, str] | None:
    total = group = position = 0
    last = 0
    """Size of the last word: after twenty only a unit may follow, after five only a scale."""
    for _ in range(_LONGEST_SPELLED):
        match = _WORD.match(text, position)
        word = match[1].lower() if match else ""
        if word in _UNITS and last in (0, 20, 100, 1000) and (last != 20 or 0 < _UNITS[word] < 10):
            group, last = group + _UNITS[word], 1
        elif word in _TENS and last in (0, 100, 1000):
            group, last = group + _TENS[word], 20
        elif word in _SCALES and last:
            scale = _SCALES[word]
            if scale == 100:
                group, last = group * scale, 100
            elif scale == 12:
                group, last = group * scale, 1
            else:
                total, group, last = total + group * scale, 0, 1000
        else:
            break
        position = match.end() if match else position
    return (Fraction(total + group), text[position:]) if last else None
