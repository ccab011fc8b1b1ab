"""equations: recomputes every equation that the candidate wrote. It spends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ..answers import comparable
from ..comparison import same
from .arithmetic import shown
from .verifier import Candidate, Means, Verdict
from .written import Equation, Side, equations, numbers, stated

Outcome = Literal["right", "wrong", "unclear"]

NO_EQUATION = "no equation is written that could be recomputed"


@dataclass(frozen=True, slots=True)
class Equations:
    """Recomputes the candidate's arithmetic, and holds its answer against the results.

    Fails where an equation is wrong. Passes where all are right and the answer is one of their
    results. It cannot tell whether they are the right equations, so a pass does not settle the
    question; numbers that come from nowhere, and numbers of the question that are not used, lower
    the score.
    """

    name = "equations"
    decisive = False

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. `means` are not touched."""
        return recompute(candidate)


def recompute(candidate: Candidate) -> Verdict:
    """The verdict of `Equations`."""
    found = equations(candidate.text)
    given = frozenset(numbers(candidate.question))
    outcomes = [outcome(equation, given) for equation in found]
    wrong = [e for e, o in zip(found, outcomes, strict=True) if o == "wrong"]
    right = [e for e, o in zip(found, outcomes, strict=True) if o == "right"]
    if wrong:
        share = len(right) / len(found)
        return _verdict(False, 0.05 + 0.15 * share, "; ".join(map(_told, wrong[:3])))
    if not right:
        return _verdict(None, 0.5, NO_EQUATION)
    count = "1 equation holds" if len(right) == 1 else f"{len(right)} equations hold"
    gives = "gives" if len(right) == 1 else "give"
    if comparable(candidate.text) is None:
        return _verdict(None, 0.6, f"{count}, but no answer is stated")
    place = _place(candidate, found)
    if place is None:
        result = shown(found[-1].right.value)
        reason = f"{count}, but none gives the answer {candidate.answer[:80]!r} (last: {result})"
        return _verdict(None, 0.3, reason)
    sourced, used = _sources(found, candidate.question)
    score = (0.95 if place == "last" else 0.75) * (0.5 + 0.5 * sourced) * (0.75 + 0.25 * used)
    notes = "" if sourced == 1 else "; some of their numbers are not the question's"
    notes += "" if used == 1 else "; some of the question's numbers are not used"
    return _verdict(True, score, f"{count} and {gives} the answer{notes}")


def outcome(equation: Equation, given: frozenset[Fraction] = frozenset()) -> Outcome:
    """Whether an equation is right, with the rounding that is written.

    `given` are exact numbers; other decimals may be rounded results.
    """
    left, right = equation.left, equation.right
    if agrees(left.value, right, about=equation.about):
        return "right"
    if not left.operates and agrees(right.value, left, about=equation.about):
        return "right"
    if equation.continues and right.operates and right.numbers[0] == left.value:
        return "right"  # A running calculation: `2 + 3 = 5 * 4 = 20`.
    if len(left.units | right.units) > 1:
        return "unclear"  # Perhaps a conversion.
    if not left.operates and (equation.described or left.units):
        return "unclear"  # Perhaps words say what is computed: `what is left of 8 = 2 + 3`.
    slack = sum((_slack(side, given) for side in (left, right) if side.operates), Fraction(0))
    return "unclear" if abs(left.value - right.value) <= slack else "wrong"


def agrees(exact: Fraction, written: Side, *, about: bool = False) -> bool:
    """Whether a side is a value, or that value rounded or cut as far as the side is written."""
    if exact == written.value:
        return True
    if len(written.numbers) != 1 or written.operates:
        return about and abs(exact - written.value) <= abs(exact) / 100
    number = next(token for token in written.tokens if token.kind == "number")
    percent = any(token.kind == "percent" for token in written.tokens)
    scales = (100, 1) if percent else (1,)  # `5 / 20 * 100 = 25%` is written as well.
    shift = Fraction(10) ** number.places
    plain = abs(number.value)
    for scale in scales:
        value = abs(exact) * scale
        gap = abs(value - plain) * shift
        if gap == 0:
            return (exact < 0) == (written.value < 0)
        exactly_written = (value * shift).denominator == 1
        rounded = number.places > 0 and not exactly_written
        if (exact < 0) != (written.value < 0) or not (rounded or about or written.cut):
            continue
        if gap <= Fraction(1, 2) or (rounded and plain < value and gap < 1):
            return True
        if about and gap <= Fraction(_trailing_unit(plain * shift), 2):
            return True
    return False


def _trailing_unit(digits: Fraction) -> int:
    """The place value of a whole number's last digit that is not 0: 100 for 3400."""
    unit, whole = 1, int(digits)
    while whole and whole % 10 == 0:
        whole //= 10
        unit *= 10
    return unit


def _slack(side: Side, given: frozenset[Fraction]) -> Fraction:
    """How far off a side may be because its decimals were rounded before."""
    slack = Fraction(0)
    for token in side.tokens:
        if token.kind == "number" and token.places >= 2 and token.value not in given:
            half = Fraction(1, 2 * 10**token.places)
            slack += half + (abs(side.value) * half / token.value if token.value else 0)
    return slack


def _place(candidate: Candidate, found: Sequence[Equation]) -> Literal["last", "earlier"] | None:
    """Where among the results the stated answer is."""
    answer = stated(candidate.answer)
    # Asked for per cent or cents, 0.25 is 25.
    hundredths = "cent" in candidate.question.lower() or "%" in candidate.question
    results = [equation.right for equation in found]
    if answer is None:
        last = shown(results[-1].value)
        return "last" if same(candidate.answer, last, candidate.question) else None
    for number, result in enumerate(reversed(results)):
        hit = (
            agrees(result.value, answer)
            or agrees(answer.value, result)
            or (hundredths and agrees(result.value * 100, answer))
            or _whole(result.value, answer.value)
        )
        if hit:
            return "last" if number == 0 else "earlier"
    return None


def _whole(result: Fraction, answer: Fraction) -> bool:
    """Whether the answer is the result made whole: 12.5 buses are 13."""
    return answer.denominator == 1 != result.denominator and abs(result - answer) < 1


def _sources(found: Sequence[Equation], question: str) -> tuple[float, float]:
    """Two shares: of the numbers computed with, those that come from the question, from earlier
    results or from common knowledge; and of the question's numbers, those that are used."""
    known = {form for number in numbers(question) for form in _forms(number)} | _COMMON
    used: set[Fraction] = set()
    places = strange = 0
    for equation in found:
        for side in (equation.left, equation.right):
            if side.operates:
                written = [abs(number) for number in side.numbers]
                places += len(written)
                strange += sum(number not in known for number in written)
                used.update(written)
        known |= {abs(equation.left.value), abs(equation.right.value)}
    asked = frozenset(numbers(question, words=False))
    taken = sum(not used.isdisjoint(_forms(number)) for number in asked)
    return (1 - strange / places if places else 1.0), (taken / len(asked) if asked else 1.0)


def _forms(number: Fraction) -> set[Fraction]:
    """A number of the question as it may be computed with: 20 % are 0.2, and leave 0.8 or 80."""
    share = number / 100
    return {number, share, abs(1 - share), 1 + share, abs(100 - number), 100 + number}


def _told(equation: Equation) -> str:
    left, right = equation.left, equation.right
    sign = "≈" if equation.about else "="
    computed = left if left.operates else right
    is_ = f"{computed.text[:80]} is {shown(computed.value)}"
    return f"{left.text[:80]} {sign} {right.text[:80]} is wrong: {is_}"


def _verdict(passed: bool | None, score: float, reasons: str) -> Verdict:
    return Verdict(score=round(score, 3), passed=passed, reasons=reasons, verifier="equations")


_COMMON = frozenset(
    map(Fraction, (0, 1, 2, 3, 4, 7, 10, 12, 24, 30, 52, 60, 100, 180, 360, 365, 1000, 3600))
)
"""Numbers that need no source: halves and quarters, and how many of one unit make another."""
