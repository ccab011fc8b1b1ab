"""Runs of arithmetic among the words of a text, and whether words change what they mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .arithmetic import Token, operates

UNIT_WORDS = 8
"""The most words between a number and the operator after it: `5 big red boxes * 3`."""
OPERANDS = frozenset({"number", "close", "percent"})
"""Kinds of token that an operand ends with."""


@dataclass(slots=True)
class Run:
    """Tokens with no word and no mark between them, and what stands around them."""

    tokens: list[Token] = field(default_factory=list)
    units: set[str] = field(default_factory=set)
    described: bool = False
    """A word stands before."""
    doubtful_start: bool = False
    """What stands before may change what the first side means: `x + 5 = 7`."""
    doubtful_end: bool = False
    """The same of what stands behind the last side."""
    cut: bool = False


def runs(stream: Sequence[Token]) -> Iterator[Run]:
    """Cut a text into runs of arithmetic."""
    run, at = Run(), 0
    while at < len(stream):
        token = stream[at]
        taken, kept = _reading(stream, at, run)
        if kept is not None:
            run.tokens += kept
            at += taken
            continue
        doubtful = _doubtful(stream, at)
        run.doubtful_end = doubtful
        run.cut = token.text == "…" or (token.text == "." and _text_at(stream, at + 1) == ".")
        yield run
        run = Run(described=token.kind == "word", doubtful_start=doubtful)
        at += 1
    yield run


def _reading(stream: Sequence[Token], at: int, run: Run) -> tuple[int, list[Token] | None]:
    """How many tokens are taken at `at`, and what they are in a run; None: the run ends here."""
    token = stream[at]
    before = run.tokens[-1] if run.tokens else None
    after_operand = before is not None and before.kind in OPERANDS
    if token.kind == "line":
        return 1, [] if _kind_at(stream, at + 1) == "equals" else None
    if token.kind == "word":
        return _word(stream, at, run, after_operand)
    if token.kind == "mark" or (token.text == "x" and not after_operand):
        return 1, None
    if token.text == "/" and _kind_at(stream, at + 1) == "word" and after_operand:
        run.units.add(_unit(stream[at + 1].text))  # `$2/pound * 3`
        return 2, []
    return 1, [token]


def _word(
    stream: Sequence[Token], at: int, run: Run, after_operand: bool
) -> tuple[int, list[Token] | None]:
    """A word in a run is an operator, a unit or its end."""
    token = stream[at]
    name = token.text.lower()
    if not after_operand:
        return 1, None
    taken = 2 if name in {"divided", "multiplied"} and _text_at(stream, at + 1) == "by" else 1
    if _kind_at(stream, at + taken) in {"number", "open", "frac"}:
        if name == "equals" and operates(run.tokens):
            return 1, [Token("equals", "=", token.start, token.end)]
        sign = _OPERATORS.get(name)
        if name == "of" and _is_share(run.tokens):
            sign = "*"
        if sign:
            return taken, [Token("operator", sign, token.start, token.end)]
    glued = run.tokens[-1].end == token.start
    words: list[str] = []
    while len(words) < UNIT_WORDS and _kind_at(stream, at + len(words)) == "word":
        word = stream[at + len(words)].text
        if _symbolic(word) or (glued and not words and word.lower() not in _GLUED):
            return 1, None
        words.append(word)
    if words and _kind_at(stream, at + len(words)) in {"operator", "equals", "close"}:
        run.units.add(_unit(words[-1]))
        return len(words), []
    return 1, None


def _doubtful(stream: Sequence[Token], at: int) -> bool:
    """Whether what ends a run here may change the meaning of the numbers beside it."""
    token = stream[at]
    before = stream[at - 1] if at else None
    after = stream[at + 1] if at + 1 < len(stream) else None
    touches_before = before is not None and before.kind == "number" and before.end == token.start
    touches_after = after is not None and after.start == token.end
    if token.kind == "word":
        if _symbolic(token.text) or (after is not None and after.kind == "open" and touches_after):
            return True
        return touches_before and token.text.lower() not in _GLUED
    if token.text in {"!", "√", "∑", "∏", "∫", "|", "~", "±"}:
        return token.text != "!" or touches_before
    if token.text in {",", ":", "."}:  # `3,5`, `10:30`, `1.2.3`
        return touches_before and touches_after and after is not None and after.kind == "number"
    return token.text == "x" or token.text == "_"


def _symbolic(word: str) -> bool:
    """A variable, a function, or a word that does something to the numbers beside it."""
    if len(word) == 1:
        return word not in {"a", "A", "I"}
    return word.lower() in _OPERATES or word.startswith("\\") or any(map(str.isdigit, word))


def _is_share(before: Sequence[Token]) -> bool:
    """`20% of`, `1/2 of`, `\\frac{1}{2} of`: a part of something."""
    if before[-1].kind == "percent":
        return True
    return [token.text for token in before[-2:-1]] == ["/"] or any(
        token.kind == "frac" for token in before
    )


def _unit(word: str) -> str:
    return word.lower().removesuffix("s")


def _kind_at(stream: Sequence[Token], at: int) -> str:
    return stream[at].kind if at < len(stream) else ""


def _text_at(stream: Sequence[Token], at: int) -> str:
    return stream[at].text if at < len(stream) else ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OPERATORS = {
    "plus": "+",
    "minus": "-",
    "times": "*",
    "multiplied": "*",
    "over": "/",
    "divided": "/",
}
_OPERATES = _words(
    "twice thrice half double triple quarter third thirds sqrt cbrt log ln lg exp sin cos "
    "tan mod modulo root square squared cube cubed choose factorial plus minus divided "
    "multiplied percent pi tau theta phi alpha beta gamma delta lambda sigma mu omega max "
    "min gcd lcm floor ceil round abs base hex hundred thousand million billion trillion "
    "dozen"
)
"""Variables, functions and words that do something to the number beside them."""
_GLUED = _words("km cm mm kg mg ml lb lbs oz ft hr hrs h min mins sec mph kmh kph st nd rd th")
"""Units that are written without a space: `5km`."""
