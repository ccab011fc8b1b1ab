"""The books: accounts and a journal of calls, in a store, changed one transaction at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, Protocol

from ..errors import MullError
from .account import Account, Bound, Decision, Grant, decide
from .usage import Usage

State = Literal["open", "settled", "swept"]
"""Being made; ended; cut off, or left open by an owner that died: what came of it is not known."""

NO_USAGE = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal: a call that was paid for, or is being made."""

    root: str
    """Key of the root account."""
    call_id: str
    """Unique below the root: a child's ids begin with the child's path."""
    account: str
    owner: str
    """The process that makes the call."""
    state: State = "open"
    bound: Bound
    """What is (or was) held for it."""
    since: float = 0.0
    """When it was reserved, in seconds since the epoch."""
    usage: Usage = NO_USAGE
    """What was charged once it is no longer open: never above the bound."""
    excess_tokens: int = 0
    """Tokens a backend reported beyond the bound it had agreed to. Never charged."""


class Books(Protocol):
    """An open transaction on a store. Keys are account keys; a call id is unique below a root."""

    def account(self, key: str) -> Account | None: ...
    def put_account(self, account: Account) -> None: ...
    def entry(self, root: str, call_id: str) -> Entry | None: ...
    def put_entry(self, entry: Entry) -> None: ...
    def entries(self, root: str, state: State | None = None) -> Iterable[Entry]:
        """Journal lines in the order they were opened; all of them, or those in `state`."""


class Store(Protocol):
    """Where the books are kept. Transactions are serialised across all users of the store."""

    @property
    def shared(self) -> bool:
        """True when other processes may change the books: waiting reservations must look again."""

    def transaction(self) -> AbstractContextManager[Books]:
        """All or nothing. Blocks until earlier transactions have ended."""

    def reading(self) -> AbstractContextManager[Books]:
        """The books as they stand, to look at only. Waits for nobody."""


class CallKnown(MullError):
    """This call id was already used: its call was paid for, or is being made elsewhere."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(
            f"call {entry.call_id!r} is already {entry.state} in ledger {entry.root!r}: "
            "use the next attempt number for another try"
        )
        self.entry = entry


def chain_of(books: Books, key: str) -> list[Account]:
    """The account and its ancestors, leaf first."""
    chain: list[Account] = []
    at: str | None = key
    while at is not None:
        account = books.account(at)
        if account is None:
            raise MullError(f"ledger {at!r} is not in this store: open it first")
        chain.append(account)
        at = account.parent
    return chain


def reserve(
    books: Books,
    key: str,
    call_id: str,
    owner: str,
    bound: Bound,
    *,
    least: int,
    landing: bool,
    now: float,
) -> tuple[Decision, Sequence[Account]]:
    """Decide on a reservation and, if it is granted, write it down.

    Raises `CallKnown` for an id that is open, settled or swept: no call is made twice under it.
    """
    chain = chain_of(books, key)
    root = chain[-1].key
    known = books.entry(root, call_id)
    if known is not None:
        raise CallKnown(known)
    decision = decide(chain, bound, least=least, landing=landing)
    if isinstance(decision, Grant):
        amount = decision.bound.amount()
        for account in chain:
            books.put_account(replace(account, held=account.held + amount))
        books.put_entry(
            Entry(
                root=root,
                call_id=call_id,
                account=key,
                owner=owner,
                bound=decision.bound,
                since=now,
            )
        )
    return decision, chain


def settle(books: Books, root: str, call_id: str, usage: Usage, state: State = "settled") -> Entry:
    """Give the hold back and charge `usage`, at most the bound. A second settle changes nothing."""
    entry = books.entry(root, call_id)
    if entry is None:
        raise MullError(f"call {call_id!r} was never reserved in ledger {root!r}")
    if entry.state != "open":
        return entry
    charged, excess = _within(usage, entry.bound)
    done = replace(entry, state=state, usage=charged, excess_tokens=excess)
    amount = entry.bound.amount()
    for account in chain_of(books, entry.account):
        books.put_account(
            replace(account, held=account.held - amount, spent=account.spent + charged)
        )
    books.put_entry(done)
    return done


def sweep(books: Books, root: str, alive: Callable[[str], bool], now: float) -> list[Entry]:
    """Settle, at its bound, every open call whose owner is no longer alive.

    The time since such a call began, at most as long as it may run, counts as spent as well: when
    its owner died cannot be known.
    """
    verdicts: dict[str, bool] = {}
    swept: list[Entry] = []
    lost: dict[str, float] = {}
    for entry in list(books.entries(root, "open")):
        if entry.owner not in verdicts:
            verdicts[entry.owner] = alive(entry.owner)
        if verdicts[entry.owner]:
            continue
        swept.append(settle(books, root, entry.call_id, entry.bound.as_usage(), state="swept"))
        ran = min(max(0.0, now - entry.since), entry.bound.seconds)
        for account in chain_of(books, entry.account):
            lost[account.key] = max(ran, lost.get(account.key, 0.0))
    for key, seconds in lost.items():
        account = chain_of(books, key)[0]
        spent = replace(account.spent, seconds=account.spent.seconds + seconds)
        books.put_account(replace(account, spent=spent))
    return swept


def _within(usage: Usage, bound: Bound) -> tuple[Usage, int]:
    """`usage` cut to what was agreed, and the tokens cut off.

    A backend that reports more than it was allowed either ignored the limit (the client cuts such
    a stream) or lies; neither may break the budget of the run, nor of its tenant.
    """
    most = bound.input_tokens + bound.output_tokens
    input_tokens = min(max(0, usage.input_tokens), most)
    output_tokens = min(max(0, usage.output_tokens), most - input_tokens)
    excess = max(0, usage.total_tokens - input_tokens - output_tokens)
    return replace(
        usage,
        calls=min(max(0, usage.calls), bound.calls),
        tool_calls=min(max(0, usage.tool_calls), bound.tool_calls),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=min(usage.reasoning_tokens, output_tokens),
        cached_tokens=min(usage.cached_tokens, input_tokens),
        wasted_tokens=min(usage.wasted_tokens, input_tokens + output_tokens),
        seconds=0.0,
        cost=min(max(Decimal(0), usage.cost), bound.amount().cost),
    ), excess
