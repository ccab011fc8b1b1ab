"""The comparable answer is what the model said last as its answer, unchanged, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.graphs import comparable


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It is so.\nAnswer: 42", "42"),
        ("answer: 42", "42"),
        ("Final Answer: 42", "42"),
        ("**Answer:** 42", "42"),
        ("**Answer: 42**", "42"),
        ("### Answer: 42", "42"),
        ("Answer:\n42", "42"),
        ("Answer:\n\n**Answer:** 42", "42"),
        ("Answer: 42   \nThat is all.", "42"),
        ("Answer: the red one", "the red one"),
        ("So \\boxed{42}.", "42"),
        ("Answer: $\\boxed{42}$", "42"),
    ],
)
def test_the_answer_is_found_however_it_is_marked(text: str, answer: str) -> None:
    assert comparable(text) == answer


@pytest.mark.parametrize("answer", ["-5", ".5", "(3, 4)", "[1, 2]", "\\frac{1}{2}", "$5", "?"])
def test_nothing_of_the_answer_itself_is_taken_for_a_mark(answer: str) -> None:
    assert comparable(f"Answer: {answer}") == answer


def test_braces_inside_a_box_are_part_of_the_answer() -> None:
    assert comparable("so \\boxed{\\frac{1}{\\sqrt{2}}} it is") == "\\frac{1}{\\sqrt{2}}"


def test_of_two_nested_boxes_the_inner_one_counts() -> None:
    assert comparable("\\boxed{ \\boxed{3} }") == "3"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 1\nNo.\nAnswer: 2", "2"),
        ("\\boxed{1}, no, \\boxed{2}", "2"),
        ("\\boxed{1}\nAnswer: 2", "2"),
        ("Answer: 1\nor \\boxed{2}", "2"),
    ],
)
def test_the_last_answer_wins(text: str, answer: str) -> None:
    assert comparable(text) == answer


@pytest.mark.parametrize(
    "text", ["", "42", "The answer is 42", "Answer:", "Answer: **", "\\boxed{}"]
)
def test_a_text_that_states_no_answer_has_none(text: str) -> None:
    assert comparable(text) is None


def test_a_box_that_is_not_closed_does_not_hide_the_one_before() -> None:
    assert comparable("\\boxed{1} or rather \\boxed{2") == "1"


PIECES = st.sampled_from(
    ["Answer", ":", " ", "\n", "\\boxed{", "{", "}", "*", "-", "7", "x", "final ", "\t", "\r", "`"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@given(TEXTS)
def test_any_text_has_an_answer_that_is_in_it_or_none(text: str) -> None:
    answer = comparable(text)
    assert answer is None or (answer and answer in text)


@given(TEXTS, st.integers(-999, 999))
def test_an_answer_line_at_the_end_always_wins(text: str, answer: int) -> None:
    assert comparable(f"{text}\n\nAnswer: {answer}") == str(answer)


@given(st.recursive(st.sampled_from(["1", "x", "\\pi "]), lambda s: s.map("{{{}}}".format)))
def test_a_box_gives_back_whatever_balanced_text_it_is_given(inner: str) -> None:
    assert comparable(f"thus \\boxed{{{inner}}}.") == inner.strip()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text", ["\\boxed{" * 50_000, "Answer: a" + " " * 300_000 + "b", "Answer:\n" * 50_000]
)
def test_a_text_that_goes_round_in_circles_is_read_at_once(text: str) -> None:
    assert (comparable(text) or "a")[0] == "a"
