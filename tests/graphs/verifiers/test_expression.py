"""Expression: Game of 24 and Countdown."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.errors import WrongUsage
from mull.graphs.verifiers import Candidate, Expression, Means, Verifier

NUMBERS = (4, 4, 5, 6)


async def check(
    answer: str,
    means: Means,
    *,
    target: int = 24,
    numbers: Sequence[int] | None = NUMBERS,
    once: bool = True,
) -> bool | None:
    verifier = Expression(target, numbers, once=once)
    candidate = Candidate(question="Make 24.", text=f"Let me see.\nAnswer: {answer}")
    return (await verifier.verify(candidate, means)).passed


def test_a_pass_settles_the_question() -> None:
    verifier: Verifier = Expression(24)
    assert verifier.decisive


@pytest.mark.parametrize(
    "answer",
    [
        "(4*6)*(5-4)",
        "(4*6)*(5-4) = 24",
        "24 = (4*6)*(5-4)",
        "(4 × 6) ÷ (5 − 4) = 24.",
        "$4 \\times 6 \\cdot (5 - 4)$",
        "\\frac{4 \\times 6}{5-4}",
        "4 x 6 x (5 - 4)",
        "`(4*6)*(5-4)`",
        "\\boxed{(4*6)*(5-4)}",
        "[4*6]*(5-4)",
        "-4*6*(4-5)",
    ],
)
async def test_a_right_expression_passes_however_it_is_written(answer: str, nothing: Means) -> None:
    assert await check(answer, nothing) is True


@pytest.mark.parametrize(
    "answer",
    [
        "24",
        "4*6",
        "(4*6)*(5-4)*1",
        "4*6*4/4",
        "(4*6)+(5-4)",
        "(4*6)*(5-4) = 25",
        "44-5*4",
        "4^2+4+4",
        "4 4 5 6",
        "1 4/5 * 6",
        "(4*6)*(5-4",
        "eval('24')",
        "four times six",
        "",
        "9**9**9**9",
        "(" * 5_000,
        "4/(5-5)",
        "24%*100",
    ],
)
async def test_anything_else_fails(answer: str, nothing: Means) -> None:
    assert await check(answer, nothing) is False


async def test_values_are_exact(nothing: Means) -> None:
    assert await check("8/(3-8/3)", nothing, numbers=(8, 3, 8, 3)) is True
    assert await check("0.1+0.2", nothing, target=0, numbers=None) is False


async def test_the_last_line_is_read_where_no_answer_is_stated(nothing: Means) -> None:
    candidate = Candidate(question="", text="I try some.\n(4*6)*(5-4) = 24\n")
    assert (await Expression(24, NUMBERS).verify(candidate, nothing)).passed is True


async def test_without_once_a_number_may_be_used_often_and_others_not_at_all(
    nothing: Means,
) -> None:
    assert await check("6+6+6+6", nothing, once=False) is True
    assert await check("8+8+8", nothing, once=False) is False


async def test_without_numbers_any_may_be_used(nothing: Means) -> None:
    assert await check("2*12", nothing, numbers=None) is True


async def test_the_reasons_say_what_is_wrong(nothing: Means) -> None:
    candidate = Candidate(question="", text="Answer: 4*6")
    verdict = await Expression(24, NUMBERS).verify(candidate, nothing)
    assert "leaves out 4, 5" in verdict.reasons


def test_a_target_that_is_no_number_is_refused() -> None:
    with pytest.raises(WrongUsage, match="not a number"):
        Expression("many")


@given(st.lists(st.integers(1, 13), min_size=2, max_size=6), st.data())
def test_an_expression_passes_for_its_own_value_and_numbers_only(
    numbers: list[int], data: st.DataObject
) -> None:
    text, value = str(numbers[0]), Fraction(numbers[0])
    for number in numbers[1:]:
        sign = data.draw(st.sampled_from("+-*/"))
        text = f"({text}) {sign} {number}"
        value = {"+": value + number, "-": value - number, "*": value * number}.get(
            sign, value / number
        )
    assert Expression(value, numbers).fault(text) == ""
    assert Expression(value + 1, numbers).fault(text)
    assert Expression(value, [*numbers, 1]).fault(text)
    assert Expression(value, numbers[:-1]).fault(text)


@given(st.text())
def test_any_answer_is_read(answer: str) -> None:
    assert isinstance(Expression(24).fault(answer), str)
