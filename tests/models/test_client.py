"""The model client: what goes out, what comes back, and what each call is charged."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from fault_server import Exchange, FaultServer, Reply
from leftovers import Leftovers, until

from mull.budgets import Budget, BudgetExhausted, Price
from mull.errors import WrongUsage
from mull.models import (
    Backend,
    BackendError,
    BackendFailed,
    BadRequest,
    BrokenStream,
    ContextOverflow,
    DeadlineReached,
    Delta,
    MalformedReply,
    Message,
    Model,
    Profile,
    RateLimited,
    Request,
    RetryPolicy,
    UnknownModel,
    Unreachable,
    system,
    user,
)
from mull.models import Reply as Answered
from mull.models.capabilities import count_prompt
from mull.models.demo import DEMO_PROFILE
from mull.models.model import refused_settings

ASK = [user("How many?")]
ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}},
    },
}


async def ask(
    leftovers: Leftovers, model: Model | None = None, messages: Sequence[Message] = ASK, **more: Any
) -> Answered:
    model = model or leftovers.model()
    request = Request(messages=messages, **more)
    return await model.ask(request, ledger=leftovers.ledger(), call_id="c")


# What comes back


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_is_read_under_both_of_its_names(
    name: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reasoning_field, server.reasoning, server.reply = name, "I think so", "Answer: 3"
    reply = await ask(leftovers)
    assert (reply.reasoning, reply.text) == ("I think so", "Answer: 3")
    assert reply.usage.reasoning_tokens == 3


async def test_a_leading_think_block_is_reasoning(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = "<think>two and one</think>\nAnswer: 3"
    reply = await ask(leftovers)
    assert (reply.reasoning, reply.text) == ("two and one", "Answer: 3")


async def test_tool_calls_are_put_together_from_their_fragments(
    server: FaultServer, leftovers: Leftovers
) -> None:
    said = Reply("Let me add.", tool_calls=[("add", {"a": 1, "b": [2, 3]}), ("sub", {"c": "ü"})])
    server.reply = lambda body: said
    reply = await ask(leftovers, tools=[ADD])
    assert reply.finish_reason == "tool_calls"
    assert reply.text == "Let me add."
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("add", '{"a":1,"b":[2,3]}'),
        ("sub", '{"c":"ü"}'),
    ]
    assert len({call.id for call in reply.tool_calls}) == 2


async def test_logprobs_come_with_their_alternatives(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("yes indeed", logprob=-0.5)
    reply = await ask(leftovers, logprobs=True, top_logprobs=2)
    assert [(token.token, token.logprob) for token in reply.logprobs] == [
        ("yes", -0.5),
        (" indeed", -0.5),
    ]
    assert reply.logprobs[0].top == (("yes", -0.5), (" other1", -1.5))


@pytest.mark.parametrize("reason", ["stop", "content_filter"])
async def test_the_finish_reason_is_the_backends(
    reason: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("I", finish_reason=reason)
    assert (await ask(leftovers)).finish_reason == reason


async def test_a_reply_that_the_request_cuts_ends_with_length(
    server: FaultServer, leftovers: Leftovers
) -> None:
    reply = await ask(leftovers, max_tokens=5)
    assert (reply.finish_reason, reply.usage.output_tokens) == ("length", 5)


async def test_a_reply_that_the_budget_cuts_ends_with_length_and_uses_all_of_it(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer = "vllm"
    ledger = leftovers.ledger(Budget(tokens=20))
    reply = await leftovers.model().ask(
        Request(messages=ASK, max_tokens=100), ledger=ledger, call_id="c"
    )
    assert reply.finish_reason == "length"
    assert ledger.spent().total_tokens == server.spent_tokens == 20


async def test_usage_has_cached_and_reasoning_tokens(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.cached_tokens, server.reasoning, server.reply = 5, "one two", "three"
    usage = (await ask(leftovers)).usage
    exchange = server.requests[0]
    assert usage.input_tokens == exchange.prompt_tokens
    assert usage.output_tokens == exchange.completion_tokens == 3
    assert (usage.cached_tokens, usage.reasoning_tokens) == (5, 2)


async def test_the_cost_counts_cached_tokens_at_their_own_price(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.cached_tokens = 5
    price = Price(input=Decimal(2), output=Decimal(10), cached=Decimal(1))
    usage = (await ask(leftovers, leftovers.model(price=price))).usage
    expected = 2 * (usage.input_tokens - 5) + 5 + 10 * usage.output_tokens
    assert usage.cost == Decimal(expected) / 1_000_000


async def test_deltas_add_up_to_the_reply(server: FaultServer, leftovers: Leftovers) -> None:
    server.reasoning = "I think so"
    heard: list[Delta] = []
    reply = await leftovers.model().ask(
        Request(messages=ASK), ledger=leftovers.ledger(), call_id="c", on_delta=heard.append
    )
    assert "".join(delta.text for delta in heard) == reply.text
    assert "".join(delta.reasoning for delta in heard) == reply.reasoning


async def test_deltas_of_a_second_attempt_say_so(server: FaultServer, leftovers: Leftovers) -> None:
    server.fault = ["reset_mid_stream", "none"]
    heard: list[Delta] = []
    reply = await leftovers.model().ask(
        Request(messages=ASK), ledger=leftovers.ledger(), call_id="c", on_delta=heard.append
    )
    assert {delta.attempt for delta in heard} == {1, 2}
    assert "".join(delta.text for delta in heard if delta.attempt == 2) == reply.text


# What goes out


async def test_settings_go_out_unchanged(server: FaultServer, leftovers: Leftovers) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    settings: dict[str, Any] = {
        "tools": [ADD],
        "tool_choice": "auto",
        "temperature": 0.3,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END"],
        "response_format": schema,
        "reasoning_effort": "high",
    }
    extra = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}}
    await ask(leftovers, max_tokens=50, extra_body=extra, **settings)
    body = server.requests[0].body
    assert body == {
        "model": "m",
        "messages": ASK,
        "max_tokens": 50,
        "stream": True,
        "stream_options": {"include_usage": True},
        **settings,
        **extra,
    }


async def test_what_is_not_asked_for_is_left_to_the_backend(
    server: FaultServer, leftovers: Leftovers
) -> None:
    await ask(leftovers)
    assert set(server.requests[0].body) == {
        "model",
        "messages",
        "max_tokens",
        "stream",
        "stream_options",
    }


@pytest.mark.parametrize("name", ["n", "best_of", "max_tokens", "max_completion_tokens"])
def test_a_body_that_could_spend_more_than_is_reserved_is_refused(name: str) -> None:
    with pytest.raises(WrongUsage, match=name):
        Request(messages=ASK, extra_body={name: 4})


async def test_the_limit_that_is_sent_is_the_one_that_was_granted(
    server: FaultServer, leftovers: Leftovers
) -> None:
    ledger = leftovers.ledger(Budget(tokens=200))
    await leftovers.model().ask(Request(messages=ASK), ledger=ledger, call_id="c")
    (entry,) = ledger.journal()
    assert server.requests[0].body["max_tokens"] == entry.bound.output_tokens
    assert entry.bound.input_tokens + entry.bound.output_tokens == 200


async def test_the_newer_name_of_the_limit_is_learned_from_a_400(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.max_tokens_field = "max_completion_tokens"
    model = leftovers.model()
    for _ in range(2):
        assert (await ask(leftovers, model)).finish_reason == "stop"
    assert [exchange.status for exchange in server.requests] == [400, 200, 200]


async def test_calls_that_learn_it_at_the_same_time_all_succeed(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.max_tokens_field, server.delay = "max_completion_tokens", 0.01
    model, ledger = leftovers.model(), leftovers.ledger()
    calls = (model.ask(Request(messages=ASK), ledger=ledger, call_id=f"c{i}") for i in range(8))
    replies = await asyncio.gather(*calls)
    assert {reply.finish_reason for reply in replies} == {"stop"}


async def test_a_setting_that_the_model_does_not_take_is_left_out_from_then_on(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.unsupported = ["reasoning_effort", "temperature"]
    model = leftovers.model()
    for _ in range(2):
        await ask(leftovers, model, reasoning_effort="low", temperature=0.0, seed=4)
    assert [exchange.status for exchange in server.requests] == [400, 400, 200, 200]
    assert server.requests[-1].body["seed"] == 4


def test_a_setting_is_kept_where_only_its_value_is_wrong() -> None:
    assert not refused_settings("temperature must be between 0 and 2")
    assert refused_settings("'temperature' does not support 0 with this model") == {"temperature"}


async def test_a_prefill_for_vllm_asks_to_continue_the_last_message(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer = "vllm"
    said: Message = {"role": "assistant", "content": "Answer:"}
    await ask(leftovers, messages=[*ASK, said], continues=True)
    body = server.requests[0].body
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False


async def test_a_model_without_a_name_is_the_only_one_served(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.models = ["only-one"]
    await ask(leftovers, leftovers.model(name=None))
    assert server.requests[0].body["model"] == "only-one"


async def test_a_model_without_a_name_among_several_is_an_error_that_lists_them(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.models = ["one", "two"]
    with pytest.raises(UnknownModel, match="one, two"):
        await ask(leftovers, leftovers.model(name=None))


# The prompt's bound


@pytest.mark.parametrize("tokenizer", ["vllm", "llamacpp"])
async def test_a_prompt_whose_bytes_do_not_fit_is_counted_exactly(
    tokenizer: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer = tokenizer
    ledger = leftovers.ledger(Budget(tokens=150))
    question = [system("Be brief."), user("How many? " * 30)]
    await leftovers.model().ask(
        Request(messages=question, tools=[], max_tokens=20), ledger=ledger, call_id="c"
    )
    (entry,) = ledger.journal()
    assert entry.bound.input_tokens == server.requests[0].prompt_tokens


async def test_a_prompt_whose_bytes_fit_is_not_counted(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer = "vllm"
    await ask(leftovers, max_tokens=20)
    assert [exchange.path for exchange in server.side_requests] == ["/v1/models"]


async def test_what_changes_the_template_is_counted_too(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer = "vllm"
    more = {"chat_template_kwargs": {"enable_thinking": False}}
    ledger = leftovers.ledger(Budget(tokens=100))
    request = Request(messages=ASK, extra_body=more)
    await leftovers.model().ask(request, ledger=ledger, call_id="c")
    assert server.side_requests[-1].path == "/tokenize"
    assert server.side_requests[-1].body["chat_template_kwargs"] == {"enable_thinking": False}


async def test_a_prompt_that_can_never_be_paid_is_not_sent(
    server: FaultServer, leftovers: Leftovers
) -> None:
    ledger = leftovers.ledger(Budget(tokens=10))
    with pytest.raises(BudgetExhausted):
        await leftovers.model().ask(Request(messages=ASK), ledger=ledger, call_id="c")
    assert server.requests == []


async def test_a_prompt_beyond_the_context_is_refused_before_it_is_sent(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer, server.context, server.bytes_per_token = "vllm", 100, 1
    with pytest.raises(ContextOverflow):
        await ask(leftovers, messages=[user("x" * 200)])
    assert server.requests == []


async def test_a_reply_is_asked_for_no_longer_than_the_context(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer, server.context = "vllm", 300
    await ask(leftovers, max_tokens=2000)
    (exchange,) = server.requests
    assert exchange.prompt_tokens + exchange.body["max_tokens"] == 300


# The real llama.cpp

PROMPTS: dict[str, dict[str, Any]] = {
    "plain": {"messages": [user("What is 12 + 30?")]},
    "system": {"messages": [system("Be brief."), user("What is 12 + 30?")]},
    "other scripts": {"messages": [user("héllo 世界 🎉")]},
    "tools": {"messages": [user("What is 12 + 30?")], "tools": [ADD]},
    "a tool's result": {
        "messages": [
            user("What is 12 + 30?"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a": 12}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
        "tools": [ADD],
    },
    "prefill": {
        "messages": [user("What is 12 + 30?"), {"role": "assistant", "content": "Answer:"}],
        "continues": True,
    },
}


@pytest.mark.parametrize("kind", PROMPTS)
async def test_llama_cpp_counts_a_prompt_as_its_usage_does(
    kind: str, demo_url: str, leftovers: Leftovers
) -> None:
    model = leftovers.model(demo_url, "demo", profile=DEMO_PROFILE)
    request = Request(max_tokens=4, **PROMPTS[kind])
    counted = await count_prompt(model.backend, await model.capabilities(), "demo", request)
    reply = await model.ask(request, ledger=leftovers.ledger(), call_id="c")
    assert counted == reply.usage.input_tokens


@pytest.mark.parametrize("kind", PROMPTS)
async def test_the_bytes_bound_llama_cpps_count(
    kind: str, demo_url: str, leftovers: Leftovers
) -> None:
    model = leftovers.model(demo_url, "demo", profile=DEMO_PROFILE)
    ledger = leftovers.ledger()
    request = Request(max_tokens=4, **PROMPTS[kind])
    reply = await model.ask(request, ledger=ledger, call_id="c")
    assert ledger.journal()[0].bound.input_tokens > reply.usage.input_tokens


async def test_llama_cpp_continues_a_prefill(demo_url: str, leftovers: Leftovers) -> None:
    model = leftovers.model(demo_url, "demo", profile=DEMO_PROFILE)
    said: Message = {"role": "assistant", "content": "12 + 30 = 42\nAnswer:"}
    request = Request(messages=[user("What is 12 + 30?"), said], continues=True, max_tokens=8)
    ledger = leftovers.ledger()
    with_prefill = await model.ask(request, ledger=ledger, call_id="with")
    assert with_prefill.text.strip()
    assert "12 + 30 = 42" not in with_prefill.text
    assert not with_prefill.text.lstrip().startswith("Answer:")


async def test_llama_cpp_is_charged_what_it_counts(demo_url: str, leftovers: Leftovers) -> None:
    model = leftovers.model(demo_url, "demo", profile=DEMO_PROFILE)
    reply = await model.ask(
        Request(messages=[user("What is 12 + 30?")], max_tokens=6, logprobs=True, top_logprobs=3),
        ledger=leftovers.ledger(),
        call_id="c",
    )
    assert len(reply.logprobs) == reply.usage.output_tokens <= 6
    assert all(len(token.top) == 3 for token in reply.logprobs)


# Retries


async def test_each_attempt_is_reserved_and_settled_on_its_own(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = ["reset_mid_stream", "status_503", "none"]
    ledger = leftovers.ledger(Budget(tokens=1000))
    await leftovers.model().ask(Request(messages=ASK), ledger=ledger, call_id="c")
    assert [entry.call_id for entry in ledger.journal()] == ["c#1", "c#2", "c#3"]
    assert [entry.usage.calls for entry in ledger.journal()] == [1, 1, 1]


async def test_a_retry_that_the_budget_cannot_pay_is_not_sent(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = "status_503"
    ledger = leftovers.ledger(Budget(calls=2))
    with pytest.raises(BudgetExhausted):
        await leftovers.model().ask(Request(messages=ASK), ledger=ledger, call_id="c")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error"), [("status_400", BadRequest), ("context_overflow", ContextOverflow)]
)
async def test_a_request_that_is_wrong_is_sent_once(
    fault: str, error: type[BackendError], server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = fault
    with pytest.raises(error):
        await ask(leftovers)
    assert len(server.requests) == 1


async def test_the_pause_is_never_shorter_than_retry_after(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.retry_after = ["status_429", "none"], 0.2
    await ask(leftovers)
    first, second = server.requests
    assert second.started - first.started >= 0.2


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.retry_after = "status_429", 30
    began = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        await ask(leftovers, timeout=5)
    assert time.monotonic() - began < 2
    assert caught.value.retry_after == 30


async def test_a_backend_that_loads_its_model_is_asked_again_what_it_is(
    server: FaultServer, leftovers: Leftovers
) -> None:
    model = leftovers.model()
    async with raw_server(b"HTTP/1.1 503 Loading\r\nContent-Length: 0\r\n\r\n") as address:
        loading = leftovers.model(address, retry=RetryPolicy(attempts=1))
        assert (await loading.capabilities()).kind == "other"
        assert loading._capabilities is None
    assert (await model.capabilities()) is model._capabilities


def test_a_pause_is_jittered_below_its_doubling_limit() -> None:
    policy, rng = RetryPolicy(attempts=9, base=1.0, longest=4.0), random.Random(1)
    for attempt, most in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 4.0)]:
        pauses = [policy.pause(attempt, BrokenStream("x"), rng) or 0 for _ in range(200)]
        assert 0 <= min(pauses) < max(pauses) <= most


def test_what_cannot_help_is_not_tried_again() -> None:
    policy, rng = RetryPolicy(attempts=9), random.Random(1)
    assert policy.pause(1, BadRequest("x"), rng) is None
    assert policy.pause(9, BrokenStream("x"), rng) is None


# Many calls at once


async def test_no_more_requests_are_in_flight_than_the_backend_allows(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.token_delay = 0.001
    model, ledger = leftovers.model(concurrency=3), leftovers.ledger()
    calls = (model.ask(Request(messages=ASK), ledger=ledger, call_id=f"c{i}") for i in range(12))
    await asyncio.gather(*calls)
    assert server.peak_active == 3


async def test_cancelled_calls_give_their_places_back(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.token_delay = 0.002
    model, ledger, rng = leftovers.model(concurrency=3), leftovers.ledger(), random.Random(2)
    for turn in range(5):
        calls = [
            asyncio.create_task(
                model.ask(Request(messages=ASK), ledger=ledger, call_id=f"{turn}.{i}")
            )
            for i in range(9)
        ]
        await asyncio.sleep(rng.uniform(0, 0.03))
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    reply = await model.ask(Request(messages=ASK), ledger=ledger, call_id="last")
    assert reply.finish_reason == "stop"
    assert server.peak_active <= 3


async def test_two_runs_below_one_ledger_may_use_the_same_call_ids(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.token_delay = 0.001
    model, ledger = leftovers.model(), leftovers.ledger(Budget(tokens=3000))
    runs = [ledger.child(f"run{i}") for i in range(4)]
    await asyncio.gather(
        *(model.ask(Request(messages=ASK), ledger=run, call_id="answer") for run in runs)
    )
    assert len(ledger.journal()) == 4
    assert ledger.spent().total_tokens == server.spent_tokens


async def test_a_call_waits_for_its_budget_no_longer_than_its_timeout(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokens, server.token_delay = 200, 0.01
    model, ledger = leftovers.model(), leftovers.ledger(Budget(tokens=600))
    first = asyncio.create_task(
        model.ask(Request(messages=ASK, max_tokens=400), ledger=ledger, call_id="first")
    )
    await until(lambda: server.active == 1)
    request = Request(messages=ASK, max_tokens=400, timeout=0.1)
    with pytest.raises(DeadlineReached):
        await model.ask(request, ledger=ledger, call_id="second")
    assert len(server.requests) == 1
    first.cancel()
    await asyncio.wait([first])


def test_a_backend_forgets_the_event_loops_that_have_ended() -> None:
    backend = Backend("http://127.0.0.1:9/v1")

    async def use() -> None:
        with pytest.raises(Unreachable):
            await backend.get("/v1/models")

    for _ in range(3):
        asyncio.run(use())
    assert backend.lanes.open() == []


# Bytes that no server of ours sends

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CUT_BODY = b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
HI = b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n'
STOP = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'


@asynccontextmanager
async def raw_server(answer: bytes, listing: bytes = b"{}") -> AsyncIterator[str]:
    """Answers POST with these bytes and closes; GET with `answer` too, or a listing of models."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET") and answer.startswith(HEAD[:12]):
            length = b"Content-Length: %d\r\n\r\n" % len(listing)
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + length + listing)
        else:
            writer.write(answer)
        await writer.drain()
        # Reading what the request has left keeps the close from becoming a reset.
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await asyncio.sleep(0.01)


async def raw(leftovers: Leftovers, answer: bytes, listing: bytes = b"{}") -> Answered:
    async with raw_server(answer, listing) as address:
        model = leftovers.model(address, retry=RetryPolicy(attempts=1))
        try:
            return await ask(leftovers, model)
        finally:
            await model.aclose()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 500 Oops\r\n" + CUT_BODY, BrokenStream),
        (b"HTTP/1.1 429 Slow\r\n" + CUT_BODY, BrokenStream),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", MalformedReply),
        (HEAD + b"data: " + b"[" * 200_000 + b"\n\n", MalformedReply),
        (HEAD + b'data: {"choices": [{"delta": {"tool_calls": 5}}]}\n\n', MalformedReply),
        (HEAD + b'data: {"error": "out of memory"}\n\n', BackendFailed),
        (HEAD + b'data: {"error": {"message": "slow", "code": 429}}\n\n', RateLimited),
        (HEAD + b"data: x\n" * 1_000_000, MalformedReply),
        (HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\nno"), BrokenStream),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_bytes_that_make_no_sense_are_a_typed_error(
    answer: bytes, error: type[BackendError], leftovers: Leftovers
) -> None:
    with pytest.raises(error):
        await raw(leftovers, answer)


async def test_a_connection_that_breaks_after_the_finish_reason_costs_no_retry(
    leftovers: Leftovers,
) -> None:
    chunked = HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = HI + STOP
    reply = await raw(leftovers, chunked + b"%x\r\n%b\r\n" % (len(piece), piece))
    assert (reply.text, reply.finish_reason) == ("hi", "stop")


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>",
        b"[" * 200_000,
        b'{"data": 5}',
        b'{"data": [5]}',
        b'{"data": [{"id": "m", "owned_by": "vllm", "max_model_len": "long"}]}',
        b'{"data": [{"id": "m", "owned_by": "vllm", "max_model_len": -1}]}',
    ],
    ids=range(6),
)
async def test_a_list_of_models_that_makes_no_sense_does_not_stop_a_call(
    listing: bytes, leftovers: Leftovers
) -> None:
    assert (await raw(leftovers, HEAD + HI + STOP, listing)).text == "hi"


async def test_a_list_of_models_that_never_comes_ends_with_the_ledgers_time(
    leftovers: Leftovers,
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    model = leftovers.model(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    ledger = leftovers.ledger(Budget(seconds=0.2))
    began = time.monotonic()
    with pytest.raises(DeadlineReached):
        await model.ask(Request(messages=ASK), ledger=ledger, call_id="c")
    assert time.monotonic() - began < 1
    await model.aclose()
    server.close()


async def test_nobody_at_the_address_is_unreachable_and_costs_nothing(
    leftovers: Leftovers,
) -> None:
    model, ledger = leftovers.model("http://127.0.0.1:9/v1"), leftovers.ledger()
    with pytest.raises(Unreachable, match="mull doctor"):
        await model.ask(Request(messages=ASK), ledger=ledger, call_id="c")
    assert ledger.spent().calls == 0


async def test_the_profile_speaks_where_the_request_does_not(
    server: FaultServer, leftovers: Leftovers
) -> None:
    model = leftovers.model(profile=Profile(max_tokens=33, temperature=0.2))
    await ask(leftovers, model)
    await ask(leftovers, model, max_tokens=44, temperature=0.9)
    assert [_limits(exchange) for exchange in server.requests] == [(33, 0.2), (44, 0.9)]


def _limits(exchange: Exchange) -> tuple[int, float]:
    return exchange.body["max_tokens"], exchange.body["temperature"]


# A chain judged while it streams


class HeardEnough(Exception):
    """What a judge of the stream raises."""


class TimeIsUp(TimeoutError):
    """One that looks like the client's own timeout."""


JUDGEMENTS = [HeardEnough("weak"), TimeIsUp("weak"), BackendFailed("weak"), BadRequest("weak")]
SLOW = Request(messages=ASK, max_tokens=2000, logprobs=True)


@pytest.mark.parametrize("judgement", JUDGEMENTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("tokenizer", [None, "vllm", "llamacpp"])
async def test_what_on_delta_raises_cuts_the_stream_and_comes_out_unchanged(
    judgement: Exception, tokenizer: str | None, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer, server.tokens, server.token_delay = tokenizer, 2000, 0.005
    heard: list[Delta] = []

    def judge(delta: Delta) -> None:
        heard.append(delta)
        if len(heard) == 5:
            raise judgement

    ledger = leftovers.ledger()
    with pytest.raises(type(judgement)) as caught:
        await leftovers.model().ask(SLOW, ledger=ledger, call_id="c", on_delta=judge)
    assert caught.value is judgement
    assert caught.value.__cause__ is caught.value.__context__ is None
    (exchange,) = server.requests  # Not tried again.
    await until(lambda: exchange.aborted)
    assert exchange.completion_tokens < 100
    assert len(heard) == 5
    (entry,) = ledger.journal()
    assert entry.usage.output_tokens >= 5
    assert entry.usage.wasted_tokens == entry.usage.total_tokens < entry.bound.output_tokens


async def test_a_stream_that_is_cut_by_on_delta_is_charged_no_less_than_the_server_made(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokens, server.token_delay, server.bytes_per_token = 2000, 0.005, 1

    def judge(delta: Delta) -> None:
        if sum(map(len, heard)) > 20:
            raise HeardEnough
        heard.append(delta.text)

    heard: list[str] = []
    ledger = leftovers.ledger()
    with pytest.raises(HeardEnough):
        await leftovers.model().ask(SLOW, ledger=ledger, call_id="c", on_delta=judge)
    await until(lambda: server.requests[0].aborted)
    assert ledger.spent().total_tokens >= server.spent_tokens


async def test_deltas_bring_the_logprobs_of_their_tokens(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("yes indeed", logprob=-0.5)
    heard: list[Delta] = []
    reply = await leftovers.model().ask(
        Request(messages=ASK, logprobs=True, top_logprobs=2),
        ledger=leftovers.ledger(),
        call_id="c",
        on_delta=heard.append,
    )
    assert [(delta.text, delta.logprobs) for delta in heard] == [
        (token.token, (token,)) for token in reply.logprobs
    ]
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("tokenizer", "expected"), [(None, False), ("vllm", True), ("llamacpp", True)]
)
async def test_a_backend_that_tells_logprobs_is_known(
    tokenizer: str | None, expected: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer = tokenizer
    assert (await leftovers.model().capabilities()).logprobs is expected
