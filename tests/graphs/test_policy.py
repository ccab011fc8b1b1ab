"""The policy of `auto`: never what cannot be paid, never twice the same, and always an end."""

from dataclasses import replace
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.budgets import Budget
from mull.graphs.policy import ENOUGH, ORDER, Evidence, Finish, Go, Need, Options, decide

Model = Literal["main", "larger"]
STAGES: list[tuple[Model, str]] = [
    (model, depth) for model in ("main", "larger") for depth in ORDER
]

probabilities = st.floats(0, 1)
amounts = st.integers(0, 50)
needs = st.builds(
    Need, tokens=amounts, calls=amounts, seconds=st.floats(0, 50), cost=amounts.map(Decimal)
)
budgets = st.builds(
    Budget,
    tokens=st.none() | amounts,
    calls=st.none() | amounts,
    seconds=st.none() | st.floats(0, 50),
    cost=st.none() | amounts.map(Decimal),
)
evidences = st.builds(
    Evidence,
    p_direct=probabilities,
    p_right=probabilities,
    answers=st.integers(0, 3),
    larger=st.booleans(),
    open=st.booleans(),
    refused=st.sampled_from([False, False, False, True]),
    tried=st.lists(st.sampled_from(STAGES), unique=True).map(tuple),
)
options_of = st.builds(
    Options,
    needs=st.dictionaries(st.sampled_from(STAGES), needs),
    deepest=st.sampled_from(ORDER),
    tools=st.booleans(),
    verifier=st.booleans(),
)
AMPLE = Budget()
FREE = {stage: Need() for stage in STAGES}
MAIN = {stage: Need() for stage in STAGES if stage[0] == "main"}


@given(evidences, options_of, budgets)
def test_no_action_is_named_that_the_budget_cannot_pay(
    evidence: Evidence, options: Options, left: Budget
) -> None:
    action = decide(evidence, options, left)
    if isinstance(action, Go):
        need = options.needs[action.model, action.depth]
        assert left.tokens is None or need.tokens <= left.tokens
        assert left.calls is None or need.calls <= left.calls
        assert left.seconds is None or need.seconds <= left.seconds
        assert left.cost is None or need.cost <= left.cost


@given(evidences, options_of, budgets)
def test_no_action_goes_deeper_than_the_deepest_allowed(
    evidence: Evidence, options: Options, left: Budget
) -> None:
    action = decide(evidence, options, left)
    if isinstance(action, Go):
        assert ORDER.index(action.depth) <= ORDER.index(options.deepest)


@given(evidences, options_of, budgets)
def test_nothing_is_tried_twice(evidence: Evidence, options: Options, left: Budget) -> None:
    action = decide(evidence, options, left)
    if isinstance(action, Go):
        assert (action.model, action.depth) not in evidence.tried


@given(evidences, options_of, budgets)
def test_an_answer_that_is_right_enough_is_the_end(
    evidence: Evidence, options: Options, left: Budget
) -> None:
    sure = replace(evidence, answers=1, p_right=max(ENOUGH, evidence.p_right))
    action = decide(sure, options, left)
    assert isinstance(action, Finish)
    assert action.paid


@given(evidences, options_of, budgets)
def test_a_refusal_is_the_end(evidence: Evidence, options: Options, left: Budget) -> None:
    action = decide(replace(evidence, refused=True), options, left)
    assert action == Finish("the model declined")


@given(st.lists(evidences, min_size=20, max_size=20), options_of, budgets)
def test_whatever_comes_to_be_known_it_ends(
    story: list[Evidence], options: Options, left: Budget
) -> None:
    tried: tuple[tuple[Model, str], ...] = ()
    for evidence in story:
        action = decide(replace(evidence, tried=tried), options, left)
        if isinstance(action, Finish):
            return
        tried += ((action.model, action.depth),)
    raise AssertionError(f"no end after {tried}")


@given(evidences, options_of, budgets, budgets)
def test_more_budget_never_ends_what_less_would_go_on_with(
    evidence: Evidence, options: Options, left: Budget, other: Budget
) -> None:
    less = left.within(other)
    if isinstance(decide(evidence, options, less), Go):
        assert isinstance(decide(evidence, options, left), Go)


@given(evidences, options_of, budgets)
def test_only_the_budget_ends_a_run_unpaid(
    evidence: Evidence, options: Options, left: Budget
) -> None:
    action = decide(evidence, options, left)
    if isinstance(action, Finish) and not action.paid:
        assert isinstance(decide(evidence, options, AMPLE), Go)


@given(evidences, options_of)
def test_without_limits_every_end_is_paid(evidence: Evidence, options: Options) -> None:
    action = decide(evidence, options, AMPLE)
    assert isinstance(action, Go) or action.paid


@pytest.mark.parametrize("left", ["tokens=9", "calls=0", "seconds=0.5", "cost=0.1"])
def test_a_budget_too_small_for_any_step_is_told(left: str) -> None:
    dear = Need(tokens=10, calls=1, seconds=1.0, cost=Decimal(1))
    options = Options(needs=dict.fromkeys(FREE, dear))
    unsure = Evidence(p_direct=0.5, p_right=0.5, answers=1)
    assert decide(unsure, options, Budget.parse(left)) == Finish(
        "the budget pays for no more", paid=False
    )


def test_what_cannot_be_paid_is_passed_over_for_what_can() -> None:
    options = Options(needs={**MAIN, ("main", "vote"): Need(tokens=100)})
    unsure = Evidence(p_direct=0.5, p_right=0.5, answers=1, tried=(("main", "reason"),))
    action = decide(unsure, options, Budget(tokens=99))
    assert isinstance(action, Go)
    assert action.depth == "reflect"


# --- which way


def first(p_direct: float, **options: bool) -> str:
    action = decide(Evidence(p_direct=p_direct), Options(needs=FREE, **options), AMPLE)  # type: ignore[arg-type]
    assert isinstance(action, Go)
    assert action.model == "main"
    return action.depth


def further(evidence: Evidence, **options: object) -> list[tuple[str, str]]:
    """The stages after the present answer, where none of them changes what is known."""
    known = Options(**{"needs": FREE, **options})  # type: ignore[arg-type]
    tried = evidence.tried
    while isinstance(action := decide(replace(evidence, tried=tried), known, AMPLE), Go):
        tried += ((action.model, action.depth),)
    return list(tried[len(evidence.tried) :])


UNSURE = Evidence(p_direct=0.5, p_right=0.5, answers=1, tried=(("main", "reason"),))


def test_an_easy_question_is_tried_directly() -> None:
    assert first(0.95) == "direct"


def test_a_harder_question_is_reasoned_about() -> None:
    assert first(0.5) == "reason"


def test_with_tools_even_an_easy_question_is_reasoned_about() -> None:
    assert first(0.95, tools=True) == "reason"


def test_without_any_answer_the_other_single_depth_is_tried_and_then_the_larger_model() -> None:
    nothing = Evidence(p_direct=0.5)
    assert further(nothing) == [
        ("main", "reason"),
        ("main", "direct"),
        ("larger", "reason"),
        ("larger", "direct"),
    ]


def test_answers_that_can_be_compared_are_voted_on_first() -> None:
    assert further(UNSURE, needs=MAIN) == [("main", "vote"), ("main", "reflect")]


def test_with_a_verifier_a_search_is_tried_before_a_reflection() -> None:
    assert further(UNSURE, needs=MAIN, verifier=True) == [
        ("main", "vote"),
        ("main", "search"),
        ("main", "reflect"),
    ]


def test_answers_that_cannot_be_compared_are_reflected_on() -> None:
    assert further(replace(UNSURE, open=True), needs=MAIN) == [("main", "reflect")]


def test_the_larger_model_is_asked_when_the_main_one_has_done_what_it_can() -> None:
    assert further(UNSURE)[-2:] == [("larger", "reason"), ("larger", "vote")]


def test_after_the_larger_models_answer_the_main_one_is_not_asked_any_more() -> None:
    answered = replace(UNSURE, larger=True, tried=(*UNSURE.tried, ("larger", "reason")))
    assert further(answered) == [("larger", "vote")]


def test_with_direct_as_the_deepest_the_larger_model_answers_directly() -> None:
    tried: tuple[tuple[Model, str], ...] = (("main", "direct"),)
    assert further(replace(UNSURE, tried=tried), deepest="direct") == [("larger", "direct")]


def test_with_reason_as_the_deepest_a_direct_answer_is_followed_by_reasoning() -> None:
    tried: tuple[tuple[Model, str], ...] = (("main", "direct"),)
    assert further(replace(UNSURE, tried=tried), needs=MAIN, deepest="reason") == [
        ("main", "reason")
    ]


def test_a_gain_too_small_for_its_price_is_not_bought() -> None:
    nearly = replace(UNSURE, open=True, p_right=0.89)
    action = decide(nearly, Options(needs=MAIN), AMPLE)
    assert action == Finish("no deeper step is worth its price at probability 0.89")
