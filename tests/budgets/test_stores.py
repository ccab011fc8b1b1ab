"""What every store of books must do, and what a file must do across processes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest

from mull.budgets import (
    Amount,
    Bound,
    Budget,
    BudgetExhausted,
    CallKnown,
    Entry,
    Hold,
    Ledger,
    MemoryStore,
    Price,
    SQLiteStore,
    Store,
    Usage,
)
from mull.budgets import ledger as ledger_module
from mull.errors import StorageFailed, WrongUsage

CALL = Bound(
    input_tokens=10, output_tokens=20, calls=1, price=Price(input=Decimal(1), output=Decimal(2))
)
HELD = Amount(tokens=30, calls=1, cost=Decimal("0.00005"))


class World:
    """Owners that may die, and a clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.dead: set[str] = set()
        self.now = 0.0

    def open(self, owner: str, budget: Budget | None = None) -> Ledger:
        return Ledger(
            budget,
            key="run",
            store=self.store,
            owner=owner,
            alive=lambda name: name not in self.dead,
            clock=lambda: self.now,
        )


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield World(MemoryStore())
    else:
        with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
            yield World(store)


# ---- both stores


async def test_an_open_id_is_known_to_everyone_and_counted_once(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    await ledger.reserve("call", CALL)
    for owner in (ledger, world.open("b")):
        with pytest.raises(CallKnown, match="already open"):
            await owner.reserve("call", CALL)
    assert ledger.held() == HELD


async def test_two_children_may_use_the_same_id(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    for name in ("one", "two"):
        await ledger.child(name).reserve("call", CALL)
    assert [entry.call_id for entry in ledger.journal()] == ["one/call", "two/call"]
    assert ledger.held() == HELD + HELD


async def test_a_settled_id_is_known_to_everyone(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    ledger.settle(await ledger.reserve("call", CALL), Usage(input_tokens=10))
    for owner in (ledger, world.open("b")):
        with pytest.raises(CallKnown, match="already settled"):
            await owner.reserve("call", CALL)


async def test_a_second_settle_changes_nothing_and_returns_what_was_charged(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    hold = await ledger.reserve("call", CALL)
    first = ledger.settle(hold, Usage(calls=1, input_tokens=10, output_tokens=5))
    assert ledger.settle(hold, Usage(calls=1, input_tokens=10, output_tokens=20)) == first
    assert ledger.spent().total_tokens == 15


async def test_a_release_charges_nothing_and_the_id_stays_used(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    ledger.release(await ledger.reserve("call", CALL))
    assert (ledger.spent(), ledger.held()) == (Usage(), Amount())
    with pytest.raises(CallKnown):
        await ledger.reserve("call", CALL)


async def test_usage_above_the_bound_is_cut_and_the_excess_written_down(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    hold = await ledger.reserve("call", CALL)
    entry = ledger.settle(
        hold,
        Usage(
            calls=2,
            tool_calls=1,
            input_tokens=12,
            output_tokens=50,
            reasoning_tokens=45,
            cached_tokens=12,
            wasted_tokens=62,
            cost=Decimal(1),
        ),
    )
    assert entry.excess_tokens == 62 - 30
    assert entry.usage == Usage(
        calls=1,
        input_tokens=12,
        output_tokens=18,
        reasoning_tokens=18,
        cached_tokens=12,
        wasted_tokens=30,
        cost=HELD.cost,
    )
    assert ledger.spent() == entry.usage


async def test_opening_sweeps_a_dead_owners_calls_at_their_bound_as_wasted(world: World) -> None:
    await world.open("a", Budget(tokens=100)).reserve("call", CALL)
    world.dead.add("a")
    heir = world.open("b")
    assert heir.held() == Amount()
    (entry,) = heir.journal()
    assert (entry.state, entry.owner) == ("swept", "a")
    assert entry.usage == heir.spent()
    assert entry.usage == Usage(
        calls=1, input_tokens=10, output_tokens=20, wasted_tokens=30, cost=HELD.cost
    )


@pytest.mark.parametrize(("gone", "counted"), [(3.0, 3.0), (600.0, 7.5)])
async def test_a_swept_call_counts_as_having_run_since_it_began_at_most_as_long_as_it_may(
    world: World, monkeypatch: pytest.MonkeyPatch, gone: float, counted: float
) -> None:
    wall = SimpleNamespace(time=lambda: 1000.0)
    monkeypatch.setattr(ledger_module, "time", wall)
    ledger = world.open("a", Budget(seconds=60))
    world.now = 2.0
    await ledger.reserve("call", Bound(calls=1, seconds=7.5))
    world.dead.add("a")
    wall.time = lambda: 1000.0 + gone
    assert world.open("b").elapsed() == 2.0 + counted


async def test_a_sweep_leaves_the_calls_of_the_living_open(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    await ledger.reserve("call", CALL)
    world.dead.add("b")
    assert world.open("c").sweep() == []
    assert ledger.held() == HELD


async def test_a_settle_after_the_sweep_changes_nothing(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100))
    hold = await ledger.reserve("call", CALL)
    world.dead.add("a")
    (swept,) = world.open("b").journal()
    assert ledger.settle(hold, Usage(calls=1, input_tokens=1)) == swept
    assert ledger.spent().total_tokens == 30


async def test_the_journal_is_in_the_order_of_reserving_whatever_was_settled_first(
    world: World,
) -> None:
    ledger = world.open("a")
    holds = [await ledger.reserve(name, CALL) for name in ("one", "two", "three")]
    ledger.settle(holds[2], Usage())
    ledger.settle(holds[0], Usage())
    assert [entry.call_id for entry in ledger.journal()] == ["one", "two", "three"]


async def test_what_is_read_back_is_what_was_written(world: World) -> None:
    ledger = world.open("a", Budget(tokens=100, seconds=9.5, cost=Decimal("0.1")))
    child = ledger.child("b", Budget(calls=3), landing=Amount(tokens=5, cost=Decimal("0.01")))
    price = Price(input=Decimal("0.15"), cached=Decimal("0.075"), second=Decimal("0.001"))
    bound = Bound(input_tokens=1, output_tokens=2, calls=1, price=price, seconds=0.5)
    await child.reserve("call", bound)
    (entry,) = ledger.journal()
    assert entry == Entry(
        root="run", call_id="b/call", account="run/b", owner="a", bound=bound, since=entry.since
    )
    with world.store.transaction() as books:
        account = books.account("run/b")
    assert account is not None
    assert (account.parent, account.limits) == ("run", Budget(calls=3))
    assert account.landing == Amount(tokens=5, cost=Decimal("0.01"))
    assert account.held == bound.amount()


async def test_reopening_without_limits_keeps_those_written_down(world: World) -> None:
    world.open("a", Budget(tokens=100, cost=Decimal("0.5")))
    assert world.open("b").budget == Budget(tokens=100, cost=Decimal("0.5"))


def test_a_key_cannot_be_both_a_run_and_a_child_of_another(world: World) -> None:
    Ledger(Budget(tokens=10), key="run", store=world.store).child("a")
    with pytest.raises(WrongUsage, match="another parent"):
        Ledger(Budget(tokens=10), key="run/a", store=world.store)


# ---- a file


async def test_how_long_it_ran_is_written_down_when_a_call_begins(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
        world = World(store)
        ledger = world.open("a", Budget(seconds=10))
        world.now = 4.0
        await ledger.reserve("call", CALL)
        world.dead.add("a")
        assert world.open("b").seconds_left() == 6.0


async def test_a_reopened_file_goes_on_with_what_was_spent_and_how_long_it_ran(
    tmp_path: Path,
) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
        world = World(store)
        ledger = world.open("a", Budget(tokens=100, seconds=10))
        hold = await ledger.reserve("call", CALL)
        world.now = 4.0
        ledger.settle(hold, Usage(calls=1, input_tokens=10, output_tokens=5))
    with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
        world = World(store)
        world.now = 1000.0  # another machine start, a pause: neither counts
        ledger = world.open("b")
        assert ledger.spent() == Usage(calls=1, input_tokens=10, output_tokens=5, seconds=4.0)
        assert ledger.left() == Budget(tokens=85, seconds=6.0)


def test_a_failed_transaction_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
        World(store).open("a", Budget(tokens=1))

        def fail() -> None:
            with store.transaction() as books:
                books.put_entry(
                    Entry(root="run", call_id="x", account="run", owner="a", bound=CALL)
                )
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert World(store).open("a").journal() == []


def test_a_full_disk_is_reported_and_the_store_works_on_once_there_is_room(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
        ledger = World(store).open("a", Budget(tokens=1))
        store._file.execute("PRAGMA max_page_count=8")

        def fill() -> None:
            with store.transaction() as books:
                for number in range(10_000):
                    books.put_entry(
                        Entry(root="run", call_id=str(number), account="run", owner="a", bound=CALL)
                    )

        with pytest.raises(StorageFailed, match=r"ledger\.db: .*full\. See that there is room"):
            fill()
        store._file.execute("PRAGMA max_page_count=100000")
        assert ledger.journal() == []


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    def open_at_once(path: Path, together: Barrier) -> str:
        together.wait()
        with closing(SQLiteStore(path)) as store:
            return World(store).open("a").key

    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            together = Barrier(8)
            path = tmp_path / f"{number}.db"
            opened = pool.map(lambda _, p=path, b=together: open_at_once(p, b), range(8))
            assert list(opened) == ["run"] * 8


# ---- several processes on one file

SPENDER = """
import asyncio, json, random, sys
from mull.budgets import Bound, BudgetExhausted, Ledger, SQLiteStore, Usage

path, name, tries = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = SQLiteStore(path)
ledger = Ledger(key="run", store=store)
rng = random.Random(name)
report = {"tokens": 0, "calls": 0, "refused": 0, "most": 0}


async def main():
    for number in range(tries):
        bound = Bound(input_tokens=2, output_tokens=18, calls=1)
        try:
            hold = await ledger.reserve(f"{name}-{number}", bound)
        except BudgetExhausted:
            report["refused"] += 1
            continue
        with store.transaction() as books:
            account = books.account("run")
        report["most"] = max(report["most"], account.spent.total_tokens + account.held.tokens)
        output = min(rng.randrange(4), hold.bound.output_tokens)
        ledger.settle(hold, Usage(calls=1, input_tokens=2, output_tokens=output))
        report["tokens"] += 2 + output
        report["calls"] += 1


asyncio.run(main())
store.close()
print(json.dumps(report))
"""


@pytest.mark.parametrize(
    "limits",
    [Budget(tokens=1500), Budget(tokens=10_000, calls=700)],
    ids=["tokens-run-out", "calls-run-out"],
)
def test_four_processes_on_one_file_never_overshoot_and_lose_nothing(
    tmp_path: Path, limits: Budget
) -> None:
    path, tries = tmp_path / "ledger.db", 200
    with closing(SQLiteStore(path)) as store:
        ledger = Ledger(limits, key="run", store=store)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", SPENDER, str(path), f"p{n}", str(tries)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(4)
        ]
        reports = [json.loads(process.communicate(timeout=100)[0]) for process in processes]
        assert limits.tokens is not None
        assert max(report["most"] for report in reports) <= limits.tokens
        assert sum(report["calls"] + report["refused"] for report in reports) == 4 * tries
        spent = ledger.spent()
        assert spent.total_tokens == sum(report["tokens"] for report in reports)
        assert spent.calls == sum(report["calls"] for report in reports) == len(ledger.journal())
        assert ledger.held() == Amount()
        if limits.calls is not None:
            assert spent.calls == limits.calls
        else:
            assert limits.tokens - 2 < spent.total_tokens <= limits.tokens


HOLDER = """
import asyncio, sys, time
from mull.budgets import Bound, Ledger, SQLiteStore

ledger = Ledger(key="run", store=SQLiteStore(sys.argv[1]))
asyncio.run(ledger.reserve("lost", Bound(input_tokens=10, output_tokens=50, calls=1)))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
        yield store


@pytest.fixture
def holder(file: SQLiteStore) -> Iterator[subprocess.Popen[str]]:
    """A process that holds 60 of the 100 tokens of "run"."""
    Ledger(Budget(tokens=100), key="run", store=file)
    command = [sys.executable, "-c", HOLDER, str(file.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_living_process_keeps_what_it_holds(
    file: SQLiteStore, holder: subprocess.Popen[str]
) -> None:
    assert Ledger(key="run", store=file).held() == Amount(tokens=60, calls=1)


def test_the_next_opener_sweeps_what_a_killed_process_held(
    file: SQLiteStore, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    ledger = Ledger(key="run", store=file)
    assert ledger.held() == Amount()
    assert ledger.spent().total_tokens == 60
    assert [entry.state for entry in ledger.journal()] == ["swept"]


async def test_a_waiter_in_another_process_sweeps_what_a_killed_process_held(
    file: SQLiteStore, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "SWEEP_AGAIN", 0.05)
    ledger = Ledger(key="run", store=file)
    waiter = asyncio.create_task(ledger.reserve("mine", Bound(output_tokens=70)))
    await asyncio.sleep(0.3)
    assert not waiter.done()
    holder.send_signal(signal.SIGKILL)  # not reaped: a zombie is as dead
    hold = await asyncio.wait_for(waiter, 30)
    assert hold == Hold("mine", Bound(output_tokens=40))
    assert ledger.spent().total_tokens == 60


async def test_a_waiter_that_a_dead_process_left_too_little_is_refused(
    file: SQLiteStore, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "SWEEP_AGAIN", 0.05)
    ledger = Ledger(key="run", store=file)
    waiter = asyncio.create_task(ledger.reserve("mine", Bound(output_tokens=70), least=41))
    await asyncio.sleep(0.3)
    assert not waiter.done()
    holder.send_signal(signal.SIGKILL)
    with pytest.raises(BudgetExhausted, match="needs 41 tokens or more, and 40 are left"):
        await asyncio.wait_for(waiter, 30)
