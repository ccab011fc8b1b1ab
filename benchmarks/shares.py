"""Shares and their 95 % confidence intervals (Wilson, 1927). Pure."""

from __future__ import annotations

import math


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share."""
    z = 1.96
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half


def shown(right: int, count: int) -> str:
    """A share with its interval, in percent."""
    if not count:
        return "–"
    low, high = wilson(right, count)
    return f"{100 * right / count:.0f} ({100 * low:.0f}–{100 * high:.0f})"
