"""The line of reservations that wait: one for each tree of ledgers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..errors import MullError
from .account import Bound, Dimension, Refuse, Wait
from .books import Store
from .budget import Budget


class BudgetExhausted(MullError):
    """A reservation was refused: the budget cannot pay this call, whoever gives back what."""

    def __init__(self, account: str, limits: Budget, refusal: Refuse | None = None) -> None:
        if refusal is None:
            self.dimension: Dimension = "seconds"
            lack = "the time is up"
        else:
            self.dimension = refusal.dimension
            unit = "USD" if self.dimension == "cost" else self.dimension.replace("_", " ")
            lack = f"it needs {refusal.need} {unit} or more, and {max(refusal.free, 0)} are left"
        super().__init__(
            f"the budget ({limits}) cannot pay another call: {lack}. Raise its {self.dimension}"
        )
        self.account = account
        """Key of the account that lacks it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A granted reservation. Settle it in `finally`, whatever happened to the call."""

    call_id: str
    bound: Bound
    """What was granted: its `output_tokens` may be less than asked, and goes to the backend."""


Outcome = Hold | MullError | Wait


@dataclass(slots=True, eq=False)
class Waiter:
    """One reservation that waits."""

    look: Callable[[], Outcome]
    """Tries the reservation once."""
    lineage: frozenset[str]
    """Keys of the accounts it would draw on."""
    landing: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]
    """Done when there is an outcome."""
    blocked_on: str
    """Key of the account that lacks room."""
    outcome: Hold | MullError | None = None


@dataclass(slots=True, weakref_slot=True, eq=False)
class Line:
    """The waiting reservations of one tree of ledgers, oldest first. Use it under its lock."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    waiters: list[Waiter] = field(default_factory=list)

    def ahead_of(self, lineage: frozenset[str]) -> str | None:
        """The account that an older reservation waits for and one of `lineage` would draw on."""
        return next((w.blocked_on for w in self.waiters if w.blocked_on in lineage), None)

    def wake(self) -> None:
        """Serve the line until nobody more can be granted or must be refused."""
        while self._serve():
            pass

    def _serve(self) -> bool:
        """Oldest first: nobody passes an older one that waits for the same. True after a grant."""
        granted = False
        blocked: set[str] = set()
        for waiter in list(self.waiters):
            if waiter.loop.is_closed():  # Nobody is left to take it.
                self.waiters.remove(waiter)
                continue
            if not waiter.landing and (ahead := blocked & waiter.lineage):
                waiter.blocked_on = min(ahead)
                continue
            outcome = waiter.look()
            if isinstance(outcome, Wait):
                waiter.blocked_on = outcome.account
                blocked.add(outcome.account)
                continue
            waiter.outcome = outcome
            self.waiters.remove(waiter)
            granted = granted or isinstance(outcome, Hold)
            waiter.loop.call_soon_threadsafe(_finish, waiter.future)
        return granted


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_LINES: WeakKeyDictionary[Store, WeakValueDictionary[str, Line]] = WeakKeyDictionary()
_LINES_LOCK = threading.Lock()


def line_of(store: Store, root: str) -> Line:
    """One line per tree, whoever opened it: a settle must wake the waiters of every `Ledger`."""
    with _LINES_LOCK:
        queues = _LINES.setdefault(store, WeakValueDictionary())
        return queues.setdefault(root, Line())
