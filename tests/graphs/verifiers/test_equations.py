"""Equations: what is recomputed, what is left alone, and what the verdict is."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mull.graphs.verifiers import Candidate, Equations, Means, Verdict, Verifier
from mull.graphs.verifiers.equations import outcome, recompute
from mull.graphs.verifiers.written import equations

RIGHT = [
    "12 + 5 = 17",
    "12+5=17",
    "3*4=12",
    "$5 × 6 = $30",
    "36/4 = 9",
    "36 ÷ 4 = 9",
    "20 − 3 = 17",
    "(2+3)*4 = 20",
    "2(3+4) = 14",
    "(1/4)24 = 6",
    "5 - 8 = -3",
    "-5 + 3 = -2",
    "17 = 12 + 5",
    "2 + 3 = 1 + 4",
    "2+3=5*4=20",
    "10/3 = 3.33",
    "10/3 = 3.333...",
    "20/3 = 6.67",
    "20/3 = 6.66",
    "2/3 ≈ 0.7",
    "1999 * 2 ≈ 4000",
    "20% of 50 = 10",
    "1/2 of 30 = 15",
    "10/50 = 20%",
    "5 / 20 * 100 = 25%",
    "15% + 10% = 25%",
    "1,234 + 1 = 1,235",
    "1{,}234 + 1 = 1{,}235",
    "12 \\times 5 = 60",
    "\\(3 \\cdot 4 = 12\\)",
    "\\frac{1}{2} \\times 4 = 2",
    "\\dfrac{3}{4} + \\frac{1}{4} = 1",
    "2^{10} = 1024",
    "2**10 = 1024",
    "3² = 9",
    "½ * 4 = 2",
    "1 1/2 + 1 = 2.5",
    "4 x 5 = 20",
    "12 minus 5 = 7",
    "10 plus 9 plus 1 equals 20",
    "60 divided by 5 = 12",
    "12 \\* 5 = 60",
    "**12 + 5 = 17**",
    "12 + 5 = **17**",
    "1. 12 + 5 = 17",
    "- 12 + 5 = 17",
    "5 apples + 3 apples = 8 apples",
    "$2/pound * 3 pounds = $6",
    "$2 per pound × 3 pounds = $6",
    "3 hours × 60 minutes = 180 minutes",
    "5 + 3\n= 8",
    "&= 5 + 3 \\\\ &= 8",
    "x = 5 + 3 = 8",
    "60 / 15 = 4 (15 minutes)",
    "12 + 5 = 17, as asked.",
    "\\text{Total} = 5 \\text{ apples} + 3 \\text{ apples} = 8 \\text{ apples}",
    "(so 12 + 5 = 17)",
]
WRONG = [
    "12 + 5 = 18",
    "3*4=13",
    "36/4 = 8",
    "10/3 = 3.34",
    "10/3 = 3",
    "20/3 = 6.5",
    "12.5 * 4 = 51",
    "0.5 * 30 = 16",
    "$5 × 6 = $31",
    "20% of 50 = 11",
    "2+3=5*4=21",
    "\\frac{1}{2} \\times 4 = 3",
    "12 \\times 5 = 61",
    "5 - 8 = 3",
    "1,234 + 1 = 1,236",
    "2^{10} = 1000",
    "4 x 5 = 21",
    "5 apples + 3 apples = 9 apples",
    "10 plus 9 equals 20",
    "17 = 12 + 6",
    "5 + 3\n= 9",
]
LEFT_ALONE = [
    "",
    "There are 12 apples and 5 pears.",
    "x + 5 = 17",
    "2x + 3 = 7",
    "11 = 5 + 3x",
    "y = 2 * x + 1",
    "f(2) = 5 + 1x",
    "17 = 17",
    "3 hours = 180 minutes",
    "1 hour + 30 minutes = 90 minutes",
    "twice 5 + 3 = 13",
    "sqrt(16) + 1 = 5",
    "5! = 120",
    "5*4*3*2*1 + 0 = 5!",
    "12 + 5 ≠ 18",
    "12 + 5 > 18",
    "100 - 20% = 80",
    "3,5 + 2 = 5,5",
    "17 mod 5 = 2",
    "17 % 5 = 2",
    "10 // 3 = 3",
    "6/2(1+2) = 1",
    "2^3^2 = 64",
    "1/0 = 0 * 1",
    "9 = (3/4) * number of novels",
    "2 pi + 1 = 7.28",
    "2 million * 3 = 6 million",
    "10:30 + 2 = 12",
    "```python\ntotal = 2 + 2 == 5\n```",
    "9**9**9**9 = 3 * 3",
    "9^999999 = 3 * 3",
]


def verdict(text: str, question: str = "") -> Verdict:
    return recompute(Candidate(question=question, text=text))


def test_it_is_a_verifier_that_does_not_settle_the_question() -> None:
    verifier: Verifier = Equations()
    assert not verifier.decisive


async def test_it_spends_nothing(nothing: Means) -> None:
    candidate = Candidate(question="", text="12+5=17\nAnswer: 17")
    said = await Equations().verify(candidate, nothing)
    assert said.passed
    assert nothing.ledger.journal() == []


@pytest.mark.parametrize("text", RIGHT)
def test_an_equation_that_is_right_is_found_to_be_right(text: str) -> None:
    found = equations(text)
    assert found
    assert [outcome(equation) for equation in found] == ["right"] * len(found)


@pytest.mark.parametrize("text", WRONG)
def test_an_equation_that_is_wrong_fails(text: str) -> None:
    assert verdict(f"{text}\nAnswer: 1").passed is False


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_is_not_plain_arithmetic_is_left_alone(text: str) -> None:
    assert verdict(f"{text}\nAnswer: 1").passed is None


def test_the_reasons_name_the_wrong_equation_and_the_right_value() -> None:
    said = verdict("12+5=17\n17*3=52\nAnswer: 52")
    assert "17*3 = 52 is wrong: 17*3 is 51" in said.reasons


def test_the_answer_must_be_one_of_the_results() -> None:
    text = "12+5=17\n17*3=51\nAnswer: "
    assert verdict(text + "51").passed is True
    assert verdict(text + "17").passed is True
    assert verdict(text + "52").passed is None


def test_the_last_result_scores_higher_than_an_earlier_one() -> None:
    text = "12+5=17\n17*3=51\nAnswer: "
    assert verdict(text + "51").score > verdict(text + "17").score > 0.5


@pytest.mark.parametrize("answer", ["$51", "51 apples", "x = 51", "51.0", "\\boxed{51}", "**51**"])
def test_the_answer_may_be_written_in_many_ways(answer: str) -> None:
    assert verdict(f"17*3=51\nAnswer: {answer}").passed is True


def test_the_answer_may_be_rounded_to_a_whole() -> None:
    assert verdict("25/2 = 12.5\nAnswer: 13 buses").passed is True


def test_the_answer_may_be_a_choice_with_the_result_as_its_text() -> None:
    question = "How many? A) 17 B) 51 C) 52"
    assert verdict("17*3=51\nAnswer: B", question).passed is True
    assert verdict("17*3=51\nAnswer: C", question).passed is None


def test_asked_for_cents_or_percent_hundredths_are_the_answer() -> None:
    assert verdict("2/8 = 0.25\nAnswer: 25", "How many cents?").passed is True
    assert verdict("2/8 = 0.25\nAnswer: 25", "How many dollars?").passed is None


def test_without_a_stated_answer_it_cannot_tell() -> None:
    assert verdict("12+5=17").passed is None


def test_numbers_from_nowhere_lower_the_score_and_not_the_pass() -> None:
    question = "Tom has 12 apples and buys 5 more. How many has he?"
    own, strange = (
        verdict("12+5=17\nAnswer: 17", question),
        verdict("13+4=17\nAnswer: 17", question),
    )
    assert own.passed
    assert strange.passed
    assert own.score > strange.score


def test_numbers_of_the_question_that_are_not_used_lower_the_score_and_not_the_pass() -> None:
    question = "Tom has 12 apples, buys 5 more and loses 3. How many has he?"
    all_used = verdict("12+5=17\n17-3=14\nAnswer: 14", question)
    unused = verdict("12+5=17\nAnswer: 17", question)
    assert unused.passed
    assert all_used.score > unused.score


def test_a_percentage_of_the_question_may_be_used_as_a_share_or_as_what_it_leaves() -> None:
    question = "A coat costs 50 dollars, minus 20%. What does it cost?"
    scores = {
        verdict(f"{text} = 40\nAnswer: 40", question).score
        for text in ("50 * 0.8", "50 * 80%", "50 - 0.2 * 50")
    }
    assert scores == {0.95}


def test_an_embedded_models_chain_passes() -> None:
    assert verdict("12+5=17\n17*3=51\nAnswer: 51").passed is True


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "1+" * 20_000 + "1=2",
        "(" * 40_000 + "1=1+1",
        "1=" * 20_000,
        "\\frac{" * 9_000,
        "```\n" * 10_000,
        "7^1400/" * 3_000 + "1=2",
        "1+1=2\n" * 7_000,
        "5 a " * 10_000 + "= 1 + 1",
        "9" * 40_000 + " = 9 * 9",
        "- " * 20_000 + "1+1=2",
    ],
)
def test_a_text_made_to_take_for_ever_is_read_soon(text: str) -> None:
    verdict(f"{text}\nAnswer: {text}", text)


@settings(max_examples=300)
@given(st.text() | st.text("0123456789+-*/=().,% \nxab$^{}\\²½×÷`", max_size=200), st.text())
def test_any_text_gets_a_verdict(text: str, question: str) -> None:
    said = verdict(f"{text}\nAnswer: {text}", question)
    assert 0 <= said.score <= 1


Made = tuple[str, Fraction]


def joined(left: Made, sign: str, right: Made) -> Made:
    """One expression of two, in brackets."""
    (one, a), (two, b) = left, right
    if sign in "÷/" and b == 0:
        sign = "+"
    value = a + b if sign == "+" else a - b if sign in "-−" else a * b
    return f"({one} {sign} {two})", a / b if sign in "÷/" else value


SIGNS = st.sampled_from("+-−*×/÷")
NUMBERS = st.integers(0, 10_000).map(lambda n: (str(n), Fraction(n))) | st.integers(1, 9_999).map(
    lambda n: (f"{n / 100:.2f}", Fraction(n, 100))
)
PARTS = st.recursive(NUMBERS, lambda inner: st.builds(joined, inner, SIGNS, inner), max_leaves=6)
EXPRESSIONS = st.builds(joined, PARTS, SIGNS, PARTS)


def equation(made: Made, off: int) -> str:
    """An equation with a whole result, which is `off` by so many."""
    text, value = made
    whole = round(value)
    return f"{text} - ({value - whole}) = {whole + off}"


@given(EXPRESSIONS)
def test_a_true_equation_is_right(made: Made) -> None:
    [found] = equations(equation(made, 0))
    assert outcome(found) == "right"


@given(EXPRESSIONS, st.integers(1, 50) | st.integers(-50, -1))
def test_a_true_equation_whose_result_is_changed_is_wrong(made: Made, off: int) -> None:
    exact = frozenset(Fraction(n, 100) for n in range(10_000))
    [found] = equations(equation(made, off))
    assert outcome(found, exact) == "wrong"
