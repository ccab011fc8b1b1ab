"""Whatever a backend does wrong, a run gives an answer or a typed error, in time and balanced."""

import asyncio
import time
from collections.abc import Iterable
from itertools import chain, repeat
from typing import Any

import pytest
import treequest  # noqa: F401 - a second of imports, that no search of these tests must pay
from fault_server import FAULTS, FaultServer
from leftovers import Leftovers

from mull.agents import Agent, Answer
from mull.budgets import Budget, Ledger
from mull.graphs import DEPTHS, Settings
from mull.models import (
    BackendError,
    BackendFailed,
    BadRequest,
    BrokenStream,
    ContextOverflow,
    KeyRefused,
    MalformedReply,
    Profile,
    RateLimited,
    RetryPolicy,
    UnknownModel,
)

SECONDS = 2.0
GRACE = 0.75
"""A run may take this much longer: the agent's own grace, and a busy machine."""

Outcome = str | type[BackendError]
"""Why the answer stopped, or the error."""

OUTCOMES: dict[str, tuple[Outcome, ...]] = {
    "none": ("answered",),
    "hang_before_headers": ("deadline",),
    "hang_mid_stream": ("deadline",),
    "reset": (BrokenStream,),
    "reset_mid_stream": (BrokenStream,),
    "truncated_sse": (BrokenStream,),
    "truncated_http": (BrokenStream,),
    "invalid_json": (MalformedReply,),
    "error_event": (BackendFailed,),
    "empty_choices": (MalformedReply,),
    "no_usage": ("answered",),
    "usage_null": ("answered",),
    "usage_too_low": ("answered",),
    "usage_too_high": ("answered",),
    "status_400": (BadRequest,),
    "status_401": (KeyRefused,),
    "status_404_model": (UnknownModel,),
    "status_429": (RateLimited,),
    "status_500": (BackendFailed,),
    "status_503": (BackendFailed,),
    "context_overflow": (ContextOverflow,),
    "longer_than_asked": ("answered", "budget"),
    "huge": ("answered", "budget"),
    "broken_tool_json": (MalformedReply,),
    "unknown_tool": (MalformedReply,),
    "html": (MalformedReply,),
    "not_sse": (MalformedReply,),
    "slow_drip": ("answered", "deadline"),
    "stale_keepalive": ("answered",),
}
"""Faults before which some text arrives: `reason` may land on it instead of failing."""


def python(code: str) -> str:
    """Run a program."""
    return f"ran {code}"


async def outcome(agent: Agent, depth: str) -> tuple[Outcome, Answer | BackendError]:
    """How a run ended."""
    try:
        answer = await agent.arun("How many?", depth=depth)
    except BackendError as error:
        return type(error), error
    return answer.stopped, answer


def agent_for(leftovers: Leftovers, ledger: Ledger, **more: Any) -> Agent:
    model = leftovers.model(profile=Profile(max_tokens=200), **more)
    few = Settings(samples=6, rounds=2, expansions=6)
    limits = Budget(seconds=SECONDS)
    return Agent(model, tools=[python], ledger=ledger, budget=limits, settings=few)


def test_every_fault_has_an_expected_outcome() -> None:
    assert set(OUTCOMES) == FAULTS


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_a_fault_ends_in_an_answer_or_its_own_error_in_time_and_balanced(
    fault: str, depth: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.retry_after = fault, 0.01
    # Failed attempts are paid for too: enough for all that the deepest depths make.
    ledger = leftovers.ledger(Budget(tokens=200_000))
    began = time.monotonic()
    how, result = await outcome(agent_for(leftovers, ledger), depth)
    assert time.monotonic() - began < SECONDS + GRACE
    assert how in OUTCOMES[fault], str(result)
    if depth in ("direct", "reason"):  # One slow reply is soon there; many may not be in time.
        assert how != "deadline" or "hang" in fault, str(result)


@pytest.mark.parametrize("depth", ["direct", "reason"])
async def test_a_reply_that_hangs_becomes_an_answer_of_what_had_arrived(
    depth: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.reply, server.fault_after = "hang_mid_stream", "one two three four", 2
    agent = agent_for(leftovers, leftovers.ledger())
    answer = await agent.arun("How many?", depth=depth, budget=Budget(seconds=0.5))
    assert answer.stopped == "deadline"
    assert answer.text == "one two"


async def test_a_lie_about_usage_is_not_charged_below_what_was_seen(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.tokens = "usage_too_low", 30
    ledger = leftovers.ledger()
    await agent_for(leftovers, ledger).arun("How many?", depth="direct")
    assert ledger.spent().output_tokens == server.requests[0].completion_tokens == 30


async def test_a_lie_about_usage_is_not_charged_above_the_bound_and_the_journal_tells(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.tokens, server.bytes_per_token = "usage_too_high", 200, 1
    ledger = leftovers.ledger()
    await agent_for(leftovers, ledger).arun("How many?", depth="direct")
    (entry,) = ledger.journal()
    reported = 3 * server.spent_tokens
    assert entry.usage.total_tokens == entry.bound.input_tokens + entry.bound.output_tokens
    assert entry.excess_tokens == reported - entry.usage.total_tokens > 0


@pytest.mark.parametrize("fault", ["no_usage", "usage_null"])
async def test_without_usage_a_call_is_charged_no_less_than_the_server_spent(
    fault: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.bytes_per_token = fault, 1
    ledger = leftovers.ledger()
    await agent_for(leftovers, ledger).arun("How many?", depth="direct")
    assert ledger.spent().total_tokens >= server.spent_tokens


@pytest.mark.parametrize(
    "fault",
    ["status_429", "status_500", "status_503", "reset", "reset_mid_stream", "truncated_sse"],
)
async def test_a_passing_fault_is_retried_and_both_attempts_are_in_the_journal(
    fault: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.retry_after = [fault, "none"], 0.01
    ledger = leftovers.ledger()
    answer = await agent_for(leftovers, ledger).arun("How many?", depth="direct")
    assert answer.stopped == "answered"
    first, second = ledger.journal()
    assert first.usage.calls == second.usage.calls == 1
    assert first.usage.wasted_tokens == first.usage.total_tokens
    assert second.usage.wasted_tokens == 0
    assert second.usage.total_tokens == server.requests[1].prompt_tokens + 20


async def test_a_whole_reply_that_cannot_be_read_is_charged_at_its_bound(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.tokens, server.bytes_per_token = "not_sse", 200, 1
    ledger = leftovers.ledger()
    with pytest.raises(MalformedReply):
        await agent_for(leftovers, ledger).arun("How many?", depth="direct")
    (entry,) = ledger.journal()
    assert entry.usage.total_tokens == entry.bound.input_tokens + entry.bound.output_tokens
    assert entry.usage.total_tokens >= server.spent_tokens


async def test_a_refused_request_costs_a_call_and_no_tokens(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = "status_401"
    ledger = leftovers.ledger()
    with pytest.raises(KeyRefused):
        await agent_for(leftovers, ledger).arun("How many?", depth="direct")
    assert (ledger.spent().calls, ledger.spent().total_tokens) == (1, 0)


async def test_a_storm_of_refusals_ends_with_the_attempts(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.retry_after = "status_429", 0.01
    agent = agent_for(leftovers, leftovers.ledger(), retry=RetryPolicy(attempts=4, base=0.01))
    with pytest.raises(RateLimited):
        await agent.arun("How many?", depth="direct")
    assert len(server.requests) == 4


async def test_a_reply_longer_than_asked_is_cut_and_the_server_sees_the_close(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.token_delay = "longer_than_asked", 0.001
    ledger = leftovers.ledger()
    answer = await agent_for(leftovers, ledger).arun("How many?", depth="direct")
    (exchange,) = server.requests
    limit = exchange.body["max_tokens"]
    assert len(answer.text.split()) <= limit + 1
    await asyncio.sleep(0.05)
    assert exchange.aborted
    assert ledger.spent().output_tokens <= limit + ledger.journal()[0].bound.input_tokens


@pytest.mark.parametrize("fault", ["broken_tool_json", "unknown_tool"])
async def test_a_bad_tool_call_is_told_to_the_model_and_the_run_goes_on(
    fault: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = [fault, "none"]
    answer = await agent_for(leftovers, leftovers.ledger()).arun("How many?", depth="reason")
    assert answer.stopped == "answered"
    told = server.requests[1].body["messages"][-1]
    assert told["role"] == "tool"
    assert told["content"].startswith("error: ")


async def test_a_connection_that_went_stale_costs_a_retry_and_not_the_run(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = "stale_keepalive"
    agent = agent_for(leftovers, leftovers.ledger())
    for _ in range(3):
        assert (await agent.arun("How many?", depth="direct")).stopped == "answered"


async def test_many_connections_that_went_stale_do_not_use_up_a_calls_attempts(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.token_delay = 0.001
    agent = agent_for(leftovers, leftovers.ledger(), retry=RetryPolicy(attempts=2, base=0.01))
    await asyncio.gather(*(agent.arun("How many?", depth="direct") for _ in range(8)))
    server.fault = "stale_keepalive"
    assert (await agent.arun("How many?", depth="direct")).stopped == "answered"


async def test_a_run_amid_passing_faults_of_every_kind_still_answers(
    server: FaultServer, leftovers: Leftovers
) -> None:
    passing = ["status_429", "reset", "truncated_http", "error_event", "status_503"]
    server.fault, server.retry_after = _then_fine(passing), 0.01
    agent = agent_for(leftovers, leftovers.ledger(), retry=RetryPolicy(attempts=6, base=0.01))
    assert (await agent.arun("How many?", depth="reason")).stopped == "answered"


def _then_fine(faults: list[str]) -> Iterable[str]:
    return chain(faults, repeat("none"))
