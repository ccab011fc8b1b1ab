"""How limits are read, checked and written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mull.budgets import Budget
from mull.errors import WrongUsage

budgets = st.builds(
    Budget,
    tokens=st.none() | st.integers(0, 10**14),
    calls=st.none() | st.integers(0, 10**6),
    tool_calls=st.none() | st.integers(0, 10**6),
    seconds=st.none() | st.floats(0, 10**9),
    cost=st.none() | st.decimals(0, 10**6, allow_nan=False),
)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("tokens=8000", Budget(tokens=8000)),
        ("tokens=8000,seconds=60", Budget(tokens=8000, seconds=60)),
        (" calls = 3 , tool_calls = 4 ", Budget(calls=3, tool_calls=4)),
        ("tokens=8e3", Budget(tokens=8000)),
        ("tokens=8000.0", Budget(tokens=8000)),
        ("tokens=0", Budget(tokens=0)),
        ("seconds=0.5", Budget(seconds=0.5)),
        ("cost=0.10", Budget(cost=Decimal("0.1"))),
    ],
)
def test_a_budget_is_read_from_names_and_numbers(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "tokens",
        "tokens=",
        "=8000",
        "8000",
        "tokens:8000",
        "tokens=8000,",
        "tokens=8000;seconds=60",
        "tokens=8000 seconds=60",
        "tokens=8000,tokens=9000",
        "tokens=8000,tokens=8000",
        "Tokens=8000",
        "token=8000",
        "usd=3",
        "parse=3",
        "tokens=eight",
        "tokens=8k",
        "tokens=8,000",
        "tokens=None",
        "tokens=True",
        "tokens==8",
        "unlimited",
    ],
)
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage):
        Budget.parse(text)


@pytest.mark.parametrize("name", ["tokens", "calls", "tool_calls", "seconds", "cost"])
@pytest.mark.parametrize(
    "value",
    [
        -1,
        -0.5,
        "-1",
        "-1e-9",
        "nan",
        "-nan",
        "snan",
        float("nan"),
        Decimal("nan"),
        Decimal("snan"),
        "inf",
        "-inf",
        "Infinity",
        float("inf"),
        Decimal("inf"),
        10**15,
        10**400,
        "1e999999999",
        True,
        False,
        "",
        "x",
        [],
        1j,
    ],
)
def test_a_limit_is_a_finite_number_that_is_not_negative(name: str, value: Any) -> None:
    with pytest.raises(WrongUsage, match=f"budget {name}="):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["tokens", "calls", "tool_calls"])
@pytest.mark.parametrize("value", [0.5, "0.5", Decimal("1e-9"), "8000.0001"])
def test_what_is_counted_has_whole_limits(name: str, value: Any) -> None:
    with pytest.raises(WrongUsage, match="whole number"):
        Budget(**{name: value})


@pytest.mark.parametrize("value", [7, 7.0, "7", Decimal(7)])
def test_a_limit_has_the_type_of_its_dimension_however_it_was_given(value: Any) -> None:
    budget = Budget(tokens=value, calls=value, tool_calls=value, seconds=value, cost=value)
    types = {name: type(getattr(budget, name)) for name in ("tokens", "calls", "tool_calls")}
    assert set(types.values()) == {int}
    assert (type(budget.seconds), type(budget.cost)) == (float, Decimal)


def test_a_cost_given_as_a_float_is_read_as_written() -> None:
    assert Budget(cost=0.1).cost == Decimal("0.1")  # type: ignore[arg-type]


@given(budgets)
def test_a_limited_budget_is_read_back_from_how_it_is_written(budget: Budget) -> None:
    if budget == Budget():
        assert str(budget) == "unlimited"
    else:
        assert Budget.parse(str(budget)) == budget


@given(budgets)
@example(Budget(cost=Decimal("1.23456789012345678901234567890123456789")))
def test_a_budget_is_read_back_from_its_dictionary(budget: Budget) -> None:
    assert Budget(**budget.as_dict()) == budget


@given(budgets, budgets)
def test_merged_takes_each_limit_the_other_names_and_keeps_the_rest(
    mine: Budget, other: Budget
) -> None:
    merged = mine.merged(other)
    for name in ("tokens", "calls", "tool_calls", "seconds", "cost"):
        named = getattr(other, name)
        assert getattr(merged, name) == (getattr(mine, name) if named is None else named)


def test_a_merged_zero_is_a_limit() -> None:
    assert Budget(tokens=5).merged(Budget(tokens=0)) == Budget(tokens=0)
