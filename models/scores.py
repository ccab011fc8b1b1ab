"""Scores: what a reward server's answer says. Pure; every reader raises `ValueError`."""

from __future__ import annotations

import math
from typing import Any


def listed(reply: Any, many: int) -> list[float]:
    """The scores of `many` answers, in their order, from `/score` or `/rerank`.

    vLLM has them under `data`, Jina, Cohere and llama.cpp under `results`, SGLang bare.
    """
    items = reply
    if isinstance(reply, dict):
        items = reply["data"] if "data" in reply else reply.get("results")
    if not isinstance(items, list) or len(items) != many:
        raise ValueError(f"not a list of {many}")
    values: dict[int, float] = {}
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise ValueError("a score is no object")
        index = item.get("index", place)
        if type(index) is not int or not 0 <= index < many or index in values:
            raise ValueError(f"index {index!r:.40} of {many}")
        values[index] = _number(item.get("score", item.get("relevance_score")))
    return [values[index] for index in range(many)]


def last(reply: Any, positive: int) -> float:
    """The reward of a whole answer from `/pooling`: the value at its end."""
    data = _pooled(reply)
    end = data[-1] if data else None
    return _number(_label(end if isinstance(end, list) else data, positive))


def by_step(reply: Any, positive: int, many: int) -> list[float]:
    """The value at each of `many` step tags, from `/pooling` of a process reward model."""
    data = _pooled(reply)
    if len(data) != many:
        raise ValueError(f"{len(data)} values for {many} steps: is the step_tag right?")
    return [_number(_label(row, positive) if isinstance(row, list) else row) for row in data]


def prompt_tokens(reply: Any) -> int | None:
    """What the server says it has read; None where it does not say."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    for name in ("prompt_tokens", "total_tokens"):
        count = usage.get(name) if isinstance(usage, dict) else None
        if type(count) is int and count >= 0:
            return count
    return None


def logistic(value: float) -> float:
    """1 / (1 + e^-value), for any value."""
    return 0.5 * (1 + math.tanh(value / 2))


def _pooled(reply: Any) -> list[Any]:
    """The output for the one conversation that was sent."""
    items = reply.get("data") if isinstance(reply, dict) else None
    item = items[0] if isinstance(items, list) and len(items) == 1 else None
    data = item.get("data") if isinstance(item, dict) else None
    if not isinstance(data, list):
        raise ValueError("no list of values for the one conversation asked about")
    return data


def _label(row: list[Any], positive: int) -> Any:
    if not -len(row) <= positive < len(row):
        raise ValueError(f"{len(row)} labels where number {positive} is to mean good")
    return row[positive]


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"a score is {type(value).__name__}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("a score is not finite")
    return number
