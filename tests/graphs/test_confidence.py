"""How sure a model was of a chain, from its logprobs: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.graphs.confidence import KEPT, LEAST, WARM_UP, Confidence, cut_off, weights
from mull.models.reply import TokenLogprob

logprobs = st.floats(-20, 0)


def tokens(values: Sequence[float]) -> list[TokenLogprob]:
    return [TokenLogprob("word", value) for value in values]


def fed(values: Sequence[float], group: int = 4) -> Confidence:
    confidence = Confidence(group)
    confidence.feed(tokens(values))
    return confidence


# --- a chain's confidence


def test_without_tokens_nothing_is_known() -> None:
    assert (fed([]).least, fed([]).weakest_group) == (None, None)


@given(st.lists(logprobs, min_size=1, max_size=40), st.integers(1, 10))
def test_the_confidence_is_the_mean_of_the_weakest_group(values: list[float], group: int) -> None:
    windows = [values[n : n + group] for n in range(max(1, len(values) - group + 1))]
    weakest = min(math.fsum(window) / len(window) for window in windows)
    assert fed(values, group).least == pytest.approx(weakest, abs=1e-9)


def test_a_chain_is_not_cut_for_less_than_a_whole_group() -> None:
    assert fed([-9.0] * 3).weakest_group is None
    assert fed([-9.0] * 4).weakest_group == -9.0


@given(st.lists(logprobs, max_size=30), st.integers(0, 30))
def test_tokens_count_the_same_in_whatever_pieces_they_arrive(
    values: list[float], place: int
) -> None:
    pieces = Confidence(4)
    pieces.feed(tokens(values[:place]))
    pieces.feed(tokens(values[place:]))
    assert pieces.least == fed(values).least


def test_with_alternatives_a_sure_token_has_the_larger_confidence() -> None:
    sure, unsure = Confidence(1), Confidence(1)
    sure.feed([TokenLogprob("a", -0.01, (("a", -0.01), ("b", -8.0)))])
    unsure.feed([TokenLogprob("a", -0.7, (("a", -0.7), ("b", -0.7)))])
    assert (sure.least or 0) > (unsure.least or 0)


@pytest.mark.parametrize("odd", [-math.inf, math.nan, math.inf, -1e308, 10**400, -(10**400)])
def test_a_logprob_that_cannot_be_is_taken_for_one_that_can(odd: float) -> None:
    confidence = fed([-0.1, odd, *[-0.1] * 8])
    assert LEAST <= (confidence.least or 0) <= 0


# --- the cut-off


def test_while_few_chains_are_finished_none_is_weak() -> None:
    assert cut_off([-1.0] * (WARM_UP - 1)) is None


@given(st.lists(logprobs, min_size=WARM_UP, max_size=200, unique=True))
def test_the_cut_off_keeps_the_share_that_it_says(finished: list[float]) -> None:
    limit = cut_off(finished)
    assert limit is not None
    kept = sum(value >= limit for value in finished)
    assert KEPT * len(finished) <= kept < KEPT * len(finished) + 1


# --- weights


@given(st.lists(st.none() | logprobs, min_size=1, max_size=40))
def test_weights_by_confidence_are_one_on_the_average(confidences: list[float | None]) -> None:
    assert math.fsum(weights(confidences)) == pytest.approx(len(confidences))


@given(st.lists(logprobs, min_size=2, max_size=20))
def test_the_surer_chain_weighs_more_and_equal_ones_the_same(confidences: list[float]) -> None:
    pairs = list(zip(confidences, weights(confidences), strict=True))
    for value, weight in pairs:
        for other, others in pairs:
            assert (value > other) == (weight > others)


@given(st.lists(st.integers(-20, 0), min_size=1, max_size=20), st.floats(0.1, 10))
def test_how_logprobs_are_scaled_changes_no_weight(confidences: list[int], factor: float) -> None:
    assert weights(confidences) == weights([factor * value - 1 for value in confidences])


def test_a_chain_without_confidence_weighs_one() -> None:
    assert weights([None, -1.0, -2.0]) == [1.0, 1.5, 0.5]


def test_one_chain_alone_weighs_one() -> None:
    assert weights([-3.0, None]) == [1.0, 1.0]
