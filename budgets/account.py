"""The arithmetic of budgets: amounts, bounds, accounts, and the decision on a reservation.

Pure: no clock, no I/O, no locks. `books.py` applies it to stored accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Literal

from .budget import Budget
from .usage import FREE, MILLION, SMALLEST, Price, Usage

Dimension = Literal["tokens", "calls", "tool_calls", "seconds", "cost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A quantity of every countable dimension. (Seconds are a deadline, not a quantity.)"""

    tokens: int = 0
    calls: int = 0
    tool_calls: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            tokens=self.tokens + other.tokens,
            calls=self.calls + other.calls,
            tool_calls=self.tool_calls + other.tool_calls,
            cost=self.cost + other.cost,
        )

    def __or__(self, other: Amount) -> Amount:
        """The larger of the two, in each dimension."""
        return Amount(
            tokens=max(self.tokens, other.tokens),
            calls=max(self.calls, other.calls),
            tool_calls=max(self.tool_calls, other.tool_calls),
            cost=max(self.cost, other.cost),
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            tokens=self.tokens - other.tokens,
            calls=self.calls - other.calls,
            tool_calls=self.tool_calls - other.tool_calls,
            cost=self.cost - other.cost,
        )


NOTHING = Amount()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that one call can spend."""

    input_tokens: int = 0
    """An upper bound of the prompt's tokens."""
    output_tokens: int = 0
    """The maximum sent to the backend."""
    calls: int = 0
    tool_calls: int = 0
    price: Price = FREE
    seconds: float = 0.0
    """The longest the call may run."""
    called: str = ""
    """The model's or the tool's name; for the accounts only."""

    def amount(self) -> Amount:
        """The bound in the dimensions of a budget."""
        return Amount(
            tokens=self.input_tokens + self.output_tokens,
            calls=self.calls,
            tool_calls=self.tool_calls,
            cost=self._cost(self.output_tokens),
        )

    def _cost(self, output_tokens: int) -> Decimal:
        return self._dearest().cost(self.input_tokens, output_tokens, seconds=self.seconds)

    def _dearest(self) -> Price:
        """The price with every prompt token at the higher of its two rates."""
        price = self.price
        if price.cached is None:
            return price
        return replace(price, input=max(price.input, price.cached), cached=None)

    def output_within(self, room: Room) -> int:
        """The largest output (at most the bound's own) that keeps this call within `room`.

        -1 when not even an empty output fits.
        """
        if self.calls > room.calls or self.tool_calls > room.tool_calls:
            return -1
        output = min(Decimal(self.output_tokens), room.tokens - self.input_tokens)
        if room.cost.is_finite():
            # A cost is rounded up, so what counts of the room is whole units.
            left = room.cost.quantize(SMALLEST, ROUND_FLOOR)
            left -= self._dearest().exact(self.input_tokens, 0, seconds=self.seconds)
            if left < 0:
                return -1
            if self.price.output:
                affordable = (left * MILLION / self.price.output).to_integral_value(ROUND_FLOOR)
                output = min(output, affordable)
        return int(output) if output >= 0 else -1

    def as_usage(self) -> Usage:
        """The bound as if all of it had been spent, to no use."""
        return Usage(
            calls=self.calls,
            tool_calls=self.tool_calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            wasted_tokens=self.input_tokens + self.output_tokens,
            cost=self._cost(self.output_tokens),
        )


@dataclass(frozen=True, slots=True)
class Room:
    """What is free in each dimension; `Infinity` where there is no limit."""

    tokens: Decimal
    calls: Decimal
    tool_calls: Decimal
    cost: Decimal

    def lacking(self, bound: Bound, least: int) -> tuple[Dimension, Decimal, Decimal]:
        """Where `bound` with an output of `least` does not fit: dimension, need, what is free."""
        need = replace(bound, output_tokens=least).amount()
        dimensions: tuple[Dimension, ...] = ("calls", "tool_calls", "tokens", "cost")
        for dimension in dimensions:
            wanted, free = Decimal(getattr(need, dimension)), getattr(self, dimension)
            if wanted > free:
                return dimension, wanted, free
        raise AssertionError("a call that fits lacks nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account's books: a run, a branch of it, or a tenant."""

    key: str
    parent: str | None = None
    limits: Budget = field(default_factory=Budget)
    landing: Amount = NOTHING
    """Held back for the final answer: only reservations made with `landing=True` may use it.

    What a child holds back, its other reservations leave free in its parents too.
    """
    spent: Usage = field(default_factory=Usage)
    held: Amount = NOTHING

    def room(self, *, kept: Amount = NOTHING, held: bool = True) -> Room:
        """What is free beside `kept`.

        `held=False`: what would be free if every holder of tokens gave all back. A held call or
        tool call is never given back: it is spent as soon as it is sent.
        """
        spent, hold, limits = self.spent, self.held, self.limits
        soft = 1 if held else 0
        return Room(
            _free(limits.tokens, spent.total_tokens + soft * hold.tokens + kept.tokens),
            _free(limits.calls, spent.calls + hold.calls + kept.calls),
            _free(limits.tool_calls, spent.tool_calls + hold.tool_calls + kept.tool_calls),
            _free(limits.cost, spent.cost + soft * hold.cost + kept.cost),
        )


INFINITY = Decimal("Infinity")


def _free(limit: int | Decimal | None, used: int | Decimal) -> Decimal:
    return INFINITY if limit is None else Decimal(limit - used)


@dataclass(frozen=True, slots=True)
class Grant:
    """Go ahead, with this bound: the asked one, or one clipped to a smaller output."""

    bound: Bound


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; what other calls hold may come free. `account` is the one that lacks room."""

    account: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Never: even if every holder gave all back, `dimension` of `account` would not suffice."""

    account: str
    dimension: Dimension
    need: Decimal
    free: Decimal


Decision = Grant | Wait | Refuse


def kept_back(chain: Sequence[Account], *, landing: bool) -> Iterator[tuple[Account, Amount]]:
    """Each account, leaf first, and what a reservation must leave free in it."""
    kept = NOTHING
    for account in chain:
        kept = NOTHING if landing else kept | account.landing
        yield account, kept


def decide(chain: Sequence[Account], bound: Bound, *, least: int, landing: bool) -> Decision:
    """What to do with a reservation that draws on every account of `chain`.

    Granted in full where it fits. Otherwise, while a holder may still give enough back to do
    better, it waits; when nobody can, it is clipped to what is left (an output of `least` tokens
    or more) or refused.
    """
    ever = bound.output_tokens
    least = min(least, ever)
    for account, kept in kept_back(chain, landing=landing):
        room = account.room(kept=kept, held=False)
        fits = bound.output_within(room)
        if fits < least:
            return Refuse(account.key, *room.lacking(bound, least))
        ever = min(ever, fits)
    for account, kept in kept_back(chain, landing=landing):
        if bound.output_within(account.room(kept=kept)) < ever:
            return Wait(account.key)
    return Grant(bound if ever == bound.output_tokens else replace(bound, output_tokens=ever))
