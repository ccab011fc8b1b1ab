"""The votes of samples, and whether to draw more: pure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mull.graphs import Sample, Settings
from mull.graphs.samples import sample_of
from mull.graphs.voting import OPEN_SAMPLES, RULE, Draw, Settle, Tally, decide, enough, tally

ESSAY = "It depends on many things, as one sees when one looks at them closely. " * 40
ENDS = ("whole", "cut", "weak", "cancelled", "refused", "failed")


def sample(name: object, answer: object, **more: Any) -> Sample:
    """A whole chain that states an answer, with what a verifier or the backend said of it."""
    return with_more(sample_of(str(name), "How many?", f"Answer: {answer}"), **more)


def with_more(one: Sample, **more: Any) -> Sample:
    return cast(Sample, {**one, **more})


def samples(*answers: object, **more: Any) -> list[Sample]:
    return [sample(number, answer, **more) for number, answer in enumerate(answers)]


def essays(count: int, **more: Any) -> list[Sample]:
    whole = [sample_of(f"essay{n}", "Why?", f"{n} {ESSAY}") for n in range(count)]
    return [with_more(one, **more) for one in whole]


def ended(how: str, count: int = 1, **more: Any) -> list[Sample]:
    """Chains that gave no vote."""
    return [sample(f"{how}{n}", 9, ended=how, **more) for n in range(count)]


def lead(votes: Tally) -> str | None:
    """The id of the leader."""
    return None if votes.leader is None else votes.leader["id"]


# --- who votes for what


@pytest.mark.parametrize(
    "forms",
    [
        ("1/2", "0.5", "$\\frac{1}{2}$", "**.50**"),
        ("1,000", "1000", "1000.0", "10^3"),
        ("{1, 2}", "{2,1}"),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
    ],
)
def test_equal_answers_vote_together_whatever_their_form(forms: Sequence[str]) -> None:
    assert tally(samples(*forms)).votes == [len(forms)]


def test_a_chain_that_states_no_comparable_answer_has_no_vote() -> None:
    votes = tally([*samples(7, 7), *essays(2)])
    assert (votes.votes, votes.blank, len(votes.open)) == ([2], 2, 2)


@pytest.mark.parametrize("how", [end for end in ENDS if end != "whole"])
def test_a_chain_that_did_not_end_whole_has_no_vote(how: str) -> None:
    assert tally([*samples(7), *ended(how)]).votes == [1]


def test_a_chain_that_was_not_needed_does_not_count_as_drawn() -> None:
    assert tally([*samples(7), *ended("cancelled", 3)]).blank == 0


def test_an_answer_that_a_decisive_verifier_refused_has_no_vote() -> None:
    votes = tally(samples(7, 7, score=0.0, passed=False, sound=True))
    assert (votes.votes, votes.blank, votes.leader) == ([], 2, None)


def test_the_leader_of_a_tie_is_the_better_verified() -> None:
    said = {"score": 0.5, "passed": None}
    tied = [
        sample("a", 1, **said),
        sample("b", 2, **said),
        sample("c", 2, **said, confidence=0.9),
        sample("d", 1, **said),
    ]
    assert lead(tally(tied)) == "c"


def test_the_leader_of_a_tie_of_equals_is_the_first_seen() -> None:
    assert lead(tally(samples(1, 2, 2, 1))) == "0"


def test_a_verified_answer_leads_however_many_votes_the_others_have() -> None:
    unknown = samples(1, 1, 1, 1, 1, score=0.5, passed=None, sound=True)
    checked = sample("checked", 2, score=1.0, passed=True, sound=True)
    assert lead(tally([*unknown, checked])) == "checked"


def test_a_verified_open_answer_leads_too() -> None:
    [essay] = essays(1, score=1.0, passed=True, sound=True)
    assert lead(tally([*samples(1, 1), essay])) == essay["id"]


# --- weights


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_pass_outweighs_a_fail_whatever_their_scores(high: float, low: float) -> None:
    votes = tally(
        [
            sample("passed", 1, score=high, passed=True),
            sample("failed", 2, score=low, passed=False),
        ]
    )
    assert lead(votes) == "passed"
    assert votes.votes[0] == 1 >= votes.votes[1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_equal_scores_weigh_equally(scores: list[float]) -> None:
    pairs = [
        sample(f"{n}{half}", f"{n}{half}", score=score)
        for n, score in enumerate(scores, 1)
        for half in (0, 1)
    ]
    weights = {group.key: group.weight for group in tally(pairs).groups}
    assert all(weights[f"n:{n}0"] == weights[f"n:{n}1"] for n in range(1, len(scores) + 1))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_scores_without_a_pass_or_a_fail_weigh_one_on_the_average(scores: list[float]) -> None:
    votes = tally([sample(n, n, score=score) for n, score in enumerate(scores)])
    assert math.fsum(votes.votes) == pytest.approx(len(scores), abs=1e-6)


def test_while_nothing_has_passed_failed_votes_do_not_settle_the_vote() -> None:
    failed = samples(*[7] * 8, score=0.1, passed=False)
    assert isinstance(decide(failed, Settings(samples=16)), Draw)


def test_a_verifier_that_could_tell_nothing_leaves_plain_votes() -> None:
    assert tally(samples(7, 7, 8, score=0.5, passed=None)).votes == [2, 1]


def test_a_vote_weighs_by_confidence_where_no_verifier_spoke() -> None:
    votes = tally([sample("sure", 1, confidence=-0.1), sample("unsure", 2, confidence=-2.0)])
    assert votes.votes == [1.5, 0.5]


# --- decide


def test_the_first_wave_is_the_fewest_that_could_settle_it() -> None:
    assert decide([], Settings(samples=16)) == Draw(RULE.fewest([], 16))


def test_agreement_of_the_fewest_settles_it() -> None:
    fewest = RULE.fewest([], 16)
    assert isinstance(decide(samples(*[7] * fewest), Settings(samples=16)), Settle)


@pytest.mark.parametrize("answers", [(1, 2), (1, 2, 2, 1), (1, 1, 2, 2, 3, 3)])
def test_a_tie_never_settles_before_all_are_drawn(answers: Sequence[int]) -> None:
    assert isinstance(decide(samples(*answers), Settings(samples=16)), Draw)


def test_weights_that_add_up_to_the_same_in_another_order_are_a_tie() -> None:
    scores = [0.1, 0.2, 0.3, 0.7, 0.9, 0.4, 0.8]
    one = [sample(f"a{n}", 1, score=score) for n, score in enumerate(scores)]
    two = [sample(f"b{n}", 2, score=score) for n, score in enumerate(reversed(scores))]
    first, second = tally([*one, *two]).votes
    assert first == second


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_with_at_once_that_many_are_drawn(at_once: int) -> None:
    assert decide([], Settings(samples=8, at_once=at_once)) == Draw(at_once)


def test_with_at_once_that_many_are_drawn_of_open_answers_too() -> None:
    assert decide(essays(1), Settings(samples=8, at_once=1)) == Draw(1)


def test_answers_that_cannot_be_compared_are_few() -> None:
    assert decide(essays(1), Settings()) == Draw(OPEN_SAMPLES - 1)
    assert isinstance(decide(essays(OPEN_SAMPLES), Settings()), Settle)


def test_one_verified_sample_settles_it_at_once() -> None:
    checked = sample("checked", 2, score=1.0, passed=True, sound=True)
    decision = decide([*samples(1, 1, 3), checked], Settings())
    assert decision == Settle("checked is verified")


def test_a_pass_that_is_not_decisive_does_not_settle_it() -> None:
    passed = sample("passed", 2, score=1.0, passed=True, sound=False)
    assert isinstance(decide([passed], Settings()), Draw)


def test_without_the_means_for_one_more_it_ends_unsettled() -> None:
    decision = decide(samples(1, 2), Settings(), affordable=0)
    assert isinstance(decision, Settle)
    assert not decision.settled


def test_a_settled_vote_is_settled_though_the_means_are_gone() -> None:
    decision = decide(samples(*[7] * 16), Settings(samples=32), affordable=0)
    assert isinstance(decision, Settle)
    assert decision.settled


def test_chains_that_were_cut_leave_a_vote_unsettled_that_they_could_have_turned() -> None:
    drawn = [*samples(1, 1, 2), *ended("cut", 5)]
    decision = decide(drawn, Settings(samples=8))
    assert isinstance(decision, Settle)
    assert not decision.settled


def test_chains_that_were_cut_leave_a_vote_settled_that_they_could_not_have_turned() -> None:
    drawn = [*samples(*[1] * 7), *ended("cut", 1)]
    decision = decide(drawn, Settings(samples=8))
    assert isinstance(decision, Settle)
    assert decision.settled


# --- whatever the samples


@st.composite
def any_samples(draw: st.DrawFn) -> list[Sample]:
    """Samples of every kind that a run can have."""
    made = []
    for number in range(draw(st.integers(0, 24))):
        answer = draw(st.sampled_from(["1", "2", "3", "1.0", "cat", ESSAY]))
        one = sample_of(f"chain.{number}", "Which?", f"Answer: {answer}")
        one = with_more(one, ended=draw(st.sampled_from(ENDS + ("whole",) * 6)))
        if draw(st.booleans()):
            one["score"] = draw(st.floats(0, 1))
            one["passed"] = draw(st.sampled_from([True, False, None]))
            one["sound"] = draw(st.booleans())
        if draw(st.booleans()):
            one["confidence"] = draw(st.floats(-20, 0))
        made.append(one)
    return made


any_settings = st.builds(
    Settings,
    samples=st.integers(1, 32),
    at_once=st.none() | st.integers(1, 40),
)
means = st.none() | st.integers(0, 40)


@given(any_samples(), any_settings, means)
def test_a_wave_is_never_more_than_is_left_nor_than_can_be_paid(
    drawn: list[Sample], settings: Settings, affordable: int | None
) -> None:
    decision = decide(drawn, settings, affordable=affordable)
    if isinstance(decision, Draw):
        count = sum(sample["ended"] != "cancelled" for sample in drawn)
        assert 1 <= decision.count <= settings.samples - count
        assert affordable is None or decision.count <= affordable
        assert decision.count <= (settings.at_once or settings.samples)


@given(any_samples(), any_settings, means)
def test_nothing_is_drawn_once_enough_says_why(
    drawn: list[Sample], settings: Settings, affordable: int | None
) -> None:
    assume(reason := enough(drawn, settings))
    decision = decide(drawn, settings, affordable=affordable)
    assert isinstance(decision, Settle)
    assert decision.reason == reason


@given(any_samples(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_changes_no_vote(drawn: list[Sample], rng: random.Random) -> None:
    shuffled = rng.sample(drawn, len(drawn))
    before, after = tally(drawn), tally(shuffled)
    assert {g.key: g.weight for g in before.groups} == {g.key: g.weight for g in after.groups}
    assert before.blank == after.blank


@given(any_samples())
def test_every_vote_is_in_one_group_and_weighs_something_finite(drawn: list[Sample]) -> None:
    votes = tally(drawn)
    voting = [s["id"] for group in votes.groups for s in group.samples]
    assert len(voting) == len(set(voting))
    assert all(0 <= weight < math.inf for weight in [*votes.votes, votes.blank])
    assert 0 <= votes.expected_share <= 1


@given(any_samples(), any_settings)
def test_drawing_what_is_decided_comes_to_an_end(drawn: list[Sample], settings: Settings) -> None:
    rng = random.Random(len(drawn))
    for _ in range(settings.samples + 1):
        decision = decide(drawn, settings)
        if isinstance(decision, Settle):
            return
        fresh = samples(*(rng.randint(1, 3) for _ in range(decision.count)))
        drawn = [*drawn, *fresh]
    pytest.fail("it never settled")
