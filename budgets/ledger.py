"""Ledger: the account of one run (or tenant) against a Budget. Reserve → call → settle."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Literal

from ..errors import MullError, WrongUsage
from .account import (
    NOTHING,
    Account,
    Amount,
    Bound,
    Grant,
    Refuse,
    Wait,
    kept_back,
)
from .books import Books, Entry, State, Store, chain_of, reserve, settle, sweep
from .budget import Budget
from .memory import MemoryStore
from .owners import process_alive, this_process
from .records import Record, Recorder
from .usage import Usage
from .waiting import BudgetExhausted, Hold, Line, Outcome, Waiter, line_of

LOOK_AGAIN = 0.02
"""Seconds between two looks at a store that other processes write to."""
SWEEP_AGAIN = 1.0
"""Seconds of waiting after which dead owners' reservations are looked for."""


class Ledger:
    """The one door to spending. Spent + held never exceeds a limit, in any dimension.

    A child has limits of its own and draws on its parent's as well. On a durable store, a ledger
    opened under a key that exists goes on with what is already spent there, after sweeping what
    dead processes left open. Safe across threads and event loops.

    Args:
        budget: The limits. None: those stored under `key`, else no limits.
        key: Name of the account; a random one by default.
        store: Where the books are kept; in memory by default.
        landing: Held back for reservations made with `landing=True`: the final answer.
        owner, alive: Who holds reservations here (None: this process), and how to tell whether an
            owner still lives.
        clock: Seconds, monotonic.
        recorder: Keeps what is asked and answered; None: nothing is kept.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        key: str | None = None,
        store: Store | None = None,
        landing: Amount = NOTHING,
        owner: str | None = None,
        alive: Callable[[str], bool] = process_alive,
        clock: Callable[[], float] = time.monotonic,
        recorder: Recorder | None = None,
        parent: Ledger | None = None,
    ) -> None:
        name = key or uuid.uuid4().hex
        self.key: str = name if parent is None else f"{parent.key}/{name}"
        self.parent = parent
        self.root_key: str = self.key if parent is None else parent.root_key
        above = frozenset() if parent is None else parent._lineage
        self._lineage: frozenset[str] = above | {self.key}
        self._store: Store = store or MemoryStore()
        self._owner = owner
        self._alive = alive
        self._clock = clock
        self.recorder = recorder
        self._queue: Line = line_of(self._store, self.root_key)
        with self._store.transaction() as books:
            known = books.account(self.key)
            if known is None:
                account = Account(key=self.key, parent=parent.key if parent else None)
            elif known.parent != (parent.key if parent else None):
                raise WrongUsage(
                    f"ledger {self.key!r} exists under another parent ({known.parent!r}): "
                    "choose another key"
                )
            else:
                account = known
                sweep(books, self.root_key, alive, time.time())
                account = books.account(self.key) or known
            if budget is not None:
                account = replace(account, limits=budget)
            if landing != NOTHING or known is None:
                account = replace(account, landing=landing)
            books.put_account(account)
        self.budget = account.limits
        self._started = clock() - account.spent.seconds
        if known is not None:  # swept holds and new limits may decide what others wait for
            with self._queue.lock:
                self._queue.wake()

    def child(
        self,
        name: str,
        budget: Budget | None = None,
        *,
        landing: Amount = NOTHING,
        recorder: Recorder | None = None,
    ) -> Ledger:
        """A ledger with limits of its own that draws on this one's as well.

        `recorder`: in place of this one's.
        """
        return Ledger(
            budget,
            key=name,
            store=self._store,
            landing=landing,
            owner=self._owner,
            alive=self._alive,
            clock=self._clock,
            recorder=recorder or self.recorder,
            parent=self,
        )

    async def reserve(
        self, call_id: str, bound: Bound, *, least: int = 0, landing: bool = False
    ) -> Hold:
        """Hold `bound` for a call, before it is sent.

        Waits while other calls may give back what it needs; is clipped to fewer output tokens (at
        least `least`) when no more can come free. Reservations are served in order, those with
        `landing` first.

        Args:
            call_id: Names the call in this ledger's journal; a child's own ids may be the same.

        Raises:
            BudgetExhausted: it can never be paid, or the time is up.
            CallKnown: the id was already used here.
        """
        call_id = self._below_root(call_id)
        with self._queue.lock:
            look = partial(self._look, call_id, bound, least, landing)
            # The final answer stands in no line: its slice was kept for it.
            ahead = None if landing else self._queue.ahead_of(self._lineage)
            outcome: Outcome
            if ahead is None or self._known(call_id) or self.seconds_left() == 0:
                outcome = look()
            else:
                outcome = Wait(ahead)
            if not isinstance(outcome, Wait):
                self._queue.wake()  # It may have taken the last call that an older one waits for.
                return _granted(outcome)
            loop = asyncio.get_running_loop()
            waiter = Waiter(
                look, self._lineage, landing, loop, loop.create_future(), outcome.account
            )
            self._queue.waiters.append(waiter)
        try:
            await self._wait(waiter)
        except BaseException:
            with self._queue.lock:
                if isinstance(waiter.outcome, Hold):
                    self.release(waiter.outcome)
            raise
        finally:
            with self._queue.lock:
                if waiter in self._queue.waiters:
                    self._queue.waiters.remove(waiter)
                    self._queue.wake()
        assert waiter.outcome is not None
        return _granted(waiter.outcome)

    def settle(self, hold: Hold, usage: Usage, *, ended: bool = True) -> Entry:
        """Charge what was spent (at most what was held) and give the rest back.

        A second settle of the same call changes nothing and returns what was charged.

        Args:
            ended: False for a call that was cut off: what came of it is not known.
        """
        with self._queue.lock:
            with self._store.transaction() as books:
                state: State = "settled" if ended else "swept"
                entry = settle(books, self.root_key, hold.call_id, usage, state)
                self._note_time(books)
            self._queue.wake()
        return entry

    def release(self, hold: Hold) -> Entry:
        """Give all of it back: the call was never sent."""
        return self.settle(hold, Usage())

    def knows(self, call_id: str) -> bool:
        """Whether a call of that id was reserved here before, in whatever life of the run."""
        return self._known(self._below_root(call_id))

    def recall(self, call_id: str, digest: str) -> Record | None:
        """The record of a call that an earlier life of this run made: it is not paid again."""
        if self.recorder is None:
            return None
        return self.recorder.recall(self.root_key, self._below_root(call_id), digest)

    def record(
        self,
        kind: Literal["model", "tool"],
        name: str,
        call_id: str,
        digest: str,
        asked: dict[str, Any],
        replied: dict[str, Any],
        seconds: float,
    ) -> None:
        """Keep what was asked and answered. Before the call is settled: see `Recorder.keep`."""
        if self.recorder is not None:
            record = Record(
                root=self.root_key,
                call_id=self._below_root(call_id),
                digest=digest,
                kind=kind,
                name=name,
                asked=asked,
                replied=replied,
                started=time.time() - seconds,
                seconds=seconds,
            )
            self.recorder.keep(record)

    def sweep(self) -> list[Entry]:
        """Settle, at their bounds, the open calls of owners that no longer live."""
        with self._queue.lock:
            with self._store.transaction() as books:
                swept = sweep(books, self.root_key, self._alive, time.time())
            if swept:
                self._queue.wake()
        return swept

    def spent(self) -> Usage:
        """What this account and its children have spent; seconds since the start."""
        return replace(self._account().spent, seconds=self.elapsed())

    def held(self) -> Amount:
        """What open calls hold now."""
        return self._account().held

    def left(self, *, landing: bool = True) -> Budget:
        """What is neither spent nor held, here and in every parent. None: no limit.

        `landing=False` leaves out what is held back for the final answer.
        """
        with self._store.reading() as books:
            chain = chain_of(books, self.key)
            rooms = [account.room(kept=kept) for account, kept in kept_back(chain, landing=landing)]
        tokens, calls, tool_calls, cost = (
            max(min(getattr(room, name) for room in rooms), Decimal(0))
            for name in ("tokens", "calls", "tool_calls", "cost")
        )
        return Budget(
            tokens=int(tokens) if tokens.is_finite() else None,
            calls=int(calls) if calls.is_finite() else None,
            tool_calls=int(tool_calls) if tool_calls.is_finite() else None,
            seconds=self.seconds_left(),
            cost=cost if cost.is_finite() else None,
        )

    def elapsed(self) -> float:
        """Seconds since the run began; what it ran before a resume counts, the pause does not."""
        return self._clock() - self._started

    def seconds_left(self) -> float | None:
        """Seconds until the nearest deadline, here or in a parent; never negative."""
        lefts = [] if self.parent is None else [self.parent.seconds_left()]
        if self.budget.seconds is not None:
            lefts.append(max(0.0, self.budget.seconds - self.elapsed()))
        return min((left for left in lefts if left is not None), default=None)

    def journal(self) -> list[Entry]:
        """Every call of this tree of ledgers, in the order they were reserved."""
        with self._store.reading() as books:
            return list(books.entries(self.root_key))

    @property
    def durable(self) -> bool:
        """Whether the books outlive this process."""
        return self._store.shared

    def _below_root(self, call_id: str) -> str:
        return f"{self.key.removeprefix(self.root_key)}/{call_id}".lstrip("/")

    def _account(self) -> Account:
        with self._store.reading() as books:
            return chain_of(books, self.key)[0]

    def _check_time(self) -> None:
        ledger: Ledger | None = self
        while ledger is not None:
            limits = ledger.budget
            if limits.seconds is not None and ledger.elapsed() >= limits.seconds:
                raise BudgetExhausted(ledger.key, limits)
            ledger = ledger.parent

    def _note_time(self, books: Books) -> None:
        """Write down how long the run has been going, for a resume after a crash."""
        ledger: Ledger | None = self
        while ledger is not None:
            account = books.account(ledger.key)
            if account is not None and account.spent.seconds < ledger.elapsed():
                spent = replace(account.spent, seconds=ledger.elapsed())
                books.put_account(replace(account, spent=spent))
            ledger = ledger.parent

    def _known(self, call_id: str) -> bool:
        with self._store.transaction() as books:
            return books.entry(self.root_key, call_id) is not None

    def _look(self, call_id: str, bound: Bound, least: int, landing: bool) -> Outcome:
        """One look at the books: a grant, a refusal or another error, or not yet."""
        try:
            self._check_time()
            return self._try(call_id, bound, least, landing)
        except MullError as error:
            return error

    def _try(self, call_id: str, bound: Bound, least: int, landing: bool) -> Outcome:
        with self._store.transaction() as books:
            # Asked anew each time: a forked child is another owner.
            owner = self._owner or this_process()
            decision, chain = reserve(
                books,
                self.key,
                call_id,
                owner,
                bound,
                least=least,
                landing=landing,
                now=time.time(),
            )
            if isinstance(decision, Grant):
                self._note_time(books)
        match decision:
            case Grant(granted):
                return Hold(call_id, granted)
            case Refuse(account=key):
                limits = next(account.limits for account in chain if account.key == key)
                return BudgetExhausted(key, limits, decision)
        return decision

    async def _wait(self, waiter: Waiter) -> None:
        pause = LOOK_AGAIN if self._store.shared else None
        next_sweep = self._clock() + SWEEP_AGAIN
        while waiter.outcome is None:
            left = self.seconds_left()
            patience = min((t for t in (pause, left) if t is not None), default=None)
            await asyncio.wait([waiter.future], timeout=patience)
            if waiter.outcome is None:
                self._check_time()
                with self._queue.lock:
                    self._queue.wake()
                if self._clock() >= next_sweep:
                    next_sweep = self._clock() + SWEEP_AGAIN
                    self.sweep()


def _granted(outcome: Hold | MullError) -> Hold:
    if isinstance(outcome, Hold):
        return outcome
    raise outcome
