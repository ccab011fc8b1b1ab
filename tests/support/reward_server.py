"""A server of reward models that counts the tokens it reads itself, and misbehaves on request."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]

SPENDING = {"status_500", "reset", "not_json", "no_scores", "hang"}
"""Faults of a server that has done its work before it fails."""
REFUSALS = {"status_401": 401, "status_429": 429, "status_503": 503}
FAULTS = {"none", *SPENDING, *REFUSALS}


@dataclass
class Scored:
    """One request and what became of it."""

    path: str
    body: Json
    fault: str
    tokens: int = 0
    """Really read, whatever the usage says; 0 where it was refused."""
    aborted: bool = False
    """The client closed before the answer."""


@dataclass
class RewardServer:
    """Serves on a free port of 127.0.0.1 inside ``async with``; any knob may change meanwhile."""

    doors: set[str] = field(default_factory=lambda: {"/score"})
    """Paths that are there; the others get `missing`."""
    missing: tuple[int, str] = (404, "Not Found")
    value: Callable[[str, str], Any] = lambda question, answer: len(answer) / 100
    """Of an answer to a question; from `/pooling` it is the `data` as it is."""
    shape: Callable[[list[Json]], Any] | None = None
    """Makes the answer's body of its list of scores; None: as the door's own."""
    usage: Callable[[int], Json | None] = lambda tokens: {
        "prompt_tokens": tokens,
        "total_tokens": tokens,
    }
    bytes_per_token: int = 1
    """1 is the worst that a byte-level tokenizer can do."""
    template_tokens: int = 20
    """Each pair."""
    delay: float = 0.0
    faults: Iterator[str] = field(default_factory=lambda: iter(()))
    """One for each request to a door that is there; "none" when they run out."""
    requests: list[Scored] = field(default_factory=list)
    active: int = 0
    peak_active: int = 0

    def fail(self, faults: Iterable[str]) -> None:
        """The faults of the next requests."""
        self.faults = iter(faults)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def spent_tokens(self) -> int:
        return sum(request.tokens for request in self.requests)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        known = request.path in self.doors
        scored = Scored(
            request.path, await request.json(), next(self.faults, "none") if known else "none"
        )
        assert scored.fault in FAULTS
        self.requests.append(scored)
        if not known:
            status, detail = self.missing
            return web.json_response({"error": {"message": detail}}, status=status)
        self.active += 1
        self.peak_active = max(self.peak_active, self.active)
        try:
            return await self._answer(request, scored)
        except asyncio.CancelledError:
            scored.aborted = True
            raise
        finally:
            self.active -= 1

    async def _answer(self, request: web.Request, scored: Scored) -> web.StreamResponse:
        fault = scored.fault
        if fault in REFUSALS:
            headers = {"Retry-After": "0"} if fault == "status_429" else {}
            detail = {"error": {"message": "not now"}}
            return web.json_response(detail, status=REFUSALS[fault], headers=headers)
        pairs = list(_pairs(scored.body))
        scored.tokens = sum(
            self.template_tokens + -(-len((q + a).encode()) // self.bytes_per_token)
            for q, a in pairs
        )
        await asyncio.sleep(self.delay)
        match fault:
            case "hang":
                await asyncio.Event().wait()
            case "status_500":
                return web.json_response({"error": {"message": "engine died"}}, status=500)
            case "reset":
                assert request.transport is not None
                request.transport.abort()
            case "not_json":
                return web.Response(text="<html>", content_type="application/json")
            case "no_scores":
                return web.json_response({"usage": self.usage(scored.tokens)})
        return web.json_response(self._body(scored, pairs))

    def _body(self, scored: Scored, pairs: list[tuple[str, str]]) -> Any:
        values = [self.value(question, answer) for question, answer in pairs]
        if scored.path == "/pooling":
            items = [{"index": i, "data": value} for i, value in enumerate(values)]
        elif scored.path == "/score":
            items = [{"index": i, "score": value} for i, value in enumerate(values)]
        else:  # Best first, as rerankers do.
            items = [{"index": i, "relevance_score": value} for i, value in enumerate(values)]
            items.sort(key=lambda item: -item["relevance_score"])
        if self.shape is not None:
            return self.shape(items)
        name = "results" if scored.path.endswith("/rerank") else "data"
        return {name: items, "usage": self.usage(scored.tokens)}


def _pairs(body: Json) -> Iterator[tuple[str, str]]:
    if "messages" in body:
        question, answer = (message["content"] for message in body["messages"])
        yield question, answer
        return
    question = body["text_1"] if "text_1" in body else body["query"]
    for answer in body["text_2"] if "text_2" in body else body["documents"]:
        yield question, answer
