"""One attempt at a call: sent, received, and what it has spent at any moment."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from ..budgets import Bound, Price, Usage
from .backend import Backend, explain_status
from .errors import (
    BackendError,
    BrokenStream,
    DeadlineReached,
    MalformedReply,
    Unreachable,
)
from .reply import Delta, Malformed, Reply, ReplyBuilder
from .sse import EventParser, EventTooLarge

IN_FLIGHT = 0.05
"""Seconds that a backend may go on generating after its connection was closed."""

OnDelta = Callable[[Delta], None]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is known of a prompt's size before it is sent."""

    bound: int
    """The most tokens it can have."""
    floor: int
    """The fewest that can be true; a backend that reports fewer is not believed."""
    bytes: int


class Attempt:
    """Send one request and read its stream.

    Args:
        backend: Where to.
        bound: What the ledger granted: the charge stays within it.
        prompt: The prompt's size.
        number: Counts the attempts of a call, from 1; every delta carries it.
    """

    def __init__(self, backend: Backend, bound: Bound, prompt: Prompt, number: int) -> None:
        self._backend = backend
        self._bound = bound
        self._prompt = prompt
        self._number = number
        self._builder = ReplyBuilder(bound.output_tokens)
        self._started = time.monotonic()
        self._first: float | None = None
        self._sent = False
        self._refused = False
        self._unread = False
        self._done = False
        self.stopped_by: Exception | None = None
        """What `on_delta` raised: the caller has heard enough."""

    async def run(
        self,
        body: Mapping[str, Any],
        *,
        keep_alive: bool,
        longest: float,
        deadline: float | None,
        on_delta: OnDelta | None,
    ) -> None:
        """Send `body` and read the reply to its end.

        Args:
            longest: Seconds it may take once it has one of the backend's places.
            deadline: On the event loop's clock; waiting for a place counts. None: no deadline.

        Raises `BackendError`, and whatever `on_delta` raises, as it is; that and cancelling it
        close the connection.
        """
        try:
            async with asyncio.timeout_at(deadline), self._backend.permit():
                async with asyncio.timeout(longest):
                    await self._receive(body, keep_alive, on_delta)
        except TimeoutError:
            raise DeadlineReached(
                f"{self._backend.base_url} had not finished when the time was up",
                partial=self._builder.reply(),
            ) from None
        if self.stopped_by is not None:
            raise self.stopped_by
        self._done = True

    async def _receive(
        self, body: Mapping[str, Any], keep_alive: bool, on_delta: OnDelta | None
    ) -> None:
        builder, where = self._builder, self._backend.base_url
        self._started = time.monotonic()
        self._sent = True
        opened = False
        try:
            async with self._backend.stream(body, keep_alive=keep_alive) as pieces:
                opened = True
                async with aclosing(pieces):
                    await self._read(pieces, on_delta)
        except (Malformed, EventTooLarge) as error:
            raise MalformedReply(
                f"{where} sent what is not a chat completion: {error}", partial=builder.reply()
            ) from error
        except Unreachable:
            self._sent = False
            raise
        except BrokenStream as error:
            if not builder.finish_reason:  # Else only its accounts are missing.
                error.partial = builder.reply()
                raise
        except MalformedReply as error:
            self._unread = error.unread
            raise
        except BackendError:
            self._refused = not opened
            raise
        if self.stopped_by is not None:
            return
        if not builder.finished:
            raise BrokenStream(
                f"{where} ended the reply before it was finished", partial=builder.reply()
            )
        if builder.empty and not builder.finish_reason:
            raise MalformedReply(f"{where} sent a stream with no reply in it: no choices")

    async def _read(self, pieces: Any, on_delta: OnDelta | None) -> None:
        builder, parser = self._builder, EventParser()
        async for piece in pieces:
            for data in parser.feed(piece):
                if data == b"[DONE]":
                    builder.finished = True
                    continue
                delta = builder.feed(self._chunk(data))
                if self._first is None and not builder.empty:
                    self._first = time.monotonic()
                if delta is not None and on_delta is not None:
                    self._tell(on_delta, delta)
                if self.stopped_by is not None:
                    return
            if builder.overrun:
                return  # Leaving closes the connection: the backend must stop.

    def _tell(self, on_delta: OnDelta, delta: Delta) -> None:
        """Kept here, what it raises is not taken for a failure of the backend."""
        try:
            on_delta(replace(delta, attempt=self._number))
        except Exception as error:  # noqa: BLE001 - run() raises it
            self.stopped_by = error

    def _chunk(self, data: bytes) -> object:
        """One event's JSON. Raises `Malformed`, or the error that the event reports."""
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            raise Malformed(f"an event is not JSON: {data[:80]!r}") from None
        if isinstance(chunk, dict) and (error := chunk.get("error")):
            detail = error.get("message") if isinstance(error, dict) else error
            code = error.get("code") if isinstance(error, dict) else None
            status = code if isinstance(code, int) and code >= 400 else 500
            said = " ".join(str(detail).split())[:300]
            raise explain_status(self._backend.base_url, status, said)
        return chunk

    def usage(self, price: Price) -> Usage:
        """What it has spent: nothing if it was never sent, no tokens if it was refused.

        One that was cut off may have cost more than arrived: what its backend makes at the present
        pace until it notices is charged as well. All of it counts as wasted then.
        """
        if not self._sent:
            return Usage()
        if self._refused:
            return Usage(calls=1)
        if self._unread:
            return self._bound.as_usage()
        now = time.monotonic()
        usage = self._builder.usage(self._prompt.bound, self._prompt.floor)
        if not self._builder.finished:
            usage = replace(usage, output_tokens=usage.output_tokens + self._in_flight(now))
        if not self._done:
            usage = replace(usage, wasted_tokens=usage.total_tokens)
        cost = price.cost(
            usage.input_tokens,
            usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            seconds=now - self._started,
        )
        return replace(usage, cost=cost)

    def _in_flight(self, now: float) -> int:
        """Output tokens that may be under way when a stream is cut off."""
        if self._first is None:
            return 1
        elapsed = max(now - self._first, 1e-3)
        return 1 + math.ceil(self._builder.output_tokens() / elapsed * IN_FLIGHT)

    def reply(self, usage: Usage) -> Reply:
        """The whole reply, with what it was charged."""
        return self._builder.reply(
            usage=usage,
            seconds=time.monotonic() - self._started,
            seconds_to_first=None if self._first is None else self._first - self._started,
        )
