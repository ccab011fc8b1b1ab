"""Arithmetic as people and models write it: read into tokens, and computed exactly. Pure.

Text is untrusted: numbers, powers, nesting and intermediate values are bounded, so that reading
and computing take time in proportion to the text's length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ...errors import MullError

LONGEST_NUMBER = 60
"""Characters of one number."""
LONGEST_EXPRESSION = 400
"""Tokens of one expression."""
DEEPEST = 40
"""Brackets within brackets."""
LARGEST_BITS = 4096
"""Of a value's numerator, and of its denominator."""

Kind = Literal[
    "number", "operator", "percent", "open", "close", "frac", "equals", "word", "line", "mark"
]


class NotArithmetic(MullError):
    """The text is not an arithmetic expression, or one that is too large to compute."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text with a meaning of its own."""

    kind: Kind
    text: str
    """In one spelling for each meaning: `*` for `×`, `≈` for `\\approx`."""
    start: int
    end: int
    value: Fraction = Fraction(0)
    """Of a number."""
    places: int = 0
    """Digits that a number has behind its point."""


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text in their order. Spaces, currency signs and layout are left out."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            yield Token("mark", text[at], at, at + 1)
            at += 1
            continue
        if found.lastgroup == "raised":
            yield Token("operator", "^", at, at)
            yield _number(found[0].translate(_LOWERED), at, found.end())
        elif found.lastgroup == "vulgar":
            share = Fraction(unicodedata.numeric(found[0])).limit_denominator(100)
            yield Token("number", found[0], at, found.end(), share)
        elif (token := _token(found)) is not None:
            yield token
        at = found.end()


def compute(expression: Sequence[Token]) -> Fraction:
    """The exact value of an expression. Raises `NotArithmetic`."""
    if len(expression) > LONGEST_EXPRESSION:
        raise NotArithmetic("the expression is too long")
    parser = _Parser(expression)
    value = parser.sum()
    if parser.at < len(expression):
        raise NotArithmetic(f"{expression[parser.at].text!r} is out of place")
    return value


def operates(expression: Sequence[Token]) -> bool:
    """Whether something is computed: two operands at least."""
    operands = sum(token.kind == "number" for token in expression)
    return operands > 1


def shown(value: Fraction) -> str:
    """A value for people: exact where its decimals end soon, else to six digits."""
    if value.denominator == 1:
        return str(value.numerator) if abs(value) < 10**15 else f"{float_of(value):.6g}"
    exact = value * 10**6
    if exact.denominator == 1 and abs(value) < 10**9:
        return f"{float_of(value):.6f}".rstrip("0")
    return f"{float_of(value):.6g}"


def float_of(value: Fraction) -> float:
    """As a float; infinite where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


_SEPARATOR = "(?:,|\\{,\\}|\\\\,|[\u00a0\u2009\u202f])"
_TOKEN = re.compile(
    rf"""
    (?P<number>(?:[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)
    | (?P<line>\n|\\\\)
    | (?P<latex>\\(?:text|textbf|mathrm|mathbf|operatorname)\s?\{{[^{{}}\n]*\}}|\\[A-Za-z]+)
    | (?P<space>[^\S\n]+|\\[,;:!\ $]|[$€£₹¥&`\u200b\u2060\ufeff])
    | (?P<power>(?<=[0-9)])\*\*(?=[0-9(-])|(?<=[0-9)][ ])\*\*(?=[ ][0-9(-])|\^)
    | (?P<vulgar>[¼-¾⅐-⅞])
    | (?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹]+)
    | (?P<bold>\*\*+)
    | (?P<relation><=|>=|=>|->|!=|==?|[<>≤≥≠≈≃≅⇒→↔])
    | (?P<percent>\\?%)
    | (?P<times>[xX](?=[ ]?[0-9(.$€£]))
    | (?P<word>[^\W\d_](?:[\w'’]|-(?=[^\W\d_]))*)
    | (?P<operator>\\\*|[-+*/×✕✖·⋅∙•÷−–∕⁄])
    | (?P<open>[(\[{{])
    | (?P<close>[)\]}}])
    """,
    re.VERBOSE,
)
_SPELLINGS = dict.fromkeys("×✕✖·⋅∙•", "*") | dict.fromkeys("÷∕⁄", "/") | dict.fromkeys("−–", "-")
_LATEX: dict[str, tuple[Kind, str]] = {
    "times": ("operator", "*"),
    "cdot": ("operator", "*"),
    "ast": ("operator", "*"),
    "div": ("operator", "/"),
    "frac": ("frac", "frac"),
    "dfrac": ("frac", "frac"),
    "tfrac": ("frac", "frac"),
    "cfrac": ("frac", "frac"),
    "approx": ("equals", "≈"),
    "newline": ("line", "\n"),
}
_LAYOUT = {"left", "right", "big", "Big", "bigl", "bigr", "displaystyle", "boxed", "quad", "qquad"}
_LOWERED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def _token(found: re.Match[str]) -> Token | None:
    text, start, end = found[0], found.start(), found.end()
    match found.lastgroup:
        case "number":
            return _number(text, start, end)
        case "latex":
            name = text[1:].partition("{")
            if name[1]:
                return Token("word", name[2].rstrip("}").strip(), start, end)
            if name[0] in _LAYOUT:
                return None
            kind, spelling = _LATEX.get(name[0], ("word", text))
            return Token(kind, spelling, start, end)
        case "space" | "bold":
            return None
        case "power":
            return Token("operator", "^", start, end)
        case "relation":
            if text in {"=", "=="}:
                return Token("equals", "=", start, end)
            if text in {"≈", "≃", "≅"}:
                return Token("equals", "≈", start, end)
            return Token("mark", text, start, end)
        case "operator":
            sign = text.removeprefix("\\")
            return Token("operator", _SPELLINGS.get(sign, sign), start, end)
        case "times":
            return Token("operator", "x", start, end)
        case "line":
            return Token("line", "\n", start, end)
        case "percent":
            return Token("percent", "%", start, end)
        case "open":
            return Token("open", text, start, end)
        case "close":
            return Token("close", text, start, end)
    return Token("word", text, start, end)


def _number(text: str, start: int, end: int) -> Token:
    if len(text) > LONGEST_NUMBER:
        return Token("mark", text, start, end)
    plain = re.sub(r"[^0-9.]", "", text)
    places = len(plain.partition(".")[2])
    return Token("number", text, start, end, Fraction(plain), places)


class _Parser:
    """Recursive descent over tokens; each method reads one level of precedence."""

    def __init__(self, expression: Sequence[Token]) -> None:
        self.expression = expression
        self.at = 0
        self.depth = 0

    def sum(self) -> Fraction:
        value = self._product()
        while (sign := self._peek("operator")) in {"+", "-"}:
            relative = self.expression[self.at - 1].kind == "percent"
            self.at += 1
            term = self._product()
            if self.expression[self.at - 1].kind == "percent" and not relative:
                raise NotArithmetic("a number and a percentage are added: of what is not said")
            value = _bounded(value + term if sign == "+" else value - term)
        return value

    def _product(self) -> Fraction:
        value, divided = self._signed(), False
        while True:
            sign = self._peek("operator")
            if sign in {"*", "/", "x"}:
                self.at += 1
                factor = self._signed()
            elif self._adjoining():
                if divided:
                    raise NotArithmetic("1/2(3) can be read in two ways")
                sign, factor = "*", self._power()
            else:
                return value
            if sign == "/":
                divided = True
                if factor == 0:
                    raise NotArithmetic("division by zero")
                value = _bounded(value / factor)
            else:
                value = _bounded(value * factor)

    def _signed(self) -> Fraction:
        negative = False
        while (sign := self._peek("operator")) in {"+", "-"}:
            negative ^= sign == "-"
            self.at += 1
        value = self._power()
        return -value if negative else value

    def _power(self) -> Fraction:
        base = self._atom()
        if self._peek("operator") != "^":
            return base
        self.at += 1
        negative = self._peek("operator") == "-"
        self.at += negative
        exponent = self._atom()
        if self._peek("operator") == "^":
            raise NotArithmetic("a power of a power can be read in two ways")
        if exponent.denominator != 1:
            raise NotArithmetic("the exponent is not whole")
        if _bits(base) * abs(exponent) > LARGEST_BITS:
            raise NotArithmetic("the power is too large")
        times = -int(exponent) if negative else int(exponent)
        if base == 0 and times < 0:
            raise NotArithmetic("division by zero")
        return base**times

    def _atom(self) -> Fraction:
        token = self.expression[self.at] if self.at < len(self.expression) else None
        if token is None:
            raise NotArithmetic("it ends where a number must come")
        self.at += 1
        if token.kind == "number":
            value = token.value + self._fraction(token)
        elif token.kind == "open":
            value = self._group(token)
        elif token.kind == "frac":
            above, below = self._part(), self._part()
            if below == 0:
                raise NotArithmetic("division by zero")
            value = _bounded(above / below)
        else:
            raise NotArithmetic(f"{token.text!r} is out of place")
        if self._peek("percent"):
            self.at += 1
            value /= 100
        return value

    def _group(self, opened: Token) -> Fraction:
        """What is in the brackets, up to and with the closing one."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotArithmetic("too many brackets within brackets")
        value = self.sum()
        if self._peek("close") != _CLOSES[opened.text]:
            raise NotArithmetic(f"{opened.text!r} is not closed")
        self.at += 1
        self.depth -= 1
        return value

    def _part(self) -> Fraction:
        """One half of a LaTeX fraction: it stands in braces."""
        if self._peek("open") != "{":
            raise NotArithmetic("a fraction's parts stand in braces")
        self.at += 1
        return self._group(self.expression[self.at - 1])

    def _fraction(self, whole: Token) -> Fraction:
        """The fraction of a mixed number: `1 1/2`."""
        rest = self.expression[self.at : self.at + 3]
        if not rest or rest[0].kind != "number":
            return Fraction(0)
        above = rest[0].value
        if whole.places == 0 and 0 < above < 1 and rest[0].places == 0:
            self.at += 1  # `1½`
            return above
        if [token.text for token in rest[1:2]] != ["/"] or [t.kind for t in rest[2:]] != ["number"]:
            raise NotArithmetic("two numbers without an operator between them")
        below = rest[2].value
        if whole.places or not above < below:
            raise NotArithmetic("two numbers without an operator between them")
        self.at += 3
        if self._peek("operator") in {"/", "^"}:
            raise NotArithmetic("1 1/2/3 can be read in two ways")
        return above / below

    def _adjoining(self) -> bool:
        """Whether a factor follows without a sign: `2(3+4)`, `(1+2)(3)`."""
        if self.at >= len(self.expression):
            return False
        before, after = self.expression[self.at - 1], self.expression[self.at]
        if after.kind not in {"open", "frac"}:
            return before.kind == "close" and after.kind == "number"
        # `4 (15 minutes)` is no product.
        return before.kind == "close" or (before.kind == "number" and before.end == after.start)

    def _peek(self, kind: Kind) -> str:
        """The next token's text, if it is of this kind; else empty."""
        if self.at < len(self.expression) and self.expression[self.at].kind == kind:
            return self.expression[self.at].text
        return ""


_CLOSES = {"(": ")", "[": "]", "{": "}"}


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _bounded(value: Fraction) -> Fraction:
    if _bits(value) > LARGEST_BITS:
        raise NotArithmetic("a value is too large")
    return value
