"""The embedded model's problems: seeded, solvable, and in splits that share nothing."""

from __future__ import annotations

import contextlib
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.models.demo.problems import FAMILIES, Problem, problems
from mull.models.demo.problems.countdown import moves, reachable

SPLITS = ("train", "validation", "test")
every_family = pytest.mark.parametrize("family", FAMILIES)


def some(family: str, split: str = "test", seed: int = 3, count: int = 200) -> list[Problem]:
    endless = problems(seed, family, split=split)  # type: ignore[arg-type]
    return list(itertools.islice(endless, count))


@every_family
def test_the_splits_share_no_problem_whatever_its_words(family: str) -> None:
    cores = [{problem.core for problem in some(family, split)} for split in SPLITS]
    assert not any(one & other for one, other in itertools.combinations(cores, 2))


@every_family
def test_a_problem_is_in_the_split_it_was_drawn_for(family: str) -> None:
    assert {problem.split for problem in some(family, "validation")} == {"validation"}


def test_the_order_of_countdowns_numbers_does_not_change_the_split() -> None:
    problem = some("countdown-4")[0]
    turned = Problem("countdown", "", problem.answer, (), "", problem.numbers[::-1])
    assert turned.split == problem.split


@every_family
def test_the_same_seed_gives_the_same_problems(family: str) -> None:
    assert some(family, seed=5) == some(family, seed=5)
    assert some(family, seed=5) != some(family, seed=6)


@every_family
@given(seed=st.integers(0, 10**6))
def test_the_written_way_solves_the_problem(family: str, seed: int) -> None:
    problem = next(problems(seed, family))
    assert problem.solved_by(problem.solution)


@pytest.mark.parametrize("family", ["words", "chains"])
@given(seed=st.integers(0, 10**6))
def test_the_program_prints_the_answer(family: str, seed: int) -> None:
    problem = next(problems(seed, family))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(problem.code, {})
    assert printed.getvalue().strip() == str(problem.answer)


@pytest.mark.parametrize("family", ["countdown-3", "countdown-4"])
@given(seed=st.integers(0, 10**6))
def test_every_countdown_can_be_solved(family: str, seed: int) -> None:
    problem = next(problems(seed, family))
    assert reachable(list(problem.numbers), problem.answer)


def test_a_countdown_that_uses_a_number_twice_is_not_solved() -> None:
    problem = Problem("countdown", "", 12, (), "", (2, 3, 3))
    assert problem.solved_by("3*3=9 left 2 9\n9+2=11 left 11\nAnswer: 11") is False
    assert problem.solved_by("3+3=6 left 2 6\n6*2=12 left 12\nAnswer: 12") is True
    assert problem.solved_by("3*2=6 left 3 6\n6*2=12 left 12\nAnswer: 12") is False


def test_a_countdown_with_wrong_arithmetic_is_not_solved() -> None:
    problem = Problem("countdown", "", 12, (), "", (2, 3, 3))
    assert problem.solved_by("3+3=7\n7*2=12\nAnswer: 12") is False


def test_a_countdown_that_leaves_numbers_out_is_not_solved() -> None:
    problem = Problem("countdown", "", 6, (), "", (2, 3, 3))
    assert problem.solved_by("3+3=6\nAnswer: 6") is False


@given(st.lists(st.integers(1, 10), min_size=2, max_size=4))
def test_a_move_takes_two_numbers_and_leaves_their_result(left: list[int]) -> None:
    for line, after in moves(left):
        assert len(after) == len(left) - 1
        assert int(line.split("=")[1].split()[0]) in after
