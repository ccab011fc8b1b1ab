"""Shares as the benchmarks' tables show them. Pure."""

from __future__ import annotations

from mull.cli.demo_figures import wilson


def shown(right: int, count: int) -> str:
    """A share with its 95 % interval, in percent."""
    if not count:
        return "–"
    low, high = wilson(right, count)
    return f"{100 * right / count:.0f} ({100 * low:.0f}–{100 * high:.0f})"
