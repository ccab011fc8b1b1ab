"""A vote stops when its leader is settled, and never before."""

import math
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.errors import WrongUsage
from mull.graphs.stopping import LARGEST, SEEN, UNSEEN, StoppingRule

COUNTS = st.lists(st.integers(1, 40), max_size=8)
WEIGHTS = st.lists(st.floats(0, 40), max_size=8)
VOTES = COUNTS | WEIGHTS
SOME_VOTES = st.lists(st.integers(1, 40), min_size=1, max_size=8)
LEFT = st.integers(0, 100)
BLANK = st.integers(0, 40) | st.floats(0, 40)
RULES = st.floats(0.5, 1, exclude_min=True).map(lambda p: StoppingRule(confidence=p))
RULE = StoppingRule()


def chance_by_all_orders(leader: int, rival: int, others: int, left: int) -> float:
    """The leader ahead after `left` draws from a Pólya urn, by walking every way it can go."""
    rivals = max(rival + SEEN, UNSEEN)

    @cache
    def walk(ours: int, theirs: int, rest: int) -> float:
        if ours + theirs + rest == left:
            lead = leader + ours - rival - theirs
            return 1.0 if lead > 0 else 0.5 if lead == 0 else 0.0
        drawn = (leader + SEEN + ours, rivals + theirs, float(others + rest))
        ways = (walk(ours + 1, theirs, rest), walk(ours, theirs + 1, rest))
        third = walk(ours, theirs, rest + 1) if drawn[2] else 0.0
        return (drawn[0] * ways[0] + drawn[1] * ways[1] + drawn[2] * third) / sum(drawn)

    return walk(0, 0, 0)


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 14))
def test_one_answer_so_far_stays_as_often_as_an_urn_says(
    leader: int, blank: int, more: int, left: int
) -> None:
    expected = chance_by_all_orders(leader, 0, blank + more, left)
    assert RULE.stays([leader], left, blank + more) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 12), st.integers(0, 14))
def test_two_answers_stay_in_order_as_often_as_an_urn_says(
    one: int, other: int, blank: int, left: int
) -> None:
    leader, rival = max(one, other), min(one, other)
    expected = chance_by_all_orders(leader, rival, blank + 1, left)
    assert UNSEEN == 1
    assert RULE.stays([one, other], left, blank) == pytest.approx(expected, abs=1e-9)


@given(RULES, SOME_VOTES, LEFT, BLANK)
def test_a_tie_is_never_settled(
    rule: StoppingRule, votes: list[int], left: int, blank: float
) -> None:
    assert not rule.settled([*votes, max(votes)], left, blank)


@given(RULES, st.lists(st.just(0.0), max_size=5), LEFT, BLANK)
def test_without_votes_nothing_is_settled(
    rule: StoppingRule, votes: list[float], left: int, blank: float
) -> None:
    assert not rule.settled(votes, left, blank)
    assert rule.stays(votes, left, blank) == 0


@given(RULES, VOTES, LEFT, BLANK)
def test_a_leader_that_cannot_be_overtaken_is_settled(
    rule: StoppingRule, votes: list[float], left: int, blank: float
) -> None:
    out_of_reach = max(votes, default=0) + left + 1
    assert rule.settled([*votes, out_of_reach], left, blank)


@given(SOME_VOTES, st.integers(1, 100), st.integers(0, 40))
def test_at_full_confidence_only_a_leader_out_of_reach_is_settled(
    votes: list[int], left: int, blank: int
) -> None:
    first, second = [*sorted(votes, reverse=True), 0][:2]
    within_reach = max(1, min(first, second + min(left, 8)))
    ranked = [within_reach, *sorted(votes, reverse=True)[1:]]
    assert not StoppingRule(confidence=1).settled(ranked, max(left, within_reach - second), blank)


@given(RULES, VOTES, BLANK)
def test_with_nothing_left_a_leader_ahead_is_settled(
    rule: StoppingRule, votes: list[float], blank: float
) -> None:
    ahead = max(votes, default=0) + 0.25
    assert rule.settled([*votes, ahead], 0, blank)


@given(VOTES, LEFT, BLANK, st.integers(1, 20) | st.floats(0, 20))
def test_more_votes_for_the_leader_never_make_it_less_safe(
    votes: list[float], left: int, blank: float, more: float
) -> None:
    leader = max(votes, default=0) + 1
    before = RULE.stays([*votes, leader], left, blank)
    assert RULE.stays([*votes, leader + more], left, blank) >= before - 1e-9


@given(SOME_VOTES, st.integers(1, 100), BLANK)
def test_a_sample_for_the_leader_never_makes_it_less_safe(
    votes: list[int], left: int, blank: float
) -> None:
    leader = max(votes) + 1
    before = RULE.stays([*votes, leader], left, blank)
    assert RULE.stays([*votes, leader + 1], left - 1, blank) >= before - 1e-9


@given(RULES, VOTES, st.integers(1, 60), BLANK)
def test_the_next_wave_is_the_smallest_that_could_settle_it(
    rule: StoppingRule, votes: list[float], left: int, blank: float
) -> None:
    rest = sorted(votes, reverse=True)
    leader = rest.pop(0) if rest else 0
    could = [n for n in range(1, left) if rule.settled([leader + n, *rest], left - n, blank)]
    assert rule.fewest(votes, left, blank) == min(could, default=left)


@given(VOTES.flatmap(lambda v: st.tuples(st.just(v), st.permutations(v))), LEFT, BLANK)
def test_the_order_of_votes_does_not_matter(
    orders: tuple[list[float], list[float]], left: int, blank: float
) -> None:
    votes, shuffled = orders
    assert RULE.stays(votes, left, blank) == RULE.stays(shuffled, left, blank)
    assert RULE.settled(votes, left, blank) == RULE.settled(shuffled, left, blank)


@given(WEIGHTS, LEFT, BLANK)
def test_answers_without_weight_count_for_nothing(
    votes: list[float], left: int, blank: float
) -> None:
    assert RULE.stays([0.0, *votes, 0.0], left, blank) == RULE.stays(votes, left, blank)


@given(st.lists(st.floats(0, LARGEST), max_size=6), st.integers(0, 300), st.floats(0, LARGEST))
def test_it_is_a_probability_however_large_or_small_the_weights(
    votes: list[float], left: int, blank: float
) -> None:
    assert 0 <= RULE.stays(votes, left, blank) <= 1


@given(SOME_VOTES, st.integers(1, 60), st.integers(0, 20))
def test_weights_that_sum_to_whole_votes_decide_as_these_do(
    votes: list[int], left: int, blank: int
) -> None:
    whole = [float(vote) for vote in votes]
    assert RULE.settled(whole, left, float(blank)) == RULE.settled(votes, left, blank)


@given(st.integers(1, 10), st.integers(2, 90))
def test_more_samples_to_come_never_make_an_unopposed_leader_safer(votes: int, left: int) -> None:
    assert RULE.stays([votes], left + 1) <= RULE.stays([votes], left) + 1e-9


@pytest.mark.parametrize(("horizon", "votes"), [(5, 3), (10, 3), (30, 4), (40, 4), (100, 4)])
def test_unanimous_answers_are_settled_after_three_or_four(horizon: int, votes: int) -> None:
    settled = [RULE.settled([n], horizon - n) for n in range(1, votes + 1)]
    assert settled == [False] * (votes - 1) + [True]


def test_blank_samples_make_a_leader_safer_because_fewer_votes_will_come() -> None:
    assert RULE.stays([5, 2], 20, blank=30) > RULE.stays([5, 2], 20)


@pytest.mark.parametrize("confidence", [0.5, -1, 1.01, math.nan])
def test_a_confidence_that_is_no_majority_is_refused(confidence: float) -> None:
    with pytest.raises(WrongUsage):
        StoppingRule(confidence=confidence)


@pytest.mark.parametrize(
    ("votes", "left", "blank"),
    [([-1.0], 1, 0), ([math.nan], 1, 0), ([2 * LARGEST], 1, 0), ([1], -1, 0), ([1], 1, -1)],
)
def test_impossible_numbers_are_refused(votes: Sequence[float], left: int, blank: float) -> None:
    for method in (RULE.stays, RULE.settled, RULE.fewest):
        with pytest.raises(WrongUsage):
            method(votes, left, blank)


def test_there_is_no_next_wave_when_nothing_is_left() -> None:
    with pytest.raises(WrongUsage):
        RULE.fewest([3, 1], 0)
