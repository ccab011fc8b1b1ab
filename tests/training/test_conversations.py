"""What the embedded model learns from: the framework's own prompts, and truths about mistakes."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.graphs.nodes.answer import SYSTEM
from mull.graphs.reflection import read_verdict
from mull.graphs.values import VALUES, read_value
from mull.models.demo.problems import FAMILIES, problems
from mull.models.demo.problems.problem import operations
from mull.tools.python import PythonTool

sys.path.append(str(Path(__file__).parents[2]))
from training.conversations import (
    MIX,
    PYTHON,
    Source,
    difficulty,
    direct,
    spoiled,
    value,
    verdict_on,
)

seeds = st.integers(0, 10**6)
every_kind = pytest.mark.parametrize("make", [make for make, _ in MIX], ids=lambda m: m.__name__)
with_mistakes = pytest.mark.parametrize("family", ["words", "chains"])


def source(seed: int, progress: float = 1.0) -> Source:
    return Source(random.Random(seed), progress)


@given(seeds)
def test_direct_is_asked_with_the_frameworks_default_prompt(seed: int) -> None:
    assert direct(source(seed)).messages[0] == {"role": "system", "content": SYSTEM}


@every_kind
def test_every_kind_ends_with_the_assistants_word(make: object) -> None:
    for seed in range(40):
        assert make(source(seed)).messages[-1]["role"] == "assistant"  # type: ignore[operator]


@given(seeds)
def test_only_training_problems_are_learned(seed: int) -> None:
    assert source(seed).problem(list(FAMILIES)).split == "train"


@given(seeds)
def test_training_begins_with_one_step(seed: int) -> None:
    assert source(seed, 0.0).problem(["words"]).code.count(";") == 2


@with_mistakes
@given(seeds)
def test_a_spoiled_solution_has_one_wrong_equation(family: str, seed: int) -> None:
    problem = next(problems(seed, family))
    text = spoiled(problem, random.Random(seed))
    values = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    wrong = [line for line in operations(text) if values[line[1]](line[0], line[2]) != line[3]]
    assert len(wrong) == 1
    assert text != problem.solution


@with_mistakes
@given(seeds)
def test_the_critic_passes_the_solution(family: str, seed: int) -> None:
    problem = next(problems(seed, family))
    assert read_verdict(verdict_on(problem, problem.solution)).passed is True


@with_mistakes
@given(seeds)
def test_the_critic_fails_a_spoiled_solution(family: str, seed: int) -> None:
    problem = next(problems(seed, family))
    assert read_verdict(verdict_on(problem, spoiled(problem, random.Random(seed)))).passed is False


@given(seeds)
def test_a_value_is_one_of_the_words_that_the_search_reads(seed: int) -> None:
    said = value(source(seed)).messages[-1]["content"]
    assert read_value(said) in VALUES.values()


@given(seeds)
def test_the_classifiers_answer_is_the_measured_rate(seed: int) -> None:
    known = {f"{family} {n}": 55 for family in ("words", "chains") for n in range(1, 12)}
    asked = difficulty(Source(random.Random(seed), 1.0, rates=known))
    assert asked.messages[-1]["content"] == "Answer: 55"


def test_the_tool_is_offered_as_the_framework_offers_it() -> None:
    assert PYTHON["function"]["description"] == PythonTool().description
