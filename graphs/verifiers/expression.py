"""expression: the answer is an arithmetic expression with a given value (Game of 24, Countdown)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

from ...errors import WrongUsage
from ..answers import comparable
from .arithmetic import LONGEST_NUMBER, NotArithmetic, Token, compute, operates, shown, tokens
from .verifier import Candidate, Means, Verdict

LONGEST_ANSWER = 2_000
"""Characters of an answer that is read."""

Number = int | float | str | Fraction


class Expression:
    """Checks that the answer is an expression that gives `target`, exactly.

    The expression may use `+ - * /` (also `×`, `÷`, LaTeX) and brackets, and may be followed by
    `= 24`. A pass settles the question.

    Args:
        target: Its value.
        numbers: The numbers it is made of. None: any.
        once: Each of them exactly once, in any order; False: only these, as often as one likes.

    Raises `WrongUsage` for a target or a number that is not one.
    """

    name = "expression"
    decisive = True

    def __init__(
        self, target: Number, numbers: Iterable[Number] | None = None, *, once: bool = True
    ) -> None:
        self.target = _number(target)
        self.numbers = None if numbers is None else [_number(number) for number in numbers]
        self.once = once

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. `means` are not touched."""
        answer = comparable(candidate.text) or _last_line(candidate.text)
        wrong = self.fault(answer)
        if wrong:
            return Verdict(score=0.0, passed=False, reasons=wrong, verifier=self.name)
        reason = f"{answer[:200]} gives {shown(self.target)}"
        return Verdict(score=1.0, passed=True, reasons=reason, verifier=self.name)

    def fault(self, answer: str) -> str:
        """What is wrong with an answer; empty where nothing is."""
        told = repr(answer[:200])
        if len(answer) > LONGEST_ANSWER:
            return f"the answer has more than {LONGEST_ANSWER} characters"
        sides = _sides(answer.rstrip(" \t.,;"))
        written = next((side for side in sides if operates(side)), sides[0])
        if any(token.text == "^" or token.kind == "percent" for token in written):
            return f"{told} uses more than + - * / and brackets"
        if any(a.kind == b.kind == "number" for a, b in pairwise(written)):
            return f"{told} has two numbers without an operator between them"
        try:
            values = [compute(side) for side in sides]
        except NotArithmetic as error:
            return f"{told} is not one arithmetic expression: {error}"
        off = next((value for value in values if value != self.target), None)
        if off is not None:
            return f"{told} gives {shown(off)}, and not {shown(self.target)}"
        return self._misused([token.value for token in written if token.kind == "number"])

    def _misused(self, used: list[Fraction]) -> str:
        if self.numbers is None:
            return ""
        have, given = Counter(used), Counter(self.numbers)
        strange = [number for number in have if number not in given]
        if strange:
            return f"it uses {_listed(strange)}, and may only use {_listed(self.numbers)}"
        if self.once and have != given:
            missing, many = list((given - have).elements()), list((have - given).elements())
            parts = [f"leaves out {_listed(missing)}"] if missing else []
            parts += [f"uses {_listed(many)} too often"] if many else []
            return f"it {' and '.join(parts)}: each of {_listed(self.numbers)} is used once"
        return ""


def _sides(answer: str) -> list[list[Token]]:
    """The answer's tokens, cut at its equals signs."""
    sides: list[list[Token]] = [[]]
    for token in tokens(answer):
        if token.kind == "equals":
            sides.append([])
        else:
            sides[-1].append(token)
    return sides


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _number(number: Number) -> Fraction:
    try:
        if len(str(number)) <= LONGEST_NUMBER:
            # As it is written: 0.1 is a tenth, and not the nearest binary fraction.
            return Fraction(str(number))
    except (ValueError, ZeroDivisionError):
        pass
    raise WrongUsage(f"{str(number)[:80]!r} is not a number that an expression can be made of")


def _listed(numbers: Iterable[Fraction]) -> str:
    return ", ".join(map(shown, numbers))
