"""The effort dial: each word is a budget and a deepest depth, and gives way to what is explicit."""

from itertools import pairwise
from typing import Any

import pytest

from mull.budgets import Budget
from mull.errors import WrongUsage
from mull.graphs import EFFORTS, Context, Settings, effort_of
from mull.graphs.policy import ORDER


@pytest.mark.parametrize(("less", "more"), list(pairwise(EFFORTS.values())))
def test_each_word_of_the_dial_allows_more_than_the_one_before(less: Any, more: Any) -> None:
    assert less.budget.tokens < more.budget.tokens
    assert less.budget.seconds < more.budget.seconds
    assert ORDER.index(less.deepest) <= ORDER.index(more.deepest)
    assert (less.samples, less.expansions) < (more.samples, more.expansions)


def test_an_unknown_effort_is_wrong_usage_that_names_the_known_ones() -> None:
    with pytest.raises(WrongUsage, match="'huge': choose low, medium, high, max"):
        effort_of("huge")


@pytest.mark.parametrize("name", EFFORTS)
def test_an_effort_fills_in_what_the_settings_leave_open(name: str) -> None:
    dial = effort_of(name)
    applied = dial.applied(Settings())
    assert (applied.deepest, applied.samples, applied.expansions, applied.effort) == (
        dial.deepest,
        dial.samples,
        dial.expansions,
        dial.reasoning,
    )


@pytest.mark.parametrize(
    "given", [{"samples": 5}, {"expansions": 7}, {"deepest": "reflect"}, {"effort": "none"}]
)
def test_a_setting_that_was_given_wins_over_the_effort(given: dict[str, Any]) -> None:
    applied = effort_of("low").applied(Settings(**given))
    ((name, value),) = given.items()
    assert getattr(applied, name) == value


def test_an_effort_leaves_other_settings_as_they_are() -> None:
    mine = Settings(rounds=5, seed=3, synthesize=True, algorithm="mcts")
    applied = effort_of("max").applied(mine)
    assert (applied.rounds, applied.seed, applied.synthesize, applied.algorithm) == (
        5,
        3,
        True,
        "mcts",
    )


def test_what_reasoning_models_are_told_is_a_word_that_they_know() -> None:
    assert {dial.reasoning for dial in EFFORTS.values()} <= {"low", "medium", "high"}


def test_every_budget_of_the_dial_is_limited_in_tokens_and_time_only() -> None:
    for dial in EFFORTS.values():
        assert dial.budget == Budget(tokens=dial.budget.tokens, seconds=dial.budget.seconds)


# --- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": 0},
        {"samples": 2.5},
        {"samples": "8"},
        {"at_once": 0},
        {"rounds": -1},
        {"expansions": 0},
        {"algorithm": "dfs"},
        {"deepest": "auto"},
        {"deepest": "deep"},
        {"think_at_least": -1},
        {"think_at_most": 0},
        {"think_at_least": 10, "think_at_most": 5},
    ],
)
@pytest.mark.parametrize("kind", [Settings, Context])
def test_settings_that_cannot_be_are_wrong_usage(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage):
        kind(**wrong)


def test_the_defaults_are_settings_that_can_be() -> None:
    assert Settings().deepest == "search"
