"""Cancelling a call closes its connection at once, and the ledger keeps what was spent."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from fault_server import Exchange, FaultServer
from leftovers import Leftovers, until

from mull.agents import Agent
from mull.budgets import Budget, Entry, Ledger
from mull.graphs import Event, Text
from mull.models import DeadlineReached, Delta, Request, user
from mull.models.capabilities import count_prompt

AT_ONCE = 0.5
"""Seconds from a cancel to the moment that the server sees the connection closed.

The replies would go on for ten. `benchmarks/cancel.py` measures it: about one millisecond.
"""

REQUEST = Request(messages=[user("Count to a thousand.")], max_tokens=2000)


@pytest.fixture(autouse=True)
def slow(server: FaultServer) -> None:
    """A reply of ten seconds."""
    server.tokens, server.token_delay = 2000, 0.005


async def closed(server: FaultServer) -> tuple[Exchange, float]:
    """The only request, and when the server saw it closed."""
    (exchange,) = server.requests
    await until(lambda: exchange.aborted)
    assert exchange.closed_at is not None
    return exchange, exchange.closed_at


def check_partial_spend(ledger: Ledger, exchange: Exchange, *, spoke: bool = True) -> None:
    """The call is charged: the prompt and what arrived, as wasted, and no more than its bound."""
    (entry,) = (e for e in ledger.journal() if e.usage.calls)
    assert entry.state == "settled"
    assert 0 < entry.usage.total_tokens < _bound(entry)
    assert entry.usage.wasted_tokens == entry.usage.total_tokens
    assert entry.usage.input_tokens >= exchange.prompt_tokens
    assert (entry.usage.output_tokens > 1) == spoke, "one token may be under way unheard"


def _bound(entry: Entry) -> int:
    return entry.bound.input_tokens + entry.bound.output_tokens


class Heard:
    """Hears the pieces of a reply, and tells when there are some."""

    def __init__(self) -> None:
        self.pieces = 0

    def __call__(self, delta: Delta) -> None:
        self.pieces += 1

    async def some(self, number: int = 5) -> None:
        await until(lambda: self.pieces >= number)


@pytest.mark.parametrize("tokenizer", [None, "vllm", "llamacpp"])
async def test_a_cancelled_call_closes_its_connection_at_once(
    tokenizer: str | None, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer = tokenizer
    ledger, heard = leftovers.ledger(), Heard()
    call = leftovers.model().ask(REQUEST, ledger=ledger, call_id="c", on_delta=heard)
    task = asyncio.create_task(call)
    await heard.some()
    cancelled = time.monotonic()
    task.cancel()
    exchange, at = await closed(server)
    assert at - cancelled < AT_ONCE
    assert task.cancelled()
    check_partial_spend(ledger, exchange)


async def test_a_call_cancelled_before_the_headers_closes_its_connection_at_once(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = "hang_before_headers"
    ledger = leftovers.ledger()
    call = leftovers.model().ask(REQUEST, ledger=ledger, call_id="c")
    task = asyncio.create_task(call)
    await until(lambda: server.active == 1)
    await asyncio.sleep(0.01)
    cancelled = time.monotonic()
    task.cancel()
    exchange, at = await closed(server)
    assert at - cancelled < AT_ONCE
    check_partial_spend(ledger, exchange, spoke=False)


@pytest.mark.parametrize("tokenizer", ["vllm", "llamacpp"])
async def test_with_running_usage_a_cancelled_call_is_charged_no_less_than_was_made(
    tokenizer: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer, server.tokens_per_chunk, server.fault = tokenizer, 3, "hang_mid_stream"
    ledger, heard = leftovers.ledger(), Heard()
    call = leftovers.model().ask(REQUEST, ledger=ledger, call_id="c", on_delta=heard)
    task = asyncio.create_task(call)
    await heard.some(3)
    await asyncio.sleep(0.02)
    task.cancel()
    exchange, _ = await closed(server)
    assert ledger.spent().output_tokens >= exchange.completion_tokens == 9
    assert ledger.spent().input_tokens == exchange.prompt_tokens


async def test_a_cancelled_call_of_llama_cpp_is_charged_its_prompt_exactly(
    demo_url: str, leftovers: Leftovers
) -> None:
    model, ledger, heard = leftovers.model(demo_url, "demo"), leftovers.ledger(), Heard()
    endless = {"ignore_eos": True}
    request = Request(messages=[user("What is 12 + 30?")], max_tokens=900, extra_body=endless)
    counted = await count_prompt(model.backend, await model.capabilities(), "demo", request)
    task = asyncio.create_task(model.ask(request, ledger=ledger, call_id="c", on_delta=heard))
    await heard.some(2)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ledger.spent().input_tokens == counted


async def test_what_the_server_makes_after_a_cancel_is_less_than_what_is_charged_for_it(
    server: FaultServer, leftovers: Leftovers
) -> None:
    """Without a running count, bytes are charged: more than the tokens in flight."""
    server.bytes_per_token = 1
    ledger, heard = leftovers.ledger(), Heard()
    call = leftovers.model().ask(REQUEST, ledger=ledger, call_id="c", on_delta=heard)
    task = asyncio.create_task(call)
    await heard.some(20)
    task.cancel()
    await closed(server)
    assert ledger.spent().total_tokens >= server.spent_tokens


async def test_a_call_whose_time_is_up_closes_its_connection_at_once(
    server: FaultServer, leftovers: Leftovers
) -> None:
    ledger, model = leftovers.ledger(), leftovers.model()
    await model.capabilities()
    began = time.monotonic()
    request = Request(messages=REQUEST.messages, max_tokens=2000, timeout=0.3)
    with pytest.raises(DeadlineReached) as caught:
        await model.ask(request, ledger=ledger, call_id="c")
    exchange, at = await closed(server)
    assert at - (began + 0.3) < AT_ONCE
    assert caught.value.partial
    assert caught.value.partial.text
    check_partial_spend(ledger, exchange)


async def test_a_ledger_whose_time_is_up_closes_its_calls_connection_at_once(
    server: FaultServer, leftovers: Leftovers
) -> None:
    model = leftovers.model()
    await model.capabilities()
    ledger = leftovers.ledger(Budget(seconds=0.3))
    began = time.monotonic()
    with pytest.raises(DeadlineReached):
        await model.ask(REQUEST, ledger=ledger, call_id="c")
    exchange, at = await closed(server)
    assert at - (began + 0.3) < AT_ONCE
    check_partial_spend(ledger, exchange)


@pytest.mark.parametrize("depth", ["direct", "reason"])
async def test_a_cancelled_run_closes_its_connection_at_once(
    depth: str, server: FaultServer, leftovers: Leftovers
) -> None:
    ledger = leftovers.ledger()
    agent = Agent(leftovers.model(), ledger=ledger, depth=depth)
    task = asyncio.create_task(agent.arun("Count to a thousand."))
    await until(lambda: bool(server.requests) and server.requests[0].completion_tokens > 5)
    cancelled = time.monotonic()
    task.cancel()
    exchange, at = await closed(server)
    assert at - cancelled < AT_ONCE
    with pytest.raises(asyncio.CancelledError):
        await task
    check_partial_spend(ledger, exchange)


@pytest.mark.parametrize("depth", ["direct", "reason"])
async def test_a_run_whose_caller_gives_up_waiting_closes_its_connection_at_once(
    depth: str, server: FaultServer, leftovers: Leftovers
) -> None:
    ledger = leftovers.ledger()
    agent = Agent(leftovers.model(), ledger=ledger, depth=depth)
    loop = asyncio.get_running_loop()
    until_then = loop.time() + 0.3
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(until_then):
            await agent.arun("Count to a thousand.")
    exchange, at = await closed(server)
    assert at - until_then < AT_ONCE  # asyncio's clock is the monotonic one
    check_partial_spend(ledger, exchange)


@pytest.mark.parametrize("depth", ["direct", "reason"])
async def test_leaving_a_stream_of_events_early_closes_its_connection_at_once(
    depth: str, server: FaultServer, leftovers: Leftovers
) -> None:
    ledger = leftovers.ledger()
    agent = Agent(leftovers.model(), ledger=ledger, depth=depth)
    events = agent.astream("Count to a thousand.")
    async with aclosing(events):
        await _first_text(events)
        left = time.monotonic()
    exchange, at = await closed(server)
    assert at - left < AT_ONCE
    check_partial_spend(ledger, exchange)


async def test_breaking_out_of_a_stream_of_events_closes_its_connection_at_once(
    server: FaultServer, leftovers: Leftovers
) -> None:
    ledger = leftovers.ledger()
    agent = Agent(leftovers.model(), ledger=ledger, depth="direct")
    left = 0.0
    async for event in agent.astream("Count to a thousand."):
        if isinstance(event, Text):
            left = time.monotonic()
            break
    exchange, at = await closed(server)
    assert at - left < AT_ONCE
    await until(lambda: ledger.held().tokens == 0)
    check_partial_spend(ledger, exchange)


async def _first_text(events: AsyncIterator[Event]) -> None:
    async for event in events:
        if isinstance(event, Text):
            return


async def test_a_failing_branch_closes_its_siblings_connections(
    server: FaultServer, leftovers: Leftovers
) -> None:
    ledger, model = leftovers.ledger(), leftovers.model()
    calls = (model.ask(REQUEST, ledger=ledger, call_id=f"branch{i}") for i in range(8))
    with pytest.raises(ExceptionGroup):
        await _together(_fail(server), *calls)
    await until(lambda: all(exchange.aborted for exchange in server.requests))
    assert len(server.requests) == 8
    assert ledger.spent().wasted_tokens == ledger.spent().total_tokens > 0


async def _together(*work: Coroutine[Any, Any, object]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)


async def _fail(server: FaultServer) -> None:
    await until(lambda: server.active == 8)
    await asyncio.sleep(0.05)
    raise ValueError("a branch fails")


async def test_a_call_cancelled_while_it_waits_for_its_turn_spends_nothing(
    server: FaultServer, leftovers: Leftovers
) -> None:
    ledger, model = leftovers.ledger(), leftovers.model(concurrency=1)
    first = asyncio.create_task(model.ask(REQUEST, ledger=ledger, call_id="first"))
    await until(lambda: server.active == 1)
    second = asyncio.create_task(model.ask(REQUEST, ledger=ledger, call_id="second"))
    await until(lambda: len(ledger.journal()) == 2)
    second.cancel()
    await asyncio.wait([second])
    assert ledger.spent().calls == ledger.spent().total_tokens == 0
    first.cancel()
    await asyncio.wait([first])
    assert ledger.spent().calls == 1
