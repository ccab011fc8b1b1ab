"""Walking a graph: to its end, with its events as they happen, and not beyond the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

from ..budgets import Ledger
from ..graphs import Context, Event
from .answer import Answer, Answered

RECURSION_LIMIT = 1000
"""Supersteps of one graph; the loop guard ends a circle long before."""
GRACE = 0.25
"""Seconds after the deadline in which a run may still hand over what it has."""


async def streamed(
    work: Callable[[Callable[[Event], None]], Coroutine[Any, Any, Answer]],
) -> AsyncGenerator[Event, None]:
    """The events that `work` emits, as it emits them; then `Answered`. Raises what `work` raises.

    Leaving it early cancels the work.
    """
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    task = asyncio.create_task(work(events.put_nowait))
    task.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        yield Answered(answer=await task)
    finally:
        task.cancel()
        await asyncio.wait([task])


def within_deadline(ledger: Ledger) -> asyncio.Timeout:
    """Raises `TimeoutError` where the block goes on after the ledger's deadline."""
    left = ledger.seconds_left()
    return asyncio.timeout(None if left is None else left + GRACE)


async def walked(
    graph: Any,
    given: Any,
    context: Context,
    emit: Callable[[Event], None] | None,
    **config: Any,
) -> Mapping[str, Any]:
    """Walk a compiled graph and return its last state. Each step is written down before the next.

    Inside a node of another graph (a tool that asks an agent) it is no part of that graph: it would
    go on there from the checkpoints of a run that has ended.

    Args:
        given: Its input; None to go on where it was interrupted.
        emit: Takes its events; None: nobody looks.
        config: LangGraph's `configurable`.
    """
    settings: Any = {"recursion_limit": RECURSION_LIMIT}
    durability = None
    if config:
        settings["configurable"], durability = config, "sync"
    with _apart():
        return await _walked(graph, given, settings, context, emit, durability)


async def _walked(
    graph: Any,
    given: Any,
    settings: Any,
    context: Context,
    emit: Callable[[Event], None] | None,
    durability: str | None,
) -> Mapping[str, Any]:
    if emit is None:
        outcome = await graph.ainvoke(given, settings, context=context, durability=durability)
        return cast(Mapping[str, Any], outcome or {})
    last: Mapping[str, Any] = {}
    async for part in graph.astream(
        given,
        settings,
        context=context,
        stream_mode=["custom", "values"],
        subgraphs=True,
        version="v2",
        durability=durability,
    ):
        if part["type"] == "custom":
            emit(part["data"])
        elif not part["ns"]:
            last = cast(Mapping[str, Any], part["data"])
    return last


@contextmanager
def _apart() -> Iterator[None]:
    """Outside of the graph that this is called in. Callbacks, which trace, are still its."""
    outer: Mapping[str, Any] = var_child_runnable_config.get() or {}
    kept = cast(RunnableConfig, {key: outer[key] for key in outer if key != "configurable"})
    token = var_child_runnable_config.set(kept)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)
