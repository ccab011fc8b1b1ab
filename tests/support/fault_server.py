"""An OpenAI-compatible chat server that misbehaves on request, down to the bytes on the wire.

It also keeps its own account: the prompt and completion tokens it really processed, whatever it
tells the client. As a process: ``python tests/fault_server.py --fault none --port 0 --tokens 50``.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

Json = dict[str, Any]

MID_STREAM = {
    "hang_mid_stream",
    "reset_mid_stream",
    "truncated_sse",
    "truncated_http",
    "invalid_json",
    "error_event",
}
REFUSALS: dict[str, tuple[int, str, str | None]] = {
    "status_400": (400, "Invalid request", None),
    "status_401": (401, "Incorrect API key provided", "invalid_api_key"),
    "status_429": (429, "Rate limit reached", "rate_limit_exceeded"),
    "status_500": (500, "Internal server error", None),
    "status_503": (503, "Loading model", None),
}
USAGE_FACTORS = {"usage_too_low": 0.5, "usage_too_high": 3.0}
FAULTS = {
    "none",
    "hang_before_headers",
    "reset",
    "empty_choices",
    "no_usage",
    "usage_null",
    "status_404_model",
    "context_overflow",
    "longer_than_asked",
    "broken_tool_json",
    "unknown_tool",
    "huge",
    "html",
    "not_sse",
    "slow_drip",
    "stale_keepalive",
    *MID_STREAM,
    *REFUSALS,
    *USAGE_FACTORS,
}

MARK = "<|m|>"
"""Opens each message of a rendered prompt; costs `Knobs.template_tokens`."""

WORDS = "so then we add two more terms and check that the sum is still right"


@dataclass(frozen=True)
class Reply:
    """What the model says: reasoning first, then text, then tool calls."""

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[tuple[str, Json | str]] = ()
    """Name and arguments of each call; a string goes out as it is."""
    finish_reason: str | None = None
    """None: "tool_calls" or "stop", and "length" where the token limit cuts the reply."""
    logprobs: bool = True
    """False: none come back even where the request asks for them."""
    logprob: float = -0.1
    """Of every token of the text."""


@dataclass(kw_only=True)
class Knobs:
    """How the server behaves apart from its fault. Times are seconds; any may change while it runs.

    A reply or length given as a function is called once per choice of a request.
    """

    reply: str | Callable[[Json], Reply | str] | None = None
    """None: `tokens` words drawn from `seed` and the number of the request."""
    tokens: int | Callable[[Json, random.Random], int] = 20
    seed: int = 0
    reasoning: str = ""
    """Streamed before the text, except where `reply` returns a Reply."""
    reasoning_field: str = "reasoning_content"
    delay: float = 0.0
    """Before the headers."""
    token_delay: float = 0.0
    tokens_per_chunk: int = 1
    """More: text comes in chunks of several tokens, as with speculative decoding."""
    fault_after: int = 3
    """Chunks that go out well before a mid-stream fault."""
    retry_after: float = 1.0
    drip: float = 0.0
    """Between the bytes of slow_drip."""
    bytes_per_token: int = 4
    """Of the prompt; 1 is the worst that a byte-level tokenizer can do."""
    template_tokens: int = 4
    """Per message."""
    cached_tokens: int = 0
    """How much of each prompt the usage reports as cached."""
    tokenizer: str | None = None
    """None (a hosted API), "vllm" or "llamacpp": whose endpoints, fields and errors it has."""
    context: int | None = None
    """Tokens; None is 32768 with a tokenizer, else unlimited."""
    api_key: str | None = None
    models: Sequence[str] = ()
    """Empty: any name is served."""
    max_tokens_field: str | None = None
    """The only name of the limit that is accepted; None takes both."""
    unsupported: Sequence[str] = ()
    """Settings that it turns down, as OpenAI does for some models."""


@dataclass
class Exchange:
    """One request and what became of it; the token counts are true even where the usage lies."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    number: int = 0
    """1 for the first to arrive of its kind; names the answer and seeds its words."""
    body: Json = field(default_factory=dict)
    fault: str = "none"
    status: int | None = None
    """None until headers were sent."""
    prompt_tokens: int = 0
    """0 where the request was refused."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Part of `completion_tokens`."""
    started: float = field(default_factory=time.monotonic)
    closed_at: float | None = None
    """`time.monotonic()` when the client closed before the end, else None."""
    finished: bool = False
    """The whole answer, an error's included, was sent."""

    @property
    def aborted(self) -> bool:
        """The client closed before the end."""
        return self.closed_at is not None


@dataclass
class Chunk:
    """One streamed delta of one choice; each of its words is a token."""

    choice: int
    kind: str
    """"content", "reasoning" or "tool"."""
    words: list[str]
    delta: Json
    logprob: float | None = None

    @property
    def text(self) -> str:
        return "".join(self.words)


class Refused(Exception):
    """The request gets an error status instead of an answer."""

    def __init__(self, status: int, message: str, code: object = None, **more: object) -> None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "param": None, "code": code, **more}
        super().__init__(message)
        self.status = status
        self.payload: Json = {"error": error}


class Wire:
    """Writes HTTP answers, whole or chunked, to one connection."""

    def __init__(self, writer: asyncio.StreamWriter, exchange: Exchange, drip: float | None):
        self._writer = writer
        self._exchange = exchange
        self._drip = drip

    async def send(self, data: bytes) -> None:
        if self._drip is None:
            self._writer.write(data)
        else:
            for byte in data:
                self._writer.write(bytes((byte,)))
                await self._writer.drain()
                await asyncio.sleep(self._drip)
        await self._writer.drain()

    async def head(self, status: int, kind: str, *more: str) -> None:
        self._exchange.status = status
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {kind}", *more]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def whole(self, status: int, payload: Json | str, *more: str) -> None:
        """A page where the payload is text, else JSON."""
        html = isinstance(payload, str)
        data = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
        kind = "text/html" if html else "application/json"
        await self.head(status, kind, f"Content-Length: {len(data)}", *more)
        await self.send(data)
        self._exchange.finished = True

    async def event(self, payload: Json | str) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        await self.raw(f"data: {text}\n\n".encode())

    async def raw(self, data: bytes, *, last: bool = False) -> None:
        """One HTTP chunk; `last` also ends the body."""
        end = b"\r\n0\r\n\r\n" if last else b"\r\n"
        await self.send(b"%x\r\n%b%b" % (len(data), data, end))

    def reset(self) -> None:
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class FaultServer(Knobs):
    """Serves on a free port of 127.0.0.1 inside ``async with``.

    A failure of the server itself, as in a `reply` function, is raised when the block ends.
    """

    def __init__(self, fault: str | Iterable[str] = "none", **knobs: Any) -> None:
        super().__init__(**knobs)
        self.fault = fault
        self.requests: list[Exchange] = []
        """The chat completions, in order of arrival."""
        self.side_requests: list[Exchange] = []
        """Everything else: model lists, tokenizers, unknown paths."""
        self.open_connections = 0
        self.active = 0
        self.peak_active = 0
        self.port = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    @property
    def fault(self) -> str:
        """The latest request's; set one name, or several: one per request, the last repeats."""
        return self._fault

    @fault.setter
    def fault(self, value: str | Iterable[str]) -> None:
        names = [value] if isinstance(value, str) else value
        if isinstance(names, Sequence) and (unknown := set(names) - FAULTS):
            raise ValueError(f"unknown faults {unknown}; use one of {sorted(FAULTS)}")
        self._faults = iter(names)
        self._fault = names[0] if isinstance(names, Sequence) else "none"

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/v1"

    @property
    def spent_tokens(self) -> int:
        """Prompt and completion tokens that the server itself counted."""
        return sum(e.prompt_tokens + e.completion_tokens for e in self.requests)

    def counts(self) -> Json:
        """The account as GET /counts gives it; `open` leaves out the asking connection."""
        return {
            "spent_tokens": self.spent_tokens,
            "prompt_tokens": sum(e.prompt_tokens for e in self.requests),
            "completion_tokens": sum(e.completion_tokens for e in self.requests),
            "requests": len(self.requests),
            "finished": sum(e.finished for e in self.requests),
            "aborted": sum(e.aborted for e in self.requests),
            "open": self.open_connections - 1,
            "active": self.active,
            "peak_active": self.peak_active,
        }

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", port, limit=1 << 20, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)
        if self._failures:
            raise RuntimeError("the fault server itself failed") from self._failures.pop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._connections.discard(task)
            if not task.cancelled() and (error := task.exception()):
                self._failures.append(error)

        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(ended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection; reading on meanwhile shows when it is closed."""
        self.open_connections += 1
        answer: asyncio.Task[bool] | None = None
        head = asyncio.create_task(_read_head(reader))
        try:
            served = 0
            while exchange := await head:
                length = int(exchange.headers.get("content-length", 0))
                raw = await reader.readexactly(length)
                with contextlib.suppress(ValueError):
                    exchange.body = json.loads(raw)
                head = asyncio.create_task(_read_head(reader))
                answer = asyncio.create_task(self._answer(exchange, writer, served))
                await asyncio.wait({head, answer}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done() and head.result() is None:
                    exchange.closed_at = time.monotonic()
                    answer.cancel()
                await asyncio.wait({answer})
                if answer.cancelled() or not answer.result():
                    break
                served += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            head.cancel()
            if answer is not None and not answer.done():
                answer.cancel()
                await asyncio.wait({answer})
                writer.transport.abort()
            writer.close()

    async def _answer(self, exchange: Exchange, writer: asyncio.StreamWriter, served: int) -> bool:
        """Answer one request; True where the connection may serve another."""
        chat = exchange.path.endswith("/chat/completions")
        arrived = self.requests if chat else self.side_requests
        arrived.append(exchange)
        exchange.number = len(arrived)
        if chat:
            self._fault = exchange.fault = next(self._faults, self._fault)
        wire = Wire(writer, exchange, self.drip if exchange.fault == "slow_drip" else None)
        if exchange.fault == "stale_keepalive" and served:
            return False
        self.active += chat
        self.peak_active = max(self.peak_active, self.active)
        try:
            self._check_key(exchange)
            if not chat:
                await wire.whole(200, self._side(exchange))
                return True
            return await self._chat(exchange, wire)
        except Refused as refused:
            await wire.whole(
                refused.status,
                refused.payload,
                *([f"Retry-After: {self.retry_after:g}"] if refused.status == 429 else []),
            )
            return True
        except ConnectionError:
            exchange.closed_at = time.monotonic()
            return False
        finally:
            self.active -= chat

    def _check_key(self, exchange: Exchange) -> None:
        given = exchange.headers.get("authorization")
        if self.api_key and exchange.path != "/counts" and given != f"Bearer {self.api_key}":
            raise Refused(*REFUSALS["status_401"])

    def _side(self, exchange: Exchange) -> Json:
        body, window = exchange.body, self._window()
        match self.tokenizer, exchange.path:
            case _, "/counts":
                return self.counts()
            case kind, "/v1/models":
                more: Json = {"owned_by": kind or "faulty", "object": "model", "created": 0}
                if kind == "vllm":
                    more["max_model_len"] = window
                elif kind == "llamacpp":
                    more["meta"] = {"n_ctx_train": window}
                listed = [{"id": name, **more} for name in self.models or ["fault-model"]]
                return {"object": "list", "data": listed}
            case "vllm", "/tokenize":
                count = self._count(body["prompt"] if "prompt" in body else self._render(body))
                return {"count": count, "max_model_len": window, "tokens": list(range(count))}
            case "llamacpp", "/props":
                settings: Json = {"n_ctx": window}
                return {"default_generation_settings": settings, "total_slots": 4}
            case "llamacpp", "/apply-template":
                return {"prompt": self._render(body)}
            case "llamacpp", "/tokenize":
                return {"tokens": list(range(self._count(body.get("content", ""))))}
        raise Refused(404, f"no such path: {exchange.path}")

    def _render(self, body: Json) -> str:
        if not isinstance(body.get("messages"), list):
            raise Refused(400, "Missing required parameter: 'messages'.", param="messages")
        parts = [_dumps(body["tools"])] if body.get("tools") else []
        for message in body["messages"]:
            content = message.get("content") or ""
            text = content if isinstance(content, str) else _dumps(content)
            calls = _dumps(message["tool_calls"]) if message.get("tool_calls") else ""
            parts += [MARK, message["role"], text, calls]
        return "".join(parts)

    def _count(self, text: str) -> int:
        marks = text.count(MARK)
        rest = len(text.encode()) - marks * len(MARK)
        return -(-rest // self.bytes_per_token) + marks * self.template_tokens

    def _window(self) -> int | None:
        return self.context or (32768 if self.tokenizer else None)

    def _limit(self, exchange: Exchange) -> int | None:
        """Check the request; return how many tokens each choice may have."""
        body, fault = exchange.body, exchange.fault
        if fault in REFUSALS:
            raise Refused(*REFUSALS[fault])
        model = body.get("model")
        if fault == "status_404_model" or (self.models and model not in self.models):
            raise Refused(404, f"The model `{model}` does not exist.", "model_not_found")
        names = {"max_tokens", "max_completion_tokens"}
        for name in self.unsupported:
            if name in exchange.body:
                said = f"Unsupported parameter: '{name}' is not supported with this model."
                raise Refused(400, said, "unsupported_parameter")
        for name in names - {self.max_tokens_field} if self.max_tokens_field else ():
            if body.get(name) is not None:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                hint = f" Use '{self.max_tokens_field}' instead."
                raise Refused(400, message + hint, "unsupported_parameter", param=name)
        limits = [body[name] for name in names if body.get(name) is not None]
        limit: int | None = min(limits, default=None)
        if limit is not None and limit < 1:
            raise Refused(400, "max_tokens must be at least 1", param="max_tokens")
        prompt = self._count(self._render(body))
        window = prompt if fault == "context_overflow" else self._window()
        # llama.cpp refuses only the prompt, and cuts the reply where its context ends.
        wanted = 1 if self.tokenizer == "llamacpp" or limit is None else limit
        if window is not None:
            if prompt + wanted > window:
                raise self._overflow(window, prompt, wanted)
            limit = min(limit or window, window - prompt)
        exchange.prompt_tokens = prompt
        return limit

    def _overflow(self, window: int, prompt: int, wanted: int) -> Refused:
        if self.tokenizer == "llamacpp":
            message = "the request exceeds the available context size, try increasing it"
            kind = "exceed_context_size_error"
            return Refused(400, message, 400, type=kind, n_prompt_tokens=prompt, n_ctx=window)
        message = (
            f"This model's maximum context length is {window} tokens. However, you requested "
            f"{prompt + wanted} tokens ({prompt} in the messages, {wanted} in the completion). "
            "Please reduce the length of the messages or completion."
        )
        if self.tokenizer == "vllm":
            return Refused(400, message, 400, type="BadRequestError")
        return Refused(400, message, "context_length_exceeded", param="messages")

    async def _chat(self, exchange: Exchange, wire: Wire) -> bool:
        limit = self._limit(exchange)
        if exchange.fault == "reset":
            wire.reset()
            return False
        await asyncio.sleep(self.delay)
        if exchange.fault == "hang_before_headers":
            await asyncio.Event().wait()
        if exchange.fault == "html":
            await wire.whole(200, "<!doctype html><html><body>Welcome back</body></html>")
            return True
        chunks, reasons = self._generate(exchange, limit)
        if exchange.body.get("stream") and exchange.fault != "not_sse":
            return await self._stream(exchange, wire, chunks, reasons)
        for chunk in chunks:
            await self._pause(chunk, exchange)
        choices = [
            {
                "index": index,
                "message": _message([c for c in chunks if c.choice == index]),
                "logprobs": _logprobs(exchange.body, [c for c in chunks if c.choice == index]),
                "finish_reason": reason,
            }
            for index, reason in enumerate(reasons)
        ]
        if exchange.fault == "empty_choices":
            choices = []
        envelope = self._envelope(exchange, "chat.completion")
        more = {} if exchange.fault == "no_usage" else {"usage": self._usage(exchange)}
        timings = {"timings": self._timings(exchange)} if self.tokenizer == "llamacpp" else {}
        await wire.whole(200, {**envelope, "choices": choices, **more, **timings})
        return True

    async def _stream(
        self, exchange: Exchange, wire: Wire, chunks: list[Chunk], reasons: list[str]
    ) -> bool:
        body, fault = exchange.body, exchange.fault
        options = body.get("stream_options") or {}
        envelope = self._envelope(exchange, "chat.completion.chunk")
        every_usage = self.tokenizer == "vllm" and options.get("continuous_usage_stats")
        every_timing = self.tokenizer == "llamacpp" and body.get("timings_per_token")

        async def emit(*choices: Json, last: bool = False) -> None:
            more: Json = {}
            if (every_usage or last) and fault != "no_usage":
                more["usage"] = self._usage(exchange)
            elif options.get("include_usage") and self.tokenizer is None:
                more["usage"] = None
            if every_timing or (last and self.tokenizer == "llamacpp"):
                more["timings"] = self._timings(exchange)
            await wire.event({**envelope, "choices": choices, **more})

        async def emit_chunks(part: list[Chunk]) -> None:
            for chunk in part:
                await self._pause(chunk, exchange)
                logprobs = _logprobs(exchange.body, [chunk])
                await emit(_choice(chunk.choice, chunk.delta, None, logprobs))

        closing = ["Connection: close"] if fault in {"truncated_sse", "error_event"} else []
        await wire.head(200, "text/event-stream", "Transfer-Encoding: chunked", *closing)
        if fault == "empty_choices":
            for _ in range(self.fault_after):
                await emit()
        else:
            for index in range(len(reasons)):
                await emit(_choice(index, {"role": "assistant", "content": ""}))
            sound = self.fault_after if fault in MID_STREAM else len(chunks)
            await emit_chunks(chunks[:sound])
            if fault in MID_STREAM and not await self._misbehave(fault, wire):
                return False
            await emit_chunks(chunks[sound:])
            for index, reason in enumerate(reasons):
                await emit(_choice(index, {}, reason))
        if options.get("include_usage") and fault != "no_usage":
            await emit(last=True)
        await wire.raw(b"data: [DONE]\n\n", last=True)
        exchange.finished = True
        return True

    async def _misbehave(self, fault: str, wire: Wire) -> bool:
        """Do the fault in mid stream; True where the stream goes on after it."""
        match fault:
            case "hang_mid_stream":
                await asyncio.Event().wait()
            case "reset_mid_stream":
                await asyncio.sleep(0.01)  # so that the client first reads what came before
                wire.reset()
            case "truncated_sse":
                await wire.raw(b'data: {"id": "cut", "choices": [{"index": 0, "de', last=True)
            case "truncated_http":
                await wire.send(b'100\r\ndata: {"id": "cut", "choices": [{"index')
            case "invalid_json":
                await wire.event('{"choices": [{"index": 0, "delta": oops')
                return True
            case "error_event":
                message = "EngineCore encountered an issue"
                await wire.event(Refused(500, message, 500, type="InternalServerError").payload)
                if self.tokenizer != "llamacpp":
                    await wire.event("[DONE]")
                await wire.send(b"0\r\n\r\n")
        return False

    async def _pause(self, chunk: Chunk, exchange: Exchange) -> None:
        """Take the time to generate a chunk, and count it; a close of the client shows here."""
        await asyncio.sleep(self.token_delay * len(chunk.words))
        exchange.completion_tokens += len(chunk.words)
        exchange.reasoning_tokens += len(chunk.words) if chunk.kind == "reasoning" else 0

    def _generate(self, exchange: Exchange, limit: int | None) -> tuple[list[Chunk], list[str]]:
        """The chunks of all choices, choice after choice, and the finish reason of each."""
        body, fault = exchange.body, exchange.fault
        rng = random.Random(f"{self.seed}/{exchange.number}")
        chunks: list[Chunk] = []
        reasons = []
        for index in range(body.get("n") or 1):
            if fault == "huge":
                chunks += [self._text(index, "content", ["word " * (400 << 10)])] * 5
                reasons.append("stop")
                continue
            ceiling = limit
            reply = self._reply(body, fault, rng)
            if fault == "longer_than_asked":
                reply, ceiling = Reply(_words(10 * (limit or 100), rng)), None
            pieces = self._split(exchange.number, index, reply, body.get("stop") or [])
            natural = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
            reasons.append("length" if ceiling and len(pieces) > ceiling else natural)
            chunks += self._merge(pieces[:ceiling])
        return chunks, reasons

    def _reply(self, body: Json, fault: str, rng: random.Random) -> Reply:
        if fault == "unknown_tool":
            return Reply(tool_calls=[("no_such_tool", {"x": 1})])
        if fault == "broken_tool_json":
            tools = body.get("tools") or [{"function": {"name": "tool"}}]
            return Reply(
                tool_calls=[(tools[0]["function"]["name"], '{"code": "print(1)", "x": [1,')]
            )
        if self.reply is None:
            length = self.tokens(body, rng) if callable(self.tokens) else self.tokens
            return Reply(_words(length, rng), self.reasoning)
        reply = self.reply(body) if callable(self.reply) else self.reply
        return reply if isinstance(reply, Reply) else Reply(reply, self.reasoning)

    def _text(self, index: int, kind: str, words: list[str], logprob: float | None = None) -> Chunk:
        name = self.reasoning_field if kind == "reasoning" else "content"
        return Chunk(index, kind, words, {name: "".join(words)}, logprob)

    def _split(self, number: int, index: int, reply: Reply, stop: str | list[str]) -> list[Chunk]:
        """A reply as chunks of one token: a word, or a fragment of a tool call."""
        text = reply.text
        for end in [stop] if isinstance(stop, str) else stop:
            text = text.partition(end)[0]
        logprob = reply.logprob if reply.logprobs else None
        chunks = [self._text(index, "reasoning", [word]) for word in _tokens(reply.reasoning)]
        chunks += [self._text(index, "content", [word], logprob) for word in _tokens(text)]
        for call, (name, arguments) in enumerate(reply.tool_calls):
            raw = arguments if isinstance(arguments, str) else _dumps(arguments)
            opening = {
                "index": call,
                "id": f"call_{number}_{index}_{call}",
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
            chunks.append(Chunk(index, "tool", [name], {"tool_calls": [opening]}))
            for start in range(0, len(raw), 8):
                piece = raw[start : start + 8]
                fragment = {"index": call, "function": {"arguments": piece}}
                chunks.append(Chunk(index, "tool", [piece], {"tool_calls": [fragment]}))
        return chunks

    def _merge(self, chunks: list[Chunk]) -> list[Chunk]:
        """Join the words of neighbours into chunks of `tokens_per_chunk`."""
        merged: list[Chunk] = []
        for chunk in chunks:
            last = merged[-1] if merged else chunk
            joins = chunk.kind == last.kind != "tool" and len(last.words) < self.tokens_per_chunk
            if merged and joins:
                words = last.words + chunk.words
                merged[-1] = self._text(chunk.choice, chunk.kind, words, chunk.logprob)
            else:
                merged.append(chunk)
        return merged

    def _envelope(self, exchange: Exchange, kind: str) -> Json:
        model = exchange.body.get("model")
        return {"id": f"chatcmpl-{exchange.number}", "object": kind, "created": 0, "model": model}

    def _usage(self, exchange: Exchange) -> Json | None:
        if exchange.fault == "usage_null":
            return None
        factor = USAGE_FACTORS.get(exchange.fault, 1.0)
        prompt = int(exchange.prompt_tokens * factor)
        completion = int(exchange.completion_tokens * factor)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": min(self.cached_tokens, prompt)},
            "completion_tokens_details": {"reasoning_tokens": exchange.reasoning_tokens},
        }

    def _timings(self, exchange: Exchange) -> Json:
        cached = min(self.cached_tokens, exchange.prompt_tokens)
        fresh = exchange.prompt_tokens - cached
        return {"cache_n": cached, "prompt_n": fresh, "predicted_n": exchange.completion_tokens}


async def _read_head(reader: asyncio.StreamReader) -> Exchange | None:
    """The next request without its body; None where the client has closed."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = raw.decode("latin-1").split("\r\n")
    headers = (line.partition(":") for line in lines if line)
    return Exchange(first.split(" ")[1], {k.lower(): v.strip() for k, _, v in headers})


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+", text)


def _words(count: int, rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS.split(), k=count))


def _choice(
    index: int, delta: Json, reason: str | None = None, logprobs: Json | None = None
) -> Json:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(body: Json, chunks: list[Chunk]) -> Json | None:
    """The logprobs of the text's tokens, each with as many alternatives as the request asks."""
    ranks = range(body.get("top_logprobs") or 0)
    content = [
        {
            **_logprob(word, chunk.logprob),
            "top_logprobs": [
                _logprob(f" other{rank}" if rank else word, chunk.logprob - rank) for rank in ranks
            ],
        }
        for chunk in chunks
        if body.get("logprobs") and chunk.logprob is not None
        for word in chunk.words
    ]
    return {"content": content} if content else None


def _logprob(token: str, logprob: float) -> Json:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _message(chunks: list[Chunk]) -> Json:
    """The message that the deltas of a choice add up to."""
    message: Json = {"role": "assistant", "content": None}
    calls: list[Json] = []
    for chunk in chunks:
        for part in chunk.delta.get("tool_calls", ()):
            if "id" in part:
                function = dict(part["function"])
                calls.append({"id": part["id"], "type": "function", "function": function})
            else:
                calls[-1]["function"]["arguments"] += part["function"]["arguments"]
        if chunk.kind != "tool":
            (name,) = chunk.delta
            message[name] = (message.get(name) or "") + chunk.text
    return {**message, "tool_calls": calls} if calls else message


@dataclass(frozen=True)
class ServerProcess:
    """A fault server in a process of its own."""

    base_url: str
    pid: int

    def counts(self) -> Json:
        """The server's own account, as in `FaultServer.counts`."""
        root = self.base_url.removesuffix("/v1")
        with urllib.request.urlopen(f"{root}/counts", timeout=10) as answer:
            counts: Json = json.load(answer)
        return counts


@contextlib.contextmanager
def serve_in_process(fault: str | list[str] = "none", **knobs: object) -> Iterator[ServerProcess]:
    """Run a fault server in another process until the block ends; the knobs must be JSON."""
    options = [f"--{name.replace('_', '-')}={json.dumps(value)}" for name, value in knobs.items()]
    command = [sys.executable, __file__, f"--fault={json.dumps(fault)}", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield ServerProcess(process.stdout.readline().strip(), process.pid)
        finally:
            process.stdin.close()
            process.terminate()


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Knobs are JSON, or plain text.")
    parser.add_argument("--fault", type=_value, default="none")
    parser.add_argument("--port", type=int, default=0)
    for knob in dataclasses.fields(Knobs):
        name = "--" + knob.name.replace("_", "-")
        parser.add_argument(name, type=_value, default=knob.default)
    options = vars(parser.parse_args())
    parent, port = os.getppid(), options.pop("port")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch_stdin() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    server = FaultServer(**options)
    await server.start(port)
    print(server.base_url, flush=True)
    threading.Thread(target=watch_stdin, daemon=True).start()
    while not ended.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.5)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(_main())
