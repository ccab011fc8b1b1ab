"""Progress of a batch: how far, how fast, at what price, how long still. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..budgets import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a batch stands."""

    total: int
    """Questions of the input."""
    earlier: int
    """Those that earlier starts had finished."""
    new: int = 0
    """Those that this start has finished, errors included."""
    failed: int = 0
    """Rows that are errors, of all starts."""
    seconds: float = 0.0
    """Since this start."""
    spent: Usage
    """By all starts."""

    @property
    def finished(self) -> int:
        """Questions that have a row."""
        return self.earlier + self.new

    @property
    def rate(self) -> float | None:
        """Questions a second in this start; None: not known yet."""
        return self.new / self.seconds if self.new and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last question at this rate; None: not known yet."""
        return None if self.rate is None else (self.total - self.finished) / self.rate
