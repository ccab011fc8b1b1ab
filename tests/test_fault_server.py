"""The fault server does what it says; the other tests rest on it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fault_server import FAULTS, MARK, FaultServer, Reply, serve_in_process

Json = dict[str, Any]

ASK: Json = {
    "model": "m",
    "messages": [{"role": "user", "content": "How many?"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
PROMPT_TOKENS = 4 + 4  # the template, and 13 bytes of role and content


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


async def ask(http: aiohttp.ClientSession, server: FaultServer, **more: object) -> list[Any]:
    """The data of each event of one streamed answer, parsed where it is JSON."""
    async with http.post(f"{server.base_url}/chat/completions", json={**ASK, **more}) as response:
        assert response.status == 200, await response.text()
        events = (await response.text()).split("\n\n")
    return [_parsed(event.removeprefix("data: ")) for event in events if event]


def _parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


def joined(events: list[Any], name: str = "content") -> str:
    deltas = [c["delta"] for e in events if isinstance(e, dict) for c in e.get("choices", ())]
    return "".join(delta.get(name) or "" for delta in deltas)


async def refused(http: aiohttp.ClientSession, server: FaultServer, **more: object) -> Json:
    async with http.post(f"{server.base_url}/chat/completions", json={**ASK, **more}) as response:
        error: Json = (await response.json())["error"]
    return {**error, "status": response.status, "retry_after": response.headers.get("Retry-After")}


async def until(condition: Any, seconds: float = 2) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_healthy_answer_is_counted_as_it_was_streamed(http: aiohttp.ClientSession) -> None:
    async with FaultServer(reply="Answer: 42 \n", reasoning="I think so") as server:
        *chunks, usage, done = await ask(http, server)
        assert joined(chunks) == "Answer: 42 \n"
        assert joined(chunks, "reasoning_content") == "I think so"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert usage["choices"] == []
        assert usage["usage"]["prompt_tokens"] == PROMPT_TOKENS
        assert usage["usage"]["completion_tokens"] == 6
        assert usage["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3
        assert done == "[DONE]"
        (exchange,) = server.requests
        assert exchange.finished
        assert not exchange.aborted
        assert server.spent_tokens == PROMPT_TOKENS + 6


@pytest.mark.parametrize("stream", [True, False])
async def test_it_keeps_to_the_token_limit_and_stop_strings(
    http: aiohttp.ClientSession, stream: bool
) -> None:
    async with FaultServer(reply="one two three four") as server:
        for more, text, reason in (
            ({"max_tokens": 2}, "one two", "length"),
            ({"max_completion_tokens": 4}, "one two three four", "stop"),
            ({"stop": [" three"]}, "one two", "stop"),
        ):
            events = await ask(http, server, stream=stream, **more)
            if stream:
                assert joined(events) == text
                assert events[-3]["choices"][0]["finish_reason"] == reason
            else:
                assert events[0]["choices"][0]["message"]["content"] == text
                assert events[0]["choices"][0]["finish_reason"] == reason
            assert server.requests[-1].completion_tokens == len(text.split())


async def test_tool_calls_come_in_fragments_and_logprobs_per_token(
    http: aiohttp.ClientSession,
) -> None:
    reply = Reply("ok then", tool_calls=[("add", {"a": 1, "b": 22}), ("now", {})])
    async with FaultServer(reply=lambda body: reply, tokens_per_chunk=2) as server:
        events = await ask(http, server, logprobs=True, top_logprobs=2)
        calls: dict[int, str] = {}
        for event in events[:-2]:
            for part in event["choices"][0]["delta"].get("tool_calls", ()):
                name = part["function"].get("name", "")
                calls[part["index"]] = (
                    calls.get(part["index"], "") + name + part["function"]["arguments"]
                )
        assert calls == {0: 'add{"a":1,"b":22}', 1: "now{}"}
        assert events[-3]["choices"][0]["finish_reason"] == "tool_calls"
        logprobs = events[1]["choices"][0]["logprobs"]["content"]
        assert [entry["token"] for entry in logprobs] == ["ok", " then"]
        assert [len(entry["top_logprobs"]) for entry in logprobs] == [2, 2]


async def test_each_tokenizer_agrees_with_the_prompt_tokens_counted(
    http: aiohttp.ClientSession,
) -> None:
    messages = [{"role": "system", "content": "Sé brève"}, *ASK["messages"]]
    body = {"messages": messages, "tools": [{"function": {"name": "add"}}]}
    async with FaultServer(tokenizer="vllm", context=900) as server:
        options = {"include_usage": True, "continuous_usage_stats": True}
        events = await ask(http, server, **body, stream_options=options)
        async with http.post(f"{server.root_url}/tokenize", json=body) as response:
            vllm = await response.json()
        async with http.get(f"{server.base_url}/models") as response:
            (listed,) = (await response.json())["data"]
        counted = server.requests[0].prompt_tokens
        assert vllm["count"] == len(vllm["tokens"]) == counted
        assert vllm["max_model_len"] == listed["max_model_len"] == 900
        assert [e["usage"]["completion_tokens"] for e in events[1:4]] == [1, 2, 3]
    async with FaultServer(tokenizer="llamacpp") as server:
        events = await ask(http, server, **body, timings_per_token=True)
        async with http.post(f"{server.root_url}/apply-template", json=body) as response:
            prompt = (await response.json())["prompt"]
        async with http.post(f"{server.root_url}/tokenize", json={"content": prompt}) as response:
            tokens = (await response.json())["tokens"]
        assert len(tokens) == server.requests[0].prompt_tokens == counted
        assert counted <= len(prompt.replace(MARK, "").encode()) + 4 * 2
        assert events[2]["timings"] == {"cache_n": 0, "prompt_n": counted, "predicted_n": 2}


@pytest.mark.parametrize(
    "knobs", [{"token_delay": 0.005}, {"delay": 30.0}, {}, {"stream": False, "token_delay": 0.005}]
)
async def test_a_client_that_closes_stops_the_generation_at_once(knobs: Json) -> None:
    stream = knobs.pop("stream", True)
    async with FaultServer(tokens=20_000, **knobs) as server:
        session = aiohttp.ClientSession()
        body = {**ASK, "stream": stream}
        request = asyncio.create_task(
            session.post(f"{server.base_url}/chat/completions", json=body)
        )
        await until(lambda: server.active == 1)
        await asyncio.sleep(0.05)
        request.cancel()
        if request.done():
            (await request).close()
        await session.close()
        closed = time.monotonic()
        await until(lambda: server.active == server.open_connections == 0)
        (exchange,) = server.requests
        assert exchange.aborted
        assert not exchange.finished
        assert exchange.closed_at is not None
        assert exchange.closed_at - closed < 0.05
        spent = server.spent_tokens
        await asyncio.sleep(0.05)
        assert server.spent_tokens == spent


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("status_400", 400, None),
        ("status_401", 401, "invalid_api_key"),
        ("status_404_model", 404, "model_not_found"),
        ("status_429", 429, "rate_limit_exceeded"),
        ("status_500", 500, None),
        ("status_503", 503, None),
        ("context_overflow", 400, "context_length_exceeded"),
    ],
)
async def test_a_refused_request_costs_nothing(
    http: aiohttp.ClientSession, fault: str, status: int, code: str | None
) -> None:
    async with FaultServer([fault, "none"], retry_after=0.5) as server:
        error = await refused(http, server)
        assert (error["status"], error["code"]) == (status, code)
        assert error["retry_after"] == ("0.5" if status == 429 else None)
        assert server.spent_tokens == 0
        assert (await ask(http, server))[-1] == "[DONE]"
        assert [e.fault for e in server.requests] == [fault, "none"]


async def test_key_models_context_and_limit_name_are_checked(http: aiohttp.ClientSession) -> None:
    knobs: Json = {"models": ["m"], "context": 50, "max_tokens_field": "max_completion_tokens"}
    async with FaultServer(api_key="k", **knobs) as server:
        assert (await refused(http, server))["status"] == 401
        http.headers["Authorization"] = "Bearer k"
        assert (await refused(http, server, model="x"))["code"] == "model_not_found"
        error = await refused(http, server, max_tokens=5)
        assert (error["code"], error["param"]) == ("unsupported_parameter", "max_tokens")
        error = await refused(http, server, max_completion_tokens=43)
        assert error["code"] == "context_length_exceeded"
        await ask(http, server, max_completion_tokens=42)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reset", aiohttp.ClientOSError),
        ("reset_mid_stream", aiohttp.ClientPayloadError),
        ("truncated_http", aiohttp.ClientPayloadError),
        ("hang_before_headers", TimeoutError),
        ("hang_mid_stream", TimeoutError),
    ],
)
async def test_a_broken_connection_counts_what_was_generated(
    http: aiohttp.ClientSession, fault: str, error: type[Exception]
) -> None:
    async with FaultServer(fault) as server:
        with pytest.raises(error):
            await asyncio.wait_for(ask(http, server), 0.3)
        await until(lambda: server.active == 0)
        (exchange,) = server.requests
        assert exchange.prompt_tokens == PROMPT_TOKENS
        assert exchange.completion_tokens == (3 if "stream" in fault or "http" in fault else 0)
        assert exchange.aborted == ("hang" in fault)
        assert not exchange.finished


async def test_broken_streams_have_the_shape_of_their_name(http: aiohttp.ClientSession) -> None:
    async with FaultServer("truncated_sse") as server:
        *sound, cut = await ask(http, server)
        assert len(sound) == 1 + 3
        assert isinstance(cut, str)
        assert cut != "[DONE]"
        server.fault = "invalid_json"
        events = await ask(http, server)
        assert "oops" in events[4]
        assert events[-1] == "[DONE]"
        server.fault = "error_event"
        events = await ask(http, server)
        assert events[4]["error"]["code"] == 500
        assert events[5:] == ["[DONE]"]
        server.fault = "empty_choices"
        events = await ask(http, server)
        assert not any(event["choices"] for event in events[:-1])
        server.fault = "slow_drip"
        assert (await ask(http, server))[-1] == "[DONE]"
        server.fault = "huge"
        assert len(joined(await ask(http, server))) > 10_000_000
        server.fault = "html"
        assert "<html>" in (await ask(http, server))[0]
        server.fault = "not_sse"
        (whole,) = await ask(http, server)
        assert whole["object"] == "chat.completion"
        server.fault = "unknown_tool"
        calls = (await ask(http, server, stream=False))[0]["choices"][0]["message"]["tool_calls"]
        assert calls[0]["function"] == {"name": "no_such_tool", "arguments": '{"x":1}'}
        server.fault = "broken_tool_json"
        calls = (await ask(http, server, stream=False))[0]["choices"][0]["message"]["tool_calls"]
        assert isinstance(_parsed(calls[0]["function"]["arguments"]), str)
        with pytest.raises(ValueError, match="unknown faults"):
            server.fault = "flood"


async def test_a_usage_that_lies_leaves_the_servers_own_count_true(
    http: aiohttp.ClientSession,
) -> None:
    async with FaultServer("usage_too_low") as server:
        assert (await ask(http, server))[-2]["usage"]["completion_tokens"] == 10
        server.fault = "usage_too_high"
        assert (await ask(http, server))[-2]["usage"]["completion_tokens"] == 60
        server.fault = "usage_null"
        assert (await ask(http, server))[-2]["usage"] is None
        server.fault = "no_usage"
        assert (await ask(http, server))[-2]["choices"][0]["finish_reason"] == "stop"
        server.fault = "longer_than_asked"
        await ask(http, server, max_tokens=5)
        assert [e.completion_tokens for e in server.requests] == [20, 20, 20, 20, 50]


async def test_a_stale_connection_closes_when_its_second_request_arrives(
    http: aiohttp.ClientSession,
) -> None:
    async with FaultServer("stale_keepalive") as server:
        await ask(http, server)
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(http, server)
        await ask(http, server)
        assert [e.finished for e in server.requests] == [True, False, True]
        assert server.requests[1].prompt_tokens == 0


async def test_parallel_answers_share_the_processor_and_keep_their_connections(
    http: aiohttp.ClientSession,
) -> None:
    async with FaultServer(token_delay=0.001) as server:
        for _ in range(2):
            await asyncio.gather(*(ask(http, server) for _ in range(64)))
        assert server.peak_active == server.open_connections == 64
        assert server.spent_tokens == 128 * (PROMPT_TOKENS + 20)


async def test_a_failing_reply_function_fails_the_test(http: aiohttp.ClientSession) -> None:
    def reply(body: Json) -> str:
        raise LookupError(body["model"])

    server = FaultServer(reply=reply)
    await server.start()
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(http, server)
    with pytest.raises(RuntimeError, match="fault server"):
        await server.stop()


async def test_a_process_of_its_own_keeps_the_same_account(http: aiohttp.ClientSession) -> None:
    with serve_in_process(["status_500", "none"], tokens=7, api_key="7") as server:
        headers = {"Authorization": "Bearer 7"}
        for status in (500, 200):
            url = f"{server.base_url}/chat/completions"
            async with http.post(url, json=ASK, headers=headers) as response:
                assert response.status == status
                await response.read()
        counts = server.counts()
        assert (counts["requests"], counts["spent_tokens"]) == (2, PROMPT_TOKENS + 7)
        assert (counts["active"], counts["aborted"]) == (0, 0)


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_every_fault_ends_cleanly_while_a_client_is_still_waiting(fault: str) -> None:
    async with aiohttp.ClientSession() as http, FaultServer(fault, token_delay=0.01) as server:
        request = asyncio.create_task(ask(http, server))
        await until(lambda: server.requests)
        await server.stop()
        await asyncio.wait({request}, timeout=5)
        assert request.done()
        request.exception()
        await server.start()
