"""The trace of a thread's run, from the records of its calls. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..budgets import Record
from ..errors import WrongUsage
from .spending import THREAD
from .steps import MAIN
from .trace_file import Trace
from .trace_recorder import call_event

if TYPE_CHECKING:
    from ..agents.conversation import Turn

NO_BRANCH = re.compile(r"(assess|confirm|judge|verify)(\.\d+)?")
"""Accounts of a branch's judges and classifiers, which are no branches."""


def thread_trace(
    thread: str, run: int | None, records: Iterable[Record], turns: Iterable[Turn]
) -> Trace:
    """The trace of one run of a thread: its calls, and its answer where there is one.

    Args:
        run: Its number in the thread; None: the last.
        records: Of the whole thread, in the order in which the calls ended.
        turns: Of the whole thread.

    Raises `WrongUsage` where no call of that run was answered.
    """
    runs = _runs(thread, records)
    number = run if run is not None else max(runs, default=0)
    if number not in runs:
        there = f"there are {', '.join(map(str, sorted(runs)))}" if runs else "there are none"
        raise WrongUsage(f"thread {thread!r} has no calls of a run {number}: of runs {there}")
    calls = runs[number]
    turn = next((turn for turn in turns if turn.number == number), None)
    return Trace(
        (
            {
                "event": "run",
                "question": "" if turn is None else turn.question,
                "at": min(call["started"] for call in calls),
            },
            *_with_branches(calls),
            *([] if turn is None else [_answer(turn)]),
        )
    )


def _runs(thread: str, records: Iterable[Record]) -> dict[int, list[dict[str, Any]]]:
    """The calls of each run, by its number."""
    own = re.compile(rf"(?:.*/)?{re.escape(THREAD + thread)}/(\d+)-[0-9a-f]+/(.+)", re.DOTALL)
    runs: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        if found := own.fullmatch(f"{record.root}/{record.call_id}"):
            runs.setdefault(int(found[1]), []).append(call_event(record, found[2]))
    return runs


def _with_branches(calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls, with the beginnings and ends of the branches that made them."""
    ids = {call["call_id"] for call in calls}
    makers = [_maker_of(call["call_id"], ids) for call in calls]
    lasts = {maker: place for place, maker in enumerate(makers)}
    tokens = dict.fromkeys(makers, 0)
    begun = sorted(zip(calls, makers, strict=True), key=lambda made: float(made[0]["started"]))
    branches = [maker for maker in dict.fromkeys(maker for _, maker in begun) if maker != MAIN]
    lines: list[dict[str, Any]] = [
        {"event": "branch_started", "branch": branch} for branch in branches
    ]
    for place, (call, maker) in enumerate(zip(calls, makers, strict=True)):
        usage = call["replied"].get("usage", {})
        tokens[maker] += usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        lines.append(call)
        if maker != MAIN and place == lasts[maker]:
            end = {"event": "branch_finished", "branch": maker, "ended": "ended", "answer": ""}
            lines.append({**end, "tokens": tokens[maker]})
    return lines


def _maker_of(call_id: str, ids: set[str]) -> str:
    """The branch that made a call, by the call's id."""
    path = call_id.split("/")[:-1]
    while path and (NO_BRANCH.fullmatch(path[-1]) or "/".join(path) in ids):
        path.pop()
    return "/".join(path) or MAIN


def _answer(turn: Turn) -> dict[str, Any]:
    return {
        "event": "answer",
        "branch": MAIN,
        "answer": turn.text,
        "depth": turn.depth,
        "stopped": turn.stopped,
        "usage": turn.usage,
        "trace": [],
        "budget": {},
    }
