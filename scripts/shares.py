"""Shares of a budget. Pure."""

from __future__ import annotations

from decimal import Decimal

from ..budgets import Budget, Usage


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


def beyond(spent: Usage, budget: Budget) -> Budget:
    """Limits that allow all of a budget on top of what is spent."""
    return Budget(
        tokens=None if budget.tokens is None else spent.total_tokens + budget.tokens,
        calls=None if budget.calls is None else spent.calls + budget.calls,
        tool_calls=None if budget.tool_calls is None else spent.tool_calls + budget.tool_calls,
        seconds=None if budget.seconds is None else spent.seconds + budget.seconds,
        cost=None if budget.cost is None else spent.cost + budget.cost,
    )
