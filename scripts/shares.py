"""Shares of a budget. Pure."""

from __future__ import annotations

from decimal import Decimal

from ..budgets import Budget


def part(budget: Budget, share: float | None) -> Budget:
    """A share of a budget; no share is no limit of its own."""
    if share is None:
        return Budget()
    whole = {
        name: None if limit is None else int(limit * share)
        for name, limit in (
            ("tokens", budget.tokens),
            ("calls", budget.calls),
            ("tool_calls", budget.tool_calls),
        )
    }
    seconds = None if budget.seconds is None else budget.seconds * share
    cost = None if budget.cost is None else budget.cost * Decimal(str(share))
    return Budget(**whole, seconds=seconds, cost=cost)
