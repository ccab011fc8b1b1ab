"""MathAnswer: equal to a known answer."""

from __future__ import annotations

import pytest

from mull.errors import WrongUsage
from mull.graphs.verifiers import Candidate, MathAnswer, Means, Verifier


async def passes(
    text: str, expected: str, means: Means, question: str = "How many?"
) -> bool | None:
    candidate = Candidate(question=question, text=text)
    return (await MathAnswer(expected).verify(candidate, means)).passed


def test_a_pass_settles_the_question() -> None:
    verifier: Verifier = MathAnswer("5")
    assert verifier.decisive


async def test_an_equal_answer_passes_however_it_is_written(nothing: Means) -> None:
    assert await passes("So it is half.\nAnswer: 0.5", "\\frac{1}{2}", nothing) is True


async def test_another_answer_fails(nothing: Means) -> None:
    assert await passes("Answer: 0.5", "0.51", nothing) is False


async def test_the_expected_answer_may_be_a_whole_text_that_states_it(nothing: Means) -> None:
    assert await passes("Answer: 51", "17*3=51\nAnswer: 51", nothing) is True


async def test_the_expected_answer_is_not_given_away(nothing: Means) -> None:
    candidate = Candidate(question="", text="Answer: 1")
    assert "51" not in (await MathAnswer("51").verify(candidate, nothing)).reasons


def test_an_empty_expectation_is_refused() -> None:
    with pytest.raises(WrongUsage):
        MathAnswer(" ")
