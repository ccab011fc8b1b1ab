"""The decision on a reservation, for any accounts and any bound."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mull.budgets import FREE, Amount, Bound, Budget, Price, Usage
from mull.budgets.account import Account, Grant, Refuse, Room, Wait, decide

INFINITY = Decimal("Infinity")
T = TypeVar("T")
Chain = tuple[Account, ...]


def decimals(most: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(0, most, places=places)


prices = st.one_of(
    st.just(FREE),
    st.builds(
        Price,
        input=st.one_of(decimals("20", 2), decimals("0.00001", 9)),
        output=st.one_of(decimals("20", 2), decimals("0.00001", 9)),
        cached=st.one_of(st.none(), decimals("30", 3)),
        second=st.one_of(st.just(Decimal(0)), decimals("0.01", 6), decimals("0.0000001", 15)),
    ),
)
bounds = st.builds(
    Bound,
    input_tokens=st.integers(0, 60),
    output_tokens=st.integers(0, 200),
    calls=st.integers(0, 1),
    tool_calls=st.integers(0, 1),
    price=prices,
    seconds=st.sampled_from([0.0, 0.5, 1 / 3, 600.0]),
)
money = st.one_of(decimals("0.01", 6), decimals("0.000000001", 13), decimals("0.0001", 12))
cents = st.one_of(st.just(Decimal(0)), decimals("0.002", 6), decimals("0.0001", 12))
nothing = st.just(Amount())
amounts = st.builds(
    Amount,
    tokens=st.integers(0, 100),
    calls=st.integers(0, 3),
    tool_calls=st.integers(0, 3),
    cost=cents,
)


@st.composite
def accounts(draw: st.DrawFn, key: str) -> Account:
    """Books that add up, with some room left: never enough for all that may be asked."""
    spent, held, free = draw(amounts), draw(nothing | amounts), draw(amounts)
    landing = draw(nothing | amounts)
    total = spent + held + landing + free

    def limit(used: T, tight: bool) -> T | None:
        return used if tight else None

    return Account(
        key=key,
        limits=Budget(
            tokens=limit(total.tokens + 20, draw(st.booleans())),
            calls=limit(total.calls, draw(st.booleans())),
            tool_calls=limit(total.tool_calls, draw(st.booleans())),
            cost=limit(total.cost, draw(st.booleans())),
        ),
        landing=landing,
        spent=Usage(
            input_tokens=spent.tokens,
            calls=spent.calls,
            tool_calls=spent.tool_calls,
            cost=spent.cost,
        ),
        held=held,
    )


chains = st.lists(st.sampled_from(["leaf", "branch", "run"]), min_size=1, max_size=3).flatmap(
    lambda keys: st.tuples(*(accounts(f"{key}-{n}") for n, key in enumerate(keys)))
)


def charge(bound: Bound, output: int) -> dict[str, Decimal]:
    need = replace(bound, output_tokens=output).amount()
    return {
        "tokens": Decimal(need.tokens),
        "calls": Decimal(need.calls),
        "tool_calls": Decimal(need.tool_calls),
        "cost": need.cost,
    }


def fits(
    chain: Chain, bound: Bound, output: int, *, landing: bool, given_back: bool = False
) -> bool:
    """Whether the call fits into every account."""
    return not lacking(chain, bound, output, landing=landing, given_back=given_back)


def lacking(
    chain: Chain, bound: Bound, output: int, *, landing: bool, given_back: bool = False
) -> set[str]:
    """The accounts where spent + held + the call + what its own and the children's accounts on its
    path hold back would pass a limit."""
    need, lack = charge(bound, output), set()
    for level, account in enumerate(chain):
        for name, wanted in need.items():
            held = getattr(account.held, name)
            if given_back and name in ("tokens", "cost"):
                held = 0
            spent = getattr(account.spent, "total_tokens" if name == "tokens" else name)
            kept = max(getattr(below.landing, name) for below in chain[: level + 1])
            limit = getattr(account.limits, name)
            used = spent + held + (0 if landing else kept)
            if limit is not None and used + wanted > limit:
                lack.add(account.key)
    return lack


leasts = st.just(0) | st.integers(0, 250)


@given(chains, bounds, leasts, st.booleans())
def test_a_grant_fits_into_every_account_beside_what_is_spent_held_and_kept(
    chain: Chain, bound: Bound, least: int, landing: bool
) -> None:
    decision = decide(chain, bound, least=least, landing=landing)
    if not isinstance(decision, Grant):
        return
    output = decision.bound.output_tokens
    assert fits(chain, bound, output, landing=landing)


@given(chains, bounds, leasts, st.booleans())
def test_a_grant_differs_from_what_was_asked_only_in_a_smaller_output_of_at_least_the_least(
    chain: Chain, bound: Bound, least: int, landing: bool
) -> None:
    decision = decide(chain, bound, least=least, landing=landing)
    if not isinstance(decision, Grant):
        return
    granted = decision.bound
    assert replace(granted, output_tokens=bound.output_tokens) == bound
    assert min(least, bound.output_tokens) <= granted.output_tokens <= bound.output_tokens


@given(chains, bounds, leasts, st.booleans())
def test_a_clipped_grant_is_all_that_any_release_could_have_made_room_for(
    chain: Chain, bound: Bound, least: int, landing: bool
) -> None:
    decision = decide(chain, bound, least=least, landing=landing)
    if not isinstance(decision, Grant) or decision.bound == bound:
        return
    more = decision.bound.output_tokens + 1
    assert not fits(chain, bound, more, landing=landing, given_back=True)


@given(chains, bounds, leasts, st.booleans())
def test_it_refuses_exactly_when_no_release_of_tokens_or_money_could_make_room_for_the_least(
    chain: Chain, bound: Bound, least: int, landing: bool
) -> None:
    decision = decide(chain, bound, least=least, landing=landing)
    output = min(least, bound.output_tokens)
    ever = fits(chain, bound, output, landing=landing, given_back=True)
    assert isinstance(decision, Refuse) == (not ever)


@given(chains, bounds, leasts, st.booleans())
def test_a_refusal_names_an_account_and_a_dimension_that_lack_what_the_call_needs(
    chain: Chain, bound: Bound, least: int, landing: bool
) -> None:
    decision = decide(chain, bound, least=least, landing=landing)
    if not isinstance(decision, Refuse):
        return
    least = min(least, bound.output_tokens)
    assert decision.account in lacking(chain, bound, least, landing=landing, given_back=True)
    assert decision.need == charge(bound, least)[decision.dimension]
    assert decision.need > decision.free


@given(chains, bounds, leasts, st.booleans())
def test_it_waits_only_where_a_release_would_allow_more_than_there_is_room_for_now(
    chain: Chain, bound: Bound, least: int, landing: bool
) -> None:
    decision = decide(chain, bound, least=least, landing=landing)
    if not isinstance(decision, Wait):
        return
    (account,) = [a for a in chain if a.key == decision.account]
    assert account.held.tokens or account.held.cost
    freed = [replace(a, held=replace(a.held, tokens=0, cost=Decimal(0))) for a in chain]
    better = decide(freed, bound, least=least, landing=landing)
    assert isinstance(better, Grant)
    assert account.key in lacking(chain, bound, better.bound.output_tokens, landing=landing)


@given(chains, bounds, leasts, st.booleans())
def test_nobody_waits_when_nothing_is_held(
    chain: Chain, bound: Bound, least: int, landing: bool
) -> None:
    idle = [replace(account, held=Amount()) for account in chain]
    assert not isinstance(decide(idle, bound, least=least, landing=landing), Wait)


def test_a_least_above_what_is_asked_asks_for_no_more_than_that() -> None:
    bound = Bound(output_tokens=5)
    free = Account(key="run", limits=Budget(tokens=5))
    assert decide([free], bound, least=10, landing=False) == Grant(bound)
    full = replace(free, limits=Budget(tokens=4))
    assert decide([full], bound, least=10, landing=False) == Refuse(
        "run", "tokens", Decimal(5), Decimal(4)
    )


rooms = st.builds(
    Room,
    tokens=st.just(INFINITY) | st.integers(-10, 300).map(Decimal),
    calls=st.just(INFINITY) | st.integers(-1, 2).map(Decimal),
    tool_calls=st.just(INFINITY) | st.integers(-1, 2).map(Decimal),
    cost=st.just(INFINITY) | money | money.map(lambda free: -free),
)


@given(bounds, rooms)
@example(  # less than a token's price is lost to rounding up the prompt's
    Bound(input_tokens=1, output_tokens=1, price=Price(input="5e-7", output="5e-7")),  # type: ignore[arg-type]
    Room(INFINITY, INFINITY, INFINITY, Decimal("1e-12")),
)
@example(  # several tokens are cheaper than the smallest unit of cost
    Bound(output_tokens=100, price=Price(output="1e-7")),  # type: ignore[arg-type]
    Room(INFINITY, INFINITY, INFINITY, Decimal("1.5e-12")),
)
def test_the_output_within_a_room_is_the_largest_whose_amount_fits(
    bound: Bound, room: Room
) -> None:
    def within(output: int) -> bool:
        return all(need <= getattr(room, name) for name, need in charge(bound, output).items())

    fitting = [output for output in range(bound.output_tokens + 1) if within(output)]
    assert bound.output_within(room) == max(fitting, default=-1)


tokens = st.integers(0, 10**7)


microseconds = st.integers(0, 10**10).map(lambda number: number / 10**6)


@given(prices, tokens, tokens, st.integers(0, 100), microseconds)
def test_a_cost_is_the_exact_one_rounded_up_to_a_picodollar(
    price: Price, input_tokens: int, output_tokens: int, percent: int, seconds: float
) -> None:
    cached_tokens = input_tokens * percent // 100
    cached = price.input if price.cached is None else price.cached
    exact = (
        Fraction(price.input) * (input_tokens - cached_tokens)
        + Fraction(cached) * cached_tokens
        + Fraction(price.output) * output_tokens
    ) / 10**6 + Fraction(price.second) * Fraction(str(seconds))
    cost = price.cost(input_tokens, output_tokens, cached_tokens=cached_tokens, seconds=seconds)
    assert Fraction(cost) == Fraction(ceil(exact * 10**12), 10**12)


@given(bounds, st.data())
def test_no_call_within_its_bound_costs_more_than_the_bound(
    bound: Bound, data: st.DataObject
) -> None:
    input_tokens = data.draw(st.integers(0, bound.input_tokens))
    output_tokens = data.draw(st.integers(0, bound.output_tokens))
    cached_tokens = data.draw(st.integers(0, input_tokens))
    seconds = data.draw(st.floats(0, bound.seconds))
    cost = bound.price.cost(
        input_tokens, output_tokens, cached_tokens=cached_tokens, seconds=seconds
    )
    assert cost <= bound.amount().cost


@pytest.mark.parametrize("written", [0.1, "0.1", Decimal("0.1")])
def test_a_price_given_as_a_float_is_read_as_written(written: Decimal) -> None:
    assert Price(input=written).input == Decimal("0.1")


def test_prompt_tokens_and_seconds_are_paid_at_their_own_rates() -> None:
    price = Price(
        input=Decimal(2), output=Decimal(8), cached=Decimal("0.5"), second=Decimal("0.001")
    )
    cost = price.cost(1_000_000, 500_000, cached_tokens=400_000, seconds=2.5)
    assert cost == Decimal("1.2") + Decimal("0.2") + Decimal(4) + Decimal("0.0025")
