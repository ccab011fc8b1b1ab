"""What holds for all answers: equality is an equivalence, and no text does any harm."""

import json
from fractions import Fraction
from itertools import product

from hypothesis import assume, given
from hypothesis import strategies as st

from mull.graphs.comparison import canonical, choices_of, same

SIGNS = r"{ } ( ) [ ] ^ _ x y 1 23 9 ! | + - * / , = < e i ± ° % $ ∪ . ; & \\ \{ \} B) 1e9 10^"
WORDS = r"\frac \sqrt and or \pi \sin \ln km \left \text{ hundred five \begin{pmatrix} yes pm"
PIECES = [*SIGNS.split(), *WORDS.split(), r"\end{pmatrix}", " ", '"', '{"a":']
JUNK = st.lists(st.sampled_from(PIECES), max_size=80).map("".join)
TEXTS = st.text() | JUNK | st.text(alphabet="()[]{}^!,.-+|\\$*x1 ", max_size=400)
QUESTIONS = st.sampled_from(
    ["", "What percent is it?", "How many km?", "The ratio?", "Which?\nA) 5 km\nB) 6 km"]
)
EXAMPLES = (
    "5|5.0|five|5 km|5000 m|1/2|50%|0.5|x=5|(x+1)^2|x^2+2x+1|1, 2|{2,1}|(1,2)|yes|Paris|the Paris"
    "|A|B|(B)|6 km|∞|1e999999999|9**9**9**9"
)
SAMPLES = st.sampled_from(EXAMPLES.split("|"))
ANSWERS = SAMPLES | TEXTS
RATIONALS = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**6)
DECIMALS = st.decimals(
    min_value=-(10**6), max_value=10**6, places=4, allow_nan=False, allow_infinity=False
)


@given(TEXTS, QUESTIONS)
def test_no_text_raises_or_gives_two_keys(text: str, question: str) -> None:
    assert canonical(text, question) == canonical(text, question)


@given(TEXTS)
def test_no_question_raises(question: str) -> None:
    canonical("5", question)
    choices_of(question)


@given(ANSWERS, QUESTIONS)
def test_every_answer_is_the_same_as_itself(answer: str, question: str) -> None:
    assert same(answer, answer, question)


@given(ANSWERS, ANSWERS, QUESTIONS)
def test_sameness_has_no_direction(a: str, b: str, question: str) -> None:
    assert same(a, b, question) == same(b, a, question)


@given(st.lists(ANSWERS, min_size=3, max_size=6), QUESTIONS)
def test_what_is_the_same_as_a_third_is_the_same(answers: list[str], question: str) -> None:
    for a, b, c in product(answers, repeat=3):
        if same(a, b, question) and same(b, c, question):
            assert same(a, c, question)


@given(RATIONALS)
def test_a_rational_has_one_key_however_it_is_written(value: Fraction) -> None:
    over, under = value.numerator, value.denominator
    sign = "-" if over < 0 else ""
    forms = [
        f"{over}/{under}",
        f"{over * 3}/{under * 3}",
        rf"\frac{{{over}}}{{{under}}}",
        rf"{sign}\dfrac{{{abs(over)}}}{{{under}}}",
        f"x = {over}/{under}",
        f"({over})/({under})",
        f"{over * 100}/{under} %",
        f"{over} \\cdot {under}^{{-1}}",
        f"{over}/{under} apples",
    ]
    assert {canonical(form) for form in forms} == {canonical(forms[0])}


@given(st.integers(1, 999), st.fractions(min_value=0, max_value=1, max_denominator=999))
def test_a_mixed_number_is_the_sum_of_its_parts(whole: int, part: Fraction) -> None:
    over, under = part.numerator, part.denominator
    forms = [f"{whole} {over}/{under}", rf"{whole}\frac{{{over}}}{{{under}}}"]
    assert {canonical(form) for form in forms} == {canonical(str(whole + part))}


@given(DECIMALS)
def test_a_decimal_has_one_key_however_it_is_written(value: object) -> None:
    exact = Fraction(str(value))
    forms = [
        f"{value}",
        f"{value:,}",
        f"{value}0",
        f"{value:e}",
        f"{exact}",
        f"**{value}**",
        f"${value}$",
        f"{value} apples",
        f"{exact * 100}%",
        f"{exact / 1000} \\times 10^{{3}}" if exact.denominator == 1 else f"{value}",
    ]
    assert {canonical(form) for form in forms} == {canonical(forms[0])}


@given(DECIMALS)
def test_a_length_has_one_key_in_every_unit(value: object) -> None:
    exact = Fraction(str(value))
    forms = [f"{exact} km", f"{exact * 1000} meters", rf"{exact * 100_000} \text{{ cm}}"]
    assert {canonical(form) for form in forms} == {canonical(f"{value} km")}


@given(RATIONALS, RATIONALS)
def test_rationals_that_differ_in_six_digits_have_different_keys(a: Fraction, b: Fraction) -> None:
    assume(abs(a - b) > Fraction(2, 10**5) * max(abs(a), abs(b)))
    assert not same(str(a), str(b))


@given(st.integers(), st.integers())
def test_whole_numbers_are_the_same_only_where_they_are_equal(a: int, b: int) -> None:
    assume(len(str(max(abs(a), abs(b)))) <= 15)
    assert same(str(a), f"{b:,}") == (a == b)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8))
def test_a_set_has_one_key_in_every_order(members: list[int]) -> None:
    written = "{" + ", ".join(map(str, sorted(members))) + "}"
    assert same(", ".join(map(str, members)), written)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8), st.randoms())
def test_a_tuple_keeps_its_order(members: list[int], random: object) -> None:
    other = sorted(members)
    assert same(str(tuple(members)), str(tuple(other))) == (members == other)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4))
def test_a_polynomial_is_the_same_multiplied_out(roots: list[int]) -> None:
    coefficients = [1]
    for root in roots:
        shifted = [*coefficients, 0]
        coefficients = [
            high - root * low for high, low in zip(shifted, [0, *coefficients], strict=True)
        ]
    degree = len(roots)
    expanded = " + ".join(f"({c})x^{degree - place}" for place, c in enumerate(coefficients))
    assert same("".join(f"(x - ({root}))" for root in roots), expanded)
    assert not same(expanded, f"{expanded} + 1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON, min_size=1), st.booleans())
def test_json_has_one_key_in_every_order_and_spacing(value: dict[str, object], wide: bool) -> None:
    turned = dict(reversed(value.items()))
    assert same(json.dumps(value), json.dumps(turned, indent=2 if wide else None))
    assert canonical(json.dumps(value)) is not None
