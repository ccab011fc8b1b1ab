"""The steps of a run, as its answer tells them: in what order, and what they spent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MAIN = "main"
"""What the run's own branch is called."""


@dataclass(slots=True)
class Stretch:
    """Steps of one branch, with none of the branches above or below it in between."""

    branch: str
    steps: list[dict[str, Any]] = field(default_factory=list)


def stretches(steps: Iterable[dict[str, Any]]) -> list[Stretch]:
    """The steps by branch, in order of first step; branches side by side have a stretch each."""
    found: list[Stretch] = []
    going: dict[str, Stretch] = {}
    for step in steps:
        name = str(step.get("branch", MAIN))
        for other in [other for other in going if other != name and _related(name, other)]:
            del going[other]
        if name not in going:
            going[name] = Stretch(name)
            found.append(going[name])
        going[name].steps.append(step)
    return found


def _related(one: str, other: str) -> bool:
    """Whether one of two branches is above the other."""
    return MAIN in (one, other) or one.startswith(f"{other}/") or other.startswith(f"{one}/")


@dataclass(frozen=True, slots=True)
class NodeSpend:
    """What the steps of one node have spent."""

    node: str
    steps: int
    tokens: int
    seconds: float


def node_spend(steps: Iterable[dict[str, Any]]) -> list[NodeSpend]:
    """One for each node, those with the most tokens first."""
    counts: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for step in steps:
        node = step["node"]
        counts[node] += 1
        tokens[node] += int(step.get("tokens", 0))
        seconds[node] = seconds.get(node, 0.0) + float(step.get("seconds", 0.0))
    spends = [NodeSpend(node, counts[node], tokens[node], seconds[node]) for node in counts]
    return sorted(spends, key=lambda spend: -spend.tokens)
