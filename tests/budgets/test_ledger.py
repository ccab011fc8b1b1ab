"""Who waits, who is served, who is refused, and what each is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

import pytest

from mull.budgets import (
    Amount,
    Bound,
    Budget,
    BudgetExhausted,
    CallKnown,
    Hold,
    Ledger,
    MemoryStore,
    Price,
    Usage,
)


def tokens(number: int) -> Bound:
    return Bound(output_tokens=number)


def used(number: int) -> Usage:
    return Usage(output_tokens=number)


async def started(reservation: Coroutine[Any, Any, Hold]) -> asyncio.Task[Hold]:
    """The reservation as a task that has had time to be answered, if it can be."""
    task = asyncio.create_task(reservation)
    await breath()
    return task


async def breath() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_waiters_are_served_in_the_order_they_came() -> None:
    ledger = Ledger(Budget(tokens=100))
    hold = await ledger.reserve("holder", tokens(100))
    served: list[str] = []

    async def spend(name: str) -> None:
        mine = await ledger.reserve(name, tokens(20), least=20)
        served.append(name)
        ledger.settle(mine, used(0))

    tasks = [asyncio.create_task(spend(name)) for name in "abcd"]
    await breath()
    assert served == []
    ledger.settle(hold, used(0))
    await asyncio.gather(*tasks)
    assert served == ["a", "b", "c", "d"]


async def test_a_small_reservation_does_not_pass_a_large_one_that_waits_for_the_same() -> None:
    ledger = Ledger(Budget(tokens=100))
    first, second = [await ledger.reserve(name, tokens(50)) for name in ("1", "2")]
    large = await started(ledger.reserve("large", tokens(80)))
    ledger.settle(first, used(0))
    small = await started(ledger.reserve("small", tokens(10)))
    assert (large.done(), small.done()) == (False, False)
    ledger.settle(second, used(0))
    assert (await large).bound == tokens(80)
    assert (await small).bound == tokens(10)


async def test_a_child_with_room_is_not_held_up_by_its_siblings_line() -> None:
    ledger = Ledger(Budget(tokens=100))
    full, free = ledger.child("full", Budget(tokens=10)), ledger.child("free", Budget(tokens=10))
    hold = await full.reserve("holder", tokens(10))
    waiter = await started(full.reserve("waiter", tokens(10)))
    assert (await free.reserve("other", tokens(10))).bound == tokens(10)
    assert not waiter.done()
    full.settle(hold, used(0))
    await waiter


async def test_what_a_grandchild_holds_and_spends_is_its_parents_too() -> None:
    ledger = Ledger(Budget(tokens=100))
    child = ledger.child("a")
    grandchild = child.child("b", Budget(tokens=50))
    hold = await grandchild.reserve("call", tokens(40))
    assert [each.held().tokens for each in (grandchild, child, ledger)] == [40, 40, 40]
    grandchild.settle(hold, used(15))
    spent = [each.spent().total_tokens for each in (grandchild, child, ledger)]
    assert spent == [15, 15, 15]
    left = [each.left().tokens for each in (grandchild, child, ledger)]
    assert left == [35, 85, 85]


async def test_a_child_waits_in_the_line_of_the_parent_both_draw_on() -> None:
    ledger = Ledger(Budget(tokens=100))
    one, two = ledger.child("one"), ledger.child("two")
    hold = await ledger.reserve("holder", tokens(90))
    first = await started(one.reserve("first", tokens(50)))
    second = await started(two.reserve("second", tokens(5)))
    assert not second.done()
    ledger.settle(hold, used(0))
    await first
    await second


async def test_a_line_that_moved_on_to_another_account_no_longer_holds_up_the_first() -> None:
    ledger = Ledger(Budget(tokens=100))
    child = ledger.child("a", Budget(tokens=10))
    held = await ledger.reserve("parent's", tokens(80))
    await child.reserve("child's", tokens(5))
    elder = await started(ledger.reserve("elder", tokens(30)))
    first = await started(child.reserve("first", tokens(10)))
    second = await started(child.reserve("second", tokens(10)))
    ledger.settle(held, used(0))
    await elder  # `first` and `second` now wait for the child alone
    other = await started(ledger.reserve("other", tokens(20)))
    assert (first.done(), second.done(), other.done()) == (False, False, True)


async def test_whoever_takes_the_last_call_sends_away_those_who_wait_to_make_one() -> None:
    ledger = Ledger(Budget(calls=2))
    child = ledger.child("a", Budget(tokens=10))
    await child.reserve("holder", Bound(output_tokens=10, calls=1))
    waiter = await started(child.reserve("waiter", Bound(output_tokens=10, calls=1)))
    assert not waiter.done()
    await ledger.reserve("last", Bound(calls=1))
    with pytest.raises(BudgetExhausted, match="needs 1 calls"):
        await asyncio.wait_for(waiter, 10)


async def test_cancelling_a_waiter_that_was_just_granted_gives_the_hold_back() -> None:
    ledger = Ledger(Budget(tokens=100))
    hold = await ledger.reserve("holder", tokens(100))
    waiter = await started(ledger.reserve("waiter", tokens(100)))
    ledger.settle(hold, used(0))
    assert ledger.held().tokens == 100  # granted, though its task has not run yet
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert ledger.held() == Amount()
    assert ledger.spent().total_tokens == 0


async def test_cancelling_the_first_waiter_lets_the_next_go_on() -> None:
    ledger = Ledger(Budget(tokens=100))
    await ledger.reserve("holder", tokens(50))
    large = await started(ledger.reserve("large", tokens(80)))
    small = await started(ledger.reserve("small", tokens(10)))
    large.cancel()
    assert (await asyncio.wait_for(small, 10)).bound == tokens(10)


async def test_a_waiter_nobody_can_help_any_more_is_refused() -> None:
    ledger = Ledger(Budget(tokens=100))
    hold = await ledger.reserve("holder", tokens(60))
    waiter = await started(ledger.reserve("waiter", tokens(80), least=50))
    ledger.settle(hold, used(60))
    with pytest.raises(BudgetExhausted):
        await waiter


async def test_a_waiter_is_clipped_to_what_the_last_holder_leaves() -> None:
    ledger = Ledger(Budget(tokens=100))
    hold = await ledger.reserve("holder", tokens(60))
    waiter = await started(ledger.reserve("waiter", tokens(80), least=10))
    ledger.settle(hold, used(60))
    assert (await waiter).bound == tokens(40)


async def test_what_can_never_be_paid_is_refused_at_once_though_others_hold() -> None:
    ledger = Ledger(Budget(tokens=100))
    await ledger.reserve("holder", tokens(60))
    refused = await started(ledger.reserve("refused", tokens(200), least=101))
    assert refused.done()
    with pytest.raises(BudgetExhausted):
        await refused


async def test_only_a_landing_reservation_may_use_what_is_held_back() -> None:
    ledger = Ledger(Budget(tokens=100), landing=Amount(tokens=30))
    hold = await ledger.reserve("call", tokens(100))
    assert hold.bound == tokens(70)
    ledger.settle(hold, used(70))
    with pytest.raises(BudgetExhausted):
        await ledger.reserve("more", tokens(1), least=1)
    assert (await ledger.reserve("landing", tokens(100), landing=True)).bound == tokens(30)


async def test_what_a_child_holds_back_its_calls_leave_free_in_the_parent_too() -> None:
    ledger = Ledger(Budget(tokens=100))
    child = ledger.child("a", landing=Amount(tokens=30))
    hold = await child.reserve("call", tokens(100))
    assert hold.bound == tokens(70)
    child.settle(hold, used(70))
    assert (await child.reserve("landing", tokens(100), least=30, landing=True)).bound == tokens(30)


async def test_a_known_id_is_answered_without_waiting_in_line() -> None:
    ledger = Ledger(Budget(tokens=100))
    ledger.settle(await ledger.reserve("done", tokens(60)), used(0))
    await ledger.reserve("held", tokens(60))
    await started(ledger.reserve("waiter", tokens(60)))
    for name in ("held", "done"):
        known = await started(ledger.reserve(name, tokens(60)))
        assert known.done()
        with pytest.raises(CallKnown):
            known.result()


async def test_a_second_ledger_of_the_same_key_wakes_the_waiters_of_the_first() -> None:
    store = MemoryStore()
    one = Ledger(Budget(tokens=100), key="run", store=store)
    two = Ledger(key="run", store=store)
    hold = await two.reserve("holder", tokens(100))
    waiter = await started(one.reserve("waiter", tokens(100)))
    assert not waiter.done()
    two.settle(hold, used(0))
    assert (await asyncio.wait_for(waiter, 10)).bound == tokens(100)


async def test_raising_a_childs_limit_serves_those_who_wait_for_it() -> None:
    ledger = Ledger(Budget(tokens=100))
    child = ledger.child("a", Budget(tokens=10))
    await child.reserve("holder", tokens(10))
    waiter = await started(child.reserve("waiter", tokens(10)))
    assert not waiter.done()
    ledger.child("a", Budget(tokens=20))
    assert (await asyncio.wait_for(waiter, 10)).bound == tokens(10)


# ---- what a refusal says


async def test_a_refusal_says_what_is_needed_what_is_left_and_what_to_raise() -> None:
    ledger = Ledger(Budget(tokens=100, calls=5))
    ledger.settle(await ledger.reserve("1", tokens(70)), used(70))
    with pytest.raises(BudgetExhausted) as refusal:
        await ledger.reserve("2", Bound(input_tokens=30, output_tokens=50), least=8)
    assert str(refusal.value) == (
        "the budget (tokens=100,calls=5) cannot pay another call: "
        "it needs 38 tokens or more, and 30 are left. Raise its tokens"
    )


@pytest.mark.parametrize(
    ("limits", "bound", "message"),
    [
        (Budget(calls=0), Bound(calls=1), "needs 1 calls or more, and 0 are left. Raise its calls"),
        (Budget(tool_calls=0), Bound(tool_calls=1), "needs 1 tool calls or more, and 0 are left"),
        (
            Budget(cost=Decimal("0.5")),
            Bound(input_tokens=10**6, price=Price(input=Decimal(2))),
            "needs 2.000000000000 USD or more, and 0.5 are left. Raise its cost",
        ),
    ],
)
async def test_a_refusal_names_the_dimension_that_lacks(
    limits: Budget, bound: Bound, message: str
) -> None:
    with pytest.raises(BudgetExhausted, match=message) as refusal:
        await Ledger(limits).reserve("call", bound)
    assert getattr(limits, refusal.value.dimension) is not None


async def test_a_refusal_names_the_account_that_lacks_and_its_limits() -> None:
    ledger = Ledger(Budget(tokens=5), key="run")
    with pytest.raises(BudgetExhausted, match=r"the budget \(tokens=5\)") as refusal:
        await ledger.child("a", Budget(tokens=50)).reserve("call", tokens(10), least=10)
    assert refusal.value.account == "run"


# ---- time


async def test_a_deadline_ends_the_waiting() -> None:
    ledger = Ledger(Budget(tokens=100, seconds=0.05))
    await ledger.reserve("holder", tokens(100))
    with pytest.raises(BudgetExhausted, match="the time is up") as refusal:
        await asyncio.wait_for(ledger.reserve("waiter", tokens(100)), 30)
    assert refusal.value.dimension == "seconds"


async def test_who_gave_up_at_the_deadline_no_longer_stands_in_line() -> None:
    ledger = Ledger(Budget(tokens=100))
    hurried = ledger.child("hurried", Budget(seconds=0.05))
    await ledger.reserve("holder", tokens(60))
    with pytest.raises(BudgetExhausted):
        await asyncio.wait_for(hurried.reserve("waiter", tokens(100)), 30)
    assert (await asyncio.wait_for(ledger.reserve("next", tokens(40)), 10)).bound == tokens(40)


async def test_nothing_is_granted_once_the_time_is_up() -> None:
    now = 0.0
    ledger = Ledger(Budget(tokens=100, seconds=10), clock=lambda: now)
    hold = await ledger.reserve("holder", tokens(100))
    waiter = await started(ledger.reserve("waiter", tokens(100)))
    now = 10.0
    ledger.settle(hold, used(0))
    with pytest.raises(BudgetExhausted, match="the time is up"):
        await waiter
    with pytest.raises(BudgetExhausted, match="the time is up"):
        await ledger.reserve("late", tokens(1))
    assert ledger.held() == Amount()


async def test_a_child_is_bound_by_its_parents_deadline_and_the_refusal_names_it() -> None:
    now = 0.0
    ledger = Ledger(Budget(seconds=10), key="run", clock=lambda: now)
    child = ledger.child("a", Budget(seconds=60))
    now = 10.0
    assert child.seconds_left() == 0
    with pytest.raises(BudgetExhausted, match=r"the budget \(seconds=10.0\)") as refusal:
        await child.reserve("late", tokens(1))
    assert refusal.value.account == "run"


# ---- threads


def test_two_event_loops_in_two_threads_share_one_ledger_without_overshoot() -> None:
    ledger = Ledger(Budget(tokens=100))
    most: list[int] = []

    async def spend(thread: str, branch: int) -> None:
        for number in range(25):
            hold = await ledger.reserve(f"{thread}-{branch}-{number}", tokens(40), least=40)
            most.append(ledger.held().tokens)
            await asyncio.sleep(0)
            ledger.settle(hold, used(0))

    async def branches(thread: str) -> None:
        await asyncio.gather(*(spend(thread, branch) for branch in range(4)))

    threads = [
        threading.Thread(target=asyncio.run, args=(branches(name),), daemon=True) for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a wake-up was lost"
    assert len(ledger.journal()) == 2 * 4 * 25
    assert max(most) == 80
    assert ledger.held() == Amount()


def test_a_settle_in_one_thread_wakes_a_waiter_in_another() -> None:
    ledger = Ledger(Budget(tokens=100))
    hold = asyncio.run(ledger.reserve("holder", tokens(100)))
    granted: list[Hold] = []
    thread = threading.Thread(
        target=lambda: granted.append(asyncio.run(ledger.reserve("waiter", tokens(100)))),
        daemon=True,
    )
    thread.start()
    while not ledger._queue.waiters:
        thread.join(0.001)
    ledger.settle(hold, used(0))
    thread.join(60)
    assert granted == [Hold("waiter", tokens(100))]


def test_a_waiter_whose_event_loop_was_closed_stands_in_nobodys_way() -> None:
    ledger = Ledger(Budget(tokens=100))
    hold = asyncio.run(ledger.reserve("holder", tokens(100)))
    loop = asyncio.new_event_loop()
    lost = loop.create_task(ledger.reserve("lost", tokens(100)))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    ledger.settle(hold, used(0))
    assert asyncio.run(ledger.reserve("next", tokens(100))).bound == tokens(100)
    lost._log_destroy_pending = False  # type: ignore[attr-defined]
