"""When to try again, and after how long. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .errors import BackendError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter (Brooker, 2015), led by the backend's Retry-After."""

    attempts: int = 4
    """Attempts in all, the first included."""
    base: float = 0.25
    """Seconds that the first pause is at most."""
    longest: float = 20.0
    """Seconds that a pause is at most, unless the backend asks for more."""

    def pause(self, attempt: int, error: BackendError, rng: random.Random) -> float | None:
        """Seconds before the attempt after number `attempt` (from 1); None: give up."""
        if not error.retryable or attempt >= self.attempts:
            return None
        asked: float | None = getattr(error, "retry_after", None)
        jittered = rng.uniform(0, min(self.longest, self.base * 2 ** (attempt - 1)))
        return jittered if asked is None else asked + jittered
