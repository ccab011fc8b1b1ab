"""Usage: what was spent, and Price: what it cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from ..errors import WrongUsage

MILLION = Decimal(1_000_000)
SMALLEST = Decimal("1e-12")
"""Costs are rounded up to this many US dollars, so that sums stay exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a call, a branch or a run has spent."""

    calls: int = 0
    """Model calls sent, retries included."""
    tool_calls: int = 0
    input_tokens: int = 0
    """Prompt tokens, cached ones included."""
    output_tokens: int = 0
    """Generated tokens, reasoning included."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` that the backend reports as reasoning."""
    cached_tokens: int = 0
    """The part of `input_tokens` that the backend served from its cache."""
    wasted_tokens: int = 0
    """The part of `total_tokens` spent on calls that were cancelled or lost."""
    seconds: float = 0.0
    """Wall-clock seconds."""
    cost: Decimal = Decimal(0)
    """US dollars."""

    @property
    def total_tokens(self) -> int:
        """Input + output tokens: what `Budget.tokens` limits."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in _FIELDS})

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with `total_tokens`; cost as a string."""
        return asdict(self) | {
            "total_tokens": self.total_tokens,
            "seconds": round(self.seconds, 3),
            "cost": plain(self.cost),
        }


_FIELDS = fields(Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in US dollars. Give Decimals or strings; floats are read as written.

    Raises `WrongUsage` for a price that is negative or not a number.
    """

    input: Decimal = Decimal(0)
    """Per million input tokens."""
    output: Decimal = Decimal(0)
    """Per million output tokens."""
    cached: Decimal | None = None
    """Per million input tokens served from the backend's cache; None: as `input`."""
    second: Decimal = Decimal(0)
    """Per second that a call runs, for people who pay for the machine and not for tokens."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached", "second"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _rate(name, value))

    def cost(
        self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, seconds: float = 0
    ) -> Decimal:
        """US dollars for one call, rounded up to 1e-12."""
        exact = self.exact(
            input_tokens, output_tokens, cached_tokens=cached_tokens, seconds=seconds
        )
        return exact.quantize(SMALLEST, ROUND_CEILING)

    def exact(
        self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, seconds: float = 0
    ) -> Decimal:
        """`cost` before it is rounded up."""
        cached = self.input if self.cached is None else self.cached
        exact = (
            self.input * (input_tokens - cached_tokens)
            + cached * cached_tokens
            + self.output * output_tokens
        ) / MILLION
        if self.second:
            exact += self.second * Decimal(str(seconds))
        return exact


def _rate(name: str, value: Any) -> Decimal:
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        raise WrongUsage(f"price {name}={value}: give a number") from None
    if not (rate.is_finite() and rate >= 0):
        raise WrongUsage(f"price {name}={value}: give a finite number that is not negative")
    return rate


def plain(cost: Decimal) -> str:
    """A cost without an exponent and without zeros at its end."""
    text = f"{cost:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


FREE = Price()
"""The price of a backend that nobody pays for by the token."""
