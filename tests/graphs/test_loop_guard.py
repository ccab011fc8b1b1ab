"""The loop guard stops circles, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from mull.graphs.loop_guard import REPEATS, TURNS, stuck

CALLS = st.sampled_from(["python 1", "python 2", "search x"])
TURNS_TAKEN = st.lists(CALLS, max_size=TURNS - 1)


@given(TURNS_TAKEN, CALLS)
def test_the_same_calls_several_turns_in_a_row_are_a_circle(before: list[str], again: str) -> None:
    assert stuck([*before, *[again] * REPEATS])


@given(TURNS_TAKEN)
def test_turns_whose_last_calls_differ_are_no_circle(turns: list[str]) -> None:
    different = [*turns[: TURNS - 3], "one", "other"]
    assert not stuck(different)


@given(st.lists(CALLS, max_size=REPEATS - 1))
def test_fewer_turns_than_a_circle_takes_are_none(turns: list[str]) -> None:
    assert not stuck(turns)


@given(st.integers(TURNS, 3 * TURNS))
def test_no_branch_goes_on_for_ever_however_its_calls_differ(count: int) -> None:
    assert stuck([str(turn) for turn in range(count)])
