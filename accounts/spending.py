"""Spending: the journal of a ledger, summed up by run, thread, model, node, … Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from ..budgets import Entry, Usage
from ..budgets.usage import plain
from ..errors import WrongUsage

RUN_NAME = re.compile(r"[0-9a-f]{32}|run")
"""Of an agent's run that was given no name, and of a batch's or a script's."""
THREAD = "thread:"
"""How the name of a thread's account begins; the rest is the thread's id."""
RUN_OF_THREAD = re.compile(r"\d+-[0-9a-f]+")
"""What a thread calls the ledger of a run: its number in the thread, and a random part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What the calls of one group have spent."""

    group: tuple[str, ...] = ()
    """Its value in each dimension that was asked for."""
    usage: Usage = field(default_factory=Usage)
    """Seconds are not known by call, and stay 0."""
    held_tokens: int = 0
    """What calls that are still open may spend at most, on top."""
    swept: int = 0
    """Calls whose process died; they were charged all that was held."""

    def with_call(self, entry: Entry) -> Spending:
        """This and one call more."""
        is_open = entry.state == "open"
        return replace(
            self,
            usage=self.usage + entry.usage,
            held_tokens=self.held_tokens + (entry.bound.amount().tokens if is_open else 0),
            swept=self.swept + (entry.state == "swept"),
        )

    def as_dict(self) -> dict[str, Any]:
        """The sums, of plain values; the cost, in US dollars, as exact text."""
        return {
            "calls": self.usage.calls,
            "tool_calls": self.usage.tool_calls,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "total_tokens": self.usage.total_tokens,
            "reasoning_tokens": self.usage.reasoning_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "wasted_tokens": self.usage.wasted_tokens,
            "held_tokens": self.held_tokens,
            "swept": self.swept,
            "cost": plain(self.usage.cost),
        }


def spending(entries: Iterable[Entry], dimensions: Sequence[str]) -> list[Spending]:
    """One line for each group of calls with equal values in `dimensions`, in order of first use.

    Days are sorted. `dimensions` are names of `DIMENSIONS`, as `dimensions_of` gives them.
    """
    groups: dict[tuple[str, ...], Spending] = {}
    for entry in entries:
        group = tuple(DIMENSIONS[name](entry) for name in dimensions)
        groups[group] = groups.get(group, Spending(group=group)).with_call(entry)
    days = [place for place, name in enumerate(dimensions) if name == "day"]
    return sorted(groups.values(), key=lambda line: [line.group[place] for place in days])


def total(entries: Iterable[Entry]) -> Spending:
    """All of it."""
    return reduce(Spending.with_call, entries, Spending())


def dimensions_of(text: str) -> tuple[str, ...]:
    """Names of dimensions from text such as `run,day`. Raises `WrongUsage`."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in DIMENSIONS:
            raise WrongUsage(f"spend by {name!r} is not known: choose of {', '.join(DIMENSIONS)}")
    return names


def run_of(entry: Entry) -> str:
    """Key of the run's ledger: the agent's own below a tenant's or a thread's, else the root.

    What a thread spends outside its runs is under the thread's own key.
    """
    key = found = entry.root
    in_thread = key.startswith(THREAD)
    for part in _below_root(entry):
        key = f"{key}/{part}"
        if RUN_NAME.fullmatch(part) or (in_thread and RUN_OF_THREAD.fullmatch(part)):
            return key
        in_thread = part.startswith(THREAD)
        if in_thread:
            found = key
    return found


def thread_of(entry: Entry) -> str:
    """The thread's id."""
    for part in (entry.root, *_below_root(entry)):
        if part.startswith(THREAD):
            return part.removeprefix(THREAD)
    return "no thread"


def model_of(entry: Entry) -> str:
    """The model that was called."""
    return (entry.bound.called or "not named") if entry.bound.calls else "no model"


def tool_of(entry: Entry) -> str:
    """The tool that was called."""
    return (entry.bound.called or "not named") if entry.bound.tool_calls else "no tool"


def _below_root(entry: Entry) -> list[str]:
    """Names of the ledgers from below the root to the one that paid."""
    below = entry.account.removeprefix(entry.root).lstrip("/")
    return below.split("/") if below else []


def node_of(entry: Entry) -> str:
    """The step that paid, as the head of its call id: `think` of `think.2#1`."""
    account = entry.account.removeprefix(entry.root).lstrip("/")
    own = entry.call_id.removeprefix(account).lstrip("/")
    return re.split(r"[./#]", own, maxsplit=1)[0]


def day_of(entry: Entry) -> str:
    """The day the call was reserved, in UTC."""
    return datetime.fromtimestamp(entry.since, UTC).date().isoformat()


DIMENSIONS: Mapping[str, Callable[[Entry], str]] = {
    "run": run_of,
    "thread": thread_of,
    "model": model_of,
    "tool": tool_of,
    "node": node_of,
    "day": day_of,
}
"""By what spend can be summed up."""
