"""Budget: what a run may spend at most."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any

from ..errors import WrongUsage
from .usage import plain

LARGEST = 10**15
"""No limit reaches this: below it, costs are exact to 1e-12 in `Decimal`'s 28 digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Hard limits of a run. `None` means no limit in that dimension; 0 allows nothing.

    Raises `WrongUsage` when a limit is negative or not a number.
    """

    tokens: int | None = None
    """Input + output tokens of all model calls, reasoning tokens included."""
    calls: int | None = None
    """Model calls; every retry is one."""
    tool_calls: int | None = None
    """Calls of tools."""
    seconds: float | None = None
    """Wall-clock seconds from the start of the run; enforced by cancellation."""
    cost: Decimal | None = None
    """US dollars, from the model's `Price`. Without a price every call costs 0."""

    def __post_init__(self) -> None:
        for name in ("tokens", "calls", "tool_calls"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        object.__setattr__(self, "seconds", _real("seconds", self.seconds, float))
        object.__setattr__(self, "cost", _real("cost", self.cost, _decimal))

    @classmethod
    def parse(cls, text: str) -> Budget:
        """A budget from `"tokens=8000,seconds=60"`. Raises `WrongUsage` on anything else."""
        known = [field.name for field in fields(cls)]
        limits: dict[str, Any] = {}
        for part in text.split(","):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or name not in known or name in limits:
                raise WrongUsage(
                    f"budget {text!r}: {part.strip()!r} is not one of "
                    f"{', '.join(f'{k}=N' for k in known)}, each at most once"
                )
            limits[name] = value
        return cls(**limits)

    def merged(self, other: Budget) -> Budget:
        """This budget with the limits that `other` names in place of its own."""
        return Budget(**{**_given(self), **_given(other)})

    def within(self, other: Budget) -> Budget:
        """The tighter of the two limits, in each dimension."""
        mine, theirs = _given(self), _given(other)
        tighter = {name: min(mine[name], theirs[name]) for name in mine.keys() & theirs.keys()}
        return Budget(**{**mine, **theirs, **tighter})

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: cost as a string, `None` for no limit."""
        return asdict(self) | {"cost": None if self.cost is None else plain(self.cost)}

    def __str__(self) -> str:
        return ",".join(f"{k}={v}" for k, v in _given(self).items()) or "unlimited"


def _given(budget: Budget) -> dict[str, Any]:
    return {f.name: v for f in fields(budget) if (v := getattr(budget, f.name)) is not None}


def _whole(name: str, value: Any) -> int | None:
    number = _real(name, value, _decimal)
    if number is None:
        return None
    if number != int(number):
        raise WrongUsage(f"budget {name}={value}: give a whole number")
    return int(number)


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


def _real(name: str, value: Any, kind: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool):
        raise WrongUsage(f"budget {name}={value}: give a number")
    try:
        number = kind(value)
        within = 0 <= number < LARGEST
    except (ValueError, TypeError, ArithmeticError):
        raise WrongUsage(f"budget {name}={value}: give a number") from None
    if not within:
        raise WrongUsage(
            f"budget {name}={value}: give a finite number that is not negative "
            f"and below {LARGEST:.0e}"
        )
    return number
