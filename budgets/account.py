"""The arithmetic of budgets: amounts, bounds, accounts, and the decision on a reservation.

Pure: no clock, no I/O, no locks. `books.py` applies it to stored accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Literal

from .budget import Budget
from .usage import FREE, MILLION, Price, Usage

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
    """The longest the call may run; counts only where the price is per second."""

    def amount(self) -> Amount:
        """The bound in the dimensions of a budget."""
        return Amount(
            tokens=self.input_tokens + self.output_tokens,
            calls=self.calls,
            tool_calls=self.tool_calls,
            cost=self._cost(self.output_tokens),
        )

    def _cost(self, output_tokens: int) -> Decimal:
        dearest = replace(self.price, cached=None)
        if self.price.cached is not None and self.price.cached > self.price.input:
            dearest = replace(dearest, input=self.price.cached)
        return dearest.cost(self.input_tokens, output_tokens, seconds=self.seconds)

    def output_within(self, room: Room) -> int:
        """The largest output (at most the bound's own) that keeps this call within `room`.

        -1 when not even an empty output fits.
        """
        if self.calls > room.calls or self.tool_calls > room.tool_calls:
            return -1
        output = min(Decimal(self.output_tokens), room.tokens - self.input_tokens)
        if room.cost.is_finite():
            left = room.cost - self._cost(0)
            if left < 0:
                return -1
            if self.price.output:
                affordable = (left * MILLION / self.price.output).to_integral_value(ROUND_FLOOR)
                output = min(output, affordable)
                # Rounding up to the smallest unit may have made the last token too dear.
                if output >= 0 and self._cost(int(output)) > room.cost:
                    output -= 1
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
    """Held back for the final answer: only reservations made with `landing=True` may use it."""
    spent: Usage = field(default_factory=Usage)
    held: Amount = NOTHING

    def room(self, *, landing: bool, held: bool = True) -> Room:
        """What is free. `held=False`: what would be free if every holder of tokens gave all back.

        A held call or tool call is never given back: it is spent as soon as it is sent.
        """
        kept = NOTHING if landing else self.landing
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


def decide(chain: Sequence[Account], bound: Bound, *, least: int, landing: bool) -> Decision:
    """What to do with a reservation that draws on every account of `chain`.

    Granted in full where it fits. Otherwise, while a holder may still give enough back to do
    better, it waits; when nobody can, it is clipped to what is left (an output of `least` tokens
    or more) or refused.
    """
    ever = bound.output_tokens
    least = min(least, ever)
    for account in chain:
        room = account.room(landing=landing, held=False)
        fits = bound.output_within(room)
        if fits < least:
            return Refuse(account.key, *room.lacking(bound, least))
        ever = min(ever, fits)
    for account in chain:
        if bound.output_within(account.room(landing=landing)) < ever:
            return Wait(account.key)
    return Grant(bound if ever == bound.output_tokens else replace(bound, output_tokens=ever))
