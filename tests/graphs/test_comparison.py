"""Which answers are the same: tables of equal and of different ones, and what a question adds."""

import subprocess
import sys
from itertools import pairwise

import pytest

from mull.graphs.comparison import canonical, choices_of, same

EQUAL = [
    # numbers
    ["5", "5.", "+5", "5.0", '"5"', "**5**", "$5$", "`5`", r"\boxed{5}", r"\text{5}", "= 5"],
    ["5", "five", "10/2", r"\frac{10}{2}", "2+3", "{5}", "500%", "the answer is 5", "about 5"],
    ["5", "$5", r"\$5", r"$\$5$", "5 dollars", "5 USD", "US$5", "$5.00"],
    ["-5", "−5", "- 5", "-$5", "$-5", "–5"],
    [
        "1234.5",
        "1,234.50",
        "1 234.5",
        "1.234,50",
        "1{,}234.50",
        r"1\,234.5",
        "1'234.5",
        "$1,234.50",
    ],
    ["1500", "1.5e3", "1.5E+3", "3×500", "1.5×10^3", "1.5 x 10^3", r"1.5 \times 10^{3}", "1,500"],
    ["0.5", ".5", "1/2", "½", r"\frac{1}{2}", r"\dfrac12", r"\frac12", "2^{-1}", "50 cents"],
    ["0.5", "50%", "50 percent", r"50\%", "50 per cent", "50％"],
    ["1.5", "1 1/2", "3/2", r"1\frac{1}{2}", "1½"],
    ["1/3", "0.333333", "0.3333333333", r"\frac{1}{3}", "2/6"],
    ["12", "twelve", "Twelve", "2 × 6", "12 monkeys", "1 dozen"],
    ["21", "twenty-one", "twenty one"],
    ["205", "two hundred and five"],
    ["2000000", "2 million", "2,000,000", "$2 million", "two million", "2×10⁶"],
    ["1234567", "1.234.567", "1_234_567", "1 234 567"],
    ["6.022e23", r"6.022 \times 10^{23}", "6.022×10²³"],
    ["1267650600228229401496703205376", "2^100", "4^{50}"],
    # counted things
    ["48", "48 apples", "48 balls", "48 red apples", "forty-eight apples"],
    # units
    [
        "5 km",
        "5000 m",
        "5 kilometers",
        r"5\text{ km}",
        r"5 \mathrm{km}",
        "5km",
        "5 Km",
        "5,000 metres",
    ],
    ["5 km/h", "5 kph", "5 kilometers per hour", r"5 \text{ km/h}", "5 km h^{-1}"],
    ["5 h", "h = 5 h", "t = 5 hours", "x = 300 min"],
    ["3 hours", "180 minutes", "3h", "180 min", "3 hrs", "10800 s"],
    ["2 hours and 15 minutes", "135 minutes", "2 h 15 min", "2.25 hours", "2 hours, 15 minutes"],
    ["5 m/s^2", "5 m/s²", "5 meters per second squared", r"5\,\mathrm{m/s^{2}}", "5 m s^-2"],
    ["20 °C", "293.15 K", "68 °F", "20 degrees Celsius", r"20^\circ C", r"20^{\circ}\text{C}"],
    ["5 cm^2", "0.0005 m²", "5 square centimeters", "5 cm²", r"5 \text{ cm}^2", "5 sq cm"],
    ["12 inches", "1 ft", "1 foot", "30.48 cm"],
    ["16π cm²", r"16\pi \text{ cm}^2", r"16 \pi\ \mathrm{cm^{2}}"],
    ["5 years", "60 months"],
    ["€5", "5 euros", "5 EUR", "5 €"],
    ["90", "90°", r"90^\circ", "90 degrees", r"90^{\circ}", r"\pi/2 rad"],
    ["0.75 cups", r"\frac{3}{4} \text{ cup}", "3/4 of a cup"],
    # expressions
    ["x^2+2x+1", "(x+1)^2", "(1+x)(x+1)", "x²+2x+1", "x**2 + 2*x + 1", r"\(x^{2}+2x+1\)"],
    [r"2\sqrt{2}", r"\sqrt{8}", "2√2", "√8", r"\sqrt8", r"2 \cdot \sqrt 2", "sqrt(8)", "8^{1/2}"],
    [r"\frac{\sqrt{3}}{2}", r"\sin 60^\circ", r"\sqrt{3}/2", r"\cos(\pi/6)", r"\frac{\sqrt3}2"],
    [r"\pi", "π", "pi", r"\frac{2\pi}{2}"],
    [r"2\pi r", "2πr", r"2 \pi \cdot r", r"\pi(r+r)"],
    ["1/(x+1)", r"\frac{1}{x+1}", "(x+1)^{-1}"],
    ["e^{2x}", r"\exp(2x)", "(e^x)^2"],
    ["1", r"\sin^2 x + \cos^2 x", "x/x", r"\tan 45°"],
    [r"2\sin x\cos x", r"\sin 2x", r"\sin(2x)"],
    ["3", r"\log_2 8", "log_2(8)", r"\log_{2}{8}", r"\sqrt[3]{27}", r"\lfloor 3.7 \rfloor"],
    ["-2", r"\sqrt[3]{-8}", "(-8)^{1/3}"],
    ["10", r"\binom{5}{2}", r"\dbinom52", r"\frac{5!}{2!\cdot 3!}"],
    ["3+4i", "4i+3", "3 + 4 i"],
    ["-1", r"e^{i\pi}", "i^2"],
    ["|x|", "|-x|", r"\lvert x \rvert"],
    ["x_1 + x_2", "x_2+x_1", "x₁+x₂"],
    # equations and inequalities
    ["5", "x = 5", "5 = x", "2x = 10", "area = 5", "x ≈ 5", "f(2) = 5", r"\angle ABC = 5^\circ"],
    ["y=2x+1", "2x+1", "2x - y + 1 = 0", "y = 1 + 2x", "f(x)=2x+1", "2y = 4x + 2"],
    ["x^2+y^2=4", "2x^2+2y^2-8=0", "4=y^2+x^2"],
    ["F = ma", r"F = a \cdot m"],
    ["[0, 1)", "[0,1)", r"0 \le x < 1", r"x \in [0,1)", r"\left[0, 1\right)", "[0,1[", "1 > x ≥ 0"],
    [r"(-\infty, 3)", "x < 3", "3 > x"],
    [r"(-\infty,0) \cup (1,\infty)", "x < 0 or x > 1", "(1,∞)∪(-∞,0)"],
    # lists, sets, tuples
    ["(1, 2)", "(1.0, 4/2)", r"\left(1,2\right)", "x = 1, y = 2", "y=2, x=1", "(x, y) = (1, 2)"],
    ["2, -2", "±2", r"\pm 2", r"x = \pm 2", "{-2, 2}", "x = 2 or x = -2", r"x=2 \text{ or } x=-2"],
    [r"1 \pm \sqrt{2}", r"1+\sqrt{2}, 1-\sqrt{2}"],
    ["{1, 2}", "{2, 1}", "1, 2", r"\{2,1\}", "1 and 2", "2; 1", "{1, 1, 2}", r"x \in \{1, 2\}"],
    ["1, 2 and 3", "{3,2,1}", "1, 2, and 3", "$1$, $2$, $3$"],
    ["(1,2,3)", "[1, 2, 3]", r"\langle 1,2,3 \rangle"],
    ["{1234, 5678}", "1,234, 5,678"],
    [r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1,2],[3,4]]"],
    ["∅", r"\emptyset", "{}", r"\varnothing"],
    ["∞", r"\infty", "infinity", r"+\infty"],
    # JSON
    ['{"a": 1, "b": [1, 2.0]}', '{"b":[1.0,2],"a":1e0}', '```json\n{"a":1,"b":[1,2]}\n```'],
    ['["a", "b"]', '[ " a ","b" ]'],
    # yes and no, dates, texts
    ["yes", "Yes.", "Yes, because it is even", "true", "**Yes**", "True"],
    ["no", "No, it is not", "false", "No."],
    ["July 4, 1776", "4 July 1776", "1776-07-04", "July 4th, 1776"],
    ["3:30 pm", "15:30", "3:30 p.m.", "3:30PM"],
    ["Paris", "paris.", "The Paris", "**Paris**", r"\text{Paris}", '"Paris"', "PARIS!"],
    ["New York City", "new york city", "the New York City."],
    ["red, green and blue", "blue, green, red"],
    ["x", "X"],
]

DIFFERENT = [
    ("5", "6"),
    ("5", "-5"),
    ("5", "50"),
    ("1.5", "15"),
    ("1,5", "1.5"),
    ("1,234", "1.234"),
    ("1/3", "0.33"),
    ("50%", "50"),
    ("0.5", "0.05"),
    ("1234567", "1234568"),
    ("1234567.4", "1234570"),
    ("2^100", "2^{100}+1"),
    ("20!", "20! + 1"),
    ("1e999999999", "1e999999998"),
    ("3.14", r"\pi"),
    ("5!", "5"),
    ("1 1/2", "11/2"),
    ("5 km", "5 m"),
    ("5 km", "5"),
    ("5 m", "5 min"),
    ("12 km", "12 kg"),
    ("5 mW", "5 MW"),
    ("$5", "€5"),
    ("5 pm", "5 am"),
    ("5 pm", "5"),
    ("2 apples and 3 oranges", "3 apples and 2 oranges"),
    ("12 Angry Men", "12 Monkeys"),
    ("x", "2x"),
    ("x+1", "x-1"),
    ("x^2+1", "y^2+1"),
    ("|x|", "x"),
    ("|xy|", "xy"),
    (r"\sqrt{x^2}", "x"),
    ("a-b", "b-a"),
    ("NO2", "N2O"),
    ("H2O", "HO2"),
    ("3 to 4", "4 to 3"),
    ("3 to five", "3"),
    ("3 plus four", "3"),
    ("n!", "n"),
    ("x^2 = 4", "x^2 = 9"),
    ("xy = 5", "5"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "[1,2]"),
    ("[1,2]", "{1,2}"),
    ("1, 2", "1, 3"),
    ("1, 2", "1, 2, 3"),
    ("{12, 3}", "{1, 23}"),
    ("x=1, y=2", "x=2, y=1"),
    ("x > 5", "x >= 5"),
    ("x > 5", "x < 5"),
    ("∞", r"-\infty"),
    ("[[1,2],[3,4]]", "[[1,3],[2,4]]"),
    ('{"a":1}', '{"a":2}'),
    ('{"a":1}', '{"b":1}'),
    ('{"a":1}', '{"a":"1"}'),
    ('{"a":"x"}', '{"a":"X"}'),
    ('["a","b"]', '["b","a"]'),
    ("yes", "no"),
    ("no solution", "no"),
    ("True, False, True", "True, True, False"),
    ("Paris", "London"),
    ("C", "C++"),
    ("C", "C#"),
    ("1:02", "10:20"),
    ("July 4, 1776", "July 5, 1776"),
    ("3/4/2020", "4/3/2020"),
]

OPTIONS = "How far is it?\nA) 5 km\nB) 6 km\nC) 7 km"

HOSTILE = [
    "9**9**9**9",
    "10^10^10^10",
    "1e999999999",
    "1e-999999999",
    "1000000!",
    "3" + "!" * 300,
    "(-1)^{10^{300}}",
    r"\lfloor 10^{300}\pi \rfloor",
    r"\sqrt[10^{300}]{2}",
    "2^" * 130 + "2",
    "(x+1)^400*" * 35 + "x",
    r"\binom{400}{200}^{400}",
    "(" * 10_000 + ")" * 10_000,
    "(" * 190 + "1" + ")" * 190,
    "(1," * 390,
    '["' + "[" * 40_000,
    '["]]]]",' + "[" * 40_000 + "]" * 40_000,
    '["' + " " * 40_000,
    r"\frac{" * 60,
    r"\text{" * 400,
    r"\begin{pmatrix}" + "1&" * 900 + r"\end{pmatrix}",
    "-" * 390 + "1",
    "|" * 399,
    "±1," * 600,
    "∪" * 2000,
    "five " + "thousand " * 40,
    "2h 3min " * 20,
    "5 " + "km " * 60,
    "ﷺ" * 300,
    "½" * 600,
    "\ud800" * 50,
    "\x00" * 300,
    "0^{-1}",
    r"\frac{1}{1-1}",
    "e^{e^{e^{e^e}}}",
]


@pytest.mark.parametrize("answers", EQUAL, ids=lambda answers: str(answers[0])[:40])
def test_ways_to_write_one_answer_have_one_key(answers: list[str]) -> None:
    keys = {answer: canonical(answer) for answer in answers}
    assert None not in keys.values()
    assert len(set(keys.values())) == 1, keys


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_answers_are_not_the_same(a: str, b: str) -> None:
    assert not same(a, b), canonical(a)


def test_the_first_answers_of_the_table_have_as_many_keys_as_there_are_answers() -> None:
    first = {answers[0] for answers in EQUAL}
    assert len({canonical(answer) for answer in first}) == len(first)


@pytest.mark.parametrize("answer", ["", "   ", "...", "**", "?"])
def test_an_empty_answer_has_no_key(answer: str) -> None:
    assert canonical(answer) is None


def test_a_long_text_is_open_ended() -> None:
    assert canonical("It depends on how one looks at it and on whom one asks") is None


def test_a_sentence_with_commas_is_no_list() -> None:
    text = "First we take the train to the coast, then a boat, and then we walk"
    assert canonical(text) is None


def test_a_long_list_of_short_texts_can_be_compared() -> None:
    planets = "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune, and Pluto"
    assert same(planets, "Pluto, Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune")


def test_an_open_ended_answer_is_the_same_only_as_itself() -> None:
    text = "It depends on how one looks at it and on whom one asks"
    assert same(text, text)
    assert not same(text, text + " today")


@pytest.mark.parametrize(
    "answer",
    [
        "B",
        "b",
        "(B)",
        "b)",
        "B.",
        "B) 6 km",
        "B. 6 km",
        "option B",
        "B is correct",
        r"\text{(B)}",
        "6 km",
        "6000 m",
        "6",
        "six kilometers",
        r"\textbf{(B)}\ 6",
        "The answer is (B)",
    ],
)
def test_an_option_is_named_by_its_letter_its_text_or_its_value(answer: str) -> None:
    assert canonical(answer, OPTIONS) == canonical("B", OPTIONS)


def test_what_no_option_says_is_no_option() -> None:
    assert canonical("8 km", OPTIONS) == canonical("8000 m", OPTIONS)
    assert not same("8 km", "A", OPTIONS)


def test_several_options_are_named_in_any_order() -> None:
    assert same("A and C", "(C), (A)", OPTIONS)
    assert not same("A and C", "A", OPTIONS)


def test_the_text_of_two_options_names_neither() -> None:
    question = "Which?\nA) 5\nB) 5.0\nC) 6"
    assert not same("5", "A", question)
    assert not same("5", "B", question)


def test_an_option_that_begins_like_a_letter_is_taken_by_its_text() -> None:
    question = "Which worm?\nA) T. saginata\nB) C. elegans\nC) A. suum"
    assert same("C. elegans", "B", question)


def test_a_letter_is_no_option_without_options() -> None:
    assert canonical("B") == canonical("b") != canonical("B", OPTIONS)


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (OPTIONS, {"A": "5 km", "B": "6 km", "C": "7 km"}),
        ("Pick: (A) 5 (B) 6 (C) $7", {"A": "5", "B": "6", "C": "$7"}),
        ("Which? A. Paris B. London C. Rome", {"A": "Paris", "B": "London", "C": "Rome"}),
        ("x\n  a) one\n  b) two\nExplain.", {"A": "one", "B": "two"}),
        ("x\n- A. one\n- B. two", {"A": "one", "B": "two"}),
        ("x\n**A)** one\n**B)** two", {"A": "one", "B": "two"}),
        ("x\nA: one\nB: two", {"A": "one", "B": "two"}),
        (r"$\textbf{(A)}\ 5 \qquad\textbf{(B)}\ 6$", {"A": "5", "B": "6"}),
        ("Did A. Lincoln meet B. Franklin?", {}),
        ("What is f(a) + f(b)?", {}),
        ("How many are in plan B?", {}),
        ("", {}),
    ],
)
def test_a_questions_options_are_read(question: str, options: dict[str, str]) -> None:
    assert choices_of(question) == options


@pytest.mark.parametrize(
    ("question", "bare", "full"),
    [
        ("How many km is it to Rome?", "48", "48 km"),
        ("How far is it, in kilometers?", "48", "48000 m"),
        ("Give the speed in m/s.", "5", "5 m/s"),
        ("How many square meters is that?", "5", "5 m^2"),
        ("How many hours does it take?", "1.5", "90 minutes"),
        ("What is the temperature in degrees Celsius?", "20", "20 °C"),
        ("What is the temperature in degrees Celsius?", "20 degrees", "20 °C"),
        ("What is the angle in radians?", r"\pi", r"\pi rad"),
        ("A pen costs €2. How much do three cost?", "6", "€6"),
        ("What percent of 80 is 40?", "50", "50%"),
        ("What percentage is that?", "0.5", "0.5%"),
        ("Write 1/2 as a percentage.", "50", "50 percent"),
    ],
)
def test_a_bare_number_is_in_the_unit_that_the_question_asks_for(
    question: str, bare: str, full: str
) -> None:
    assert same(bare, full, question)


def test_a_question_that_mentions_per_cent_does_not_ask_for_it() -> None:
    question = "After a discount of 20% it costs $40. What did it cost before?"
    assert not same("50", "50%", question)


def test_a_per_cent_is_no_fraction_where_per_cent_is_asked_for() -> None:
    assert same("50%", "0.5")
    assert not same("50%", "0.5", "What percent is that?")


def test_ratios_are_fractions_where_a_ratio_is_asked_for() -> None:
    question = "What is the ratio of boys to girls?"
    assert same("3:2", "6 to 4", question)
    assert same("3:2", "3/2", question)
    assert not same("3:2", "2:3", question)


def test_numbers_agree_when_six_digits_do() -> None:
    assert same("3.14159265", r"\pi")
    assert same("3.14159", "3.141592")
    assert not same("3.14159", "3.1416")


@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_are_compared_like_any_other(answer: str) -> None:
    for question in ("", OPTIONS, answer):
        assert canonical(answer, question) == canonical(answer, question)


def test_no_library_for_symbols_is_loaded() -> None:
    code = (
        "import sys; from mull.graphs.comparison import canonical; canonical('x^2+1');"
        "sys.exit('sympy' in sys.modules or 'mpmath' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_equal_pair_is_the_same_either_way() -> None:
    for answers in EQUAL:
        assert all(same(a, b) and same(b, a) for a, b in pairwise(answers))
