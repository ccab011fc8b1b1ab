"""What a depth would likely cost, before it runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ..budgets import Budget, Price
from ..graphs import Depth
from ..models.typical import Typical


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A guess from the replies seen so far; the budget, not this, is what holds."""

    calls: int
    tokens: int
    seconds: float
    """0 until a reply has been seen."""
    cost: Decimal
    """US dollars."""
    fits: bool
    """Whether the budget would likely suffice."""


def estimate(
    depth: Depth,
    prompt_bytes: int,
    *,
    tools: bool,
    typical: Typical,
    price: Price,
    budget: Budget,
) -> Estimate:
    """The likely cost of `depth`: each further call reads what the earlier ones wrote.

    Args:
        prompt_bytes: Size of the first prompt in UTF-8 bytes, tools and template included.
    """
    calls = depth.likely_calls(tools)
    prompt, output = prompt_bytes / typical.bytes_per_token, typical.output_tokens
    inputs = sum(prompt + call * output for call in range(calls))
    outputs = calls * output
    seconds = calls * typical.seconds
    cost = price.cost(round(inputs), round(outputs), seconds=seconds)
    tokens = round(inputs + outputs)
    fits = all(
        limit is None or need <= limit
        for need, limit in (
            (tokens, budget.tokens),
            (calls, budget.calls),
            (seconds, budget.seconds),
            (cost, budget.cost),
        )
    )
    return Estimate(calls=calls, tokens=tokens, seconds=round(seconds, 3), cost=cost, fits=fits)
