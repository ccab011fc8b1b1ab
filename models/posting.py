"""Posting: requests that are answered in one piece, paid by a ledger, with retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..budgets import Bound, CallKnown, Ledger, Price, Usage
from ..budgets.records import digest_of
from ..telemetry import current
from .backend import Backend
from .errors import (
    BackendError,
    BackendFailed,
    BadRequest,
    BrokenStream,
    DeadlineReached,
    MalformedReply,
    UnknownModel,
    Unreachable,
)
from .retry import RetryPolicy
from .scores import prompt_tokens

CALL_TIMEOUT = 120.0
"""Seconds that one attempt may take, waiting for the backend's places included."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays for some queries, under which name, and until when."""

    ledger: Ledger
    call_id: str
    deadline: float | None
    """On the event loop's clock; None: no deadline."""

    @classmethod
    def until(cls, ledger: Ledger, call_id: str) -> Payer:
        """With the ledger's deadline."""
        left = ledger.seconds_left()
        deadline = None if left is None else asyncio.get_running_loop().time() + left
        return cls(ledger, call_id, deadline)


@dataclass(frozen=True, slots=True)
class Query:
    """One request to the server."""

    path: str
    body: dict[str, Any]
    bound: int
    """The most tokens it can have."""
    floor: int
    """The fewest that can be true; a server that reports fewer is not believed."""
    read: Callable[[Any], list[float]]
    """The values in the server's answer. Raises `ValueError`."""


class Poster:
    """Sends queries to one backend, each attempt reserved and settled on its own."""

    def __init__(self, backend: Backend, price: Price, retry: RetryPolicy) -> None:
        self._backend = backend
        self._price = price
        self._retry = retry
        self._rng = random.Random()

    async def ask(self, queries: Sequence[Query], payer: Payer) -> list[float]:
        """The values of all queries, in order; those that fail are tried again together.

        Those that the ledger's recorder kept from an earlier life of the run are not asked again.
        """
        ledger, asked = payer.ledger, {"queries": [[q.path, q.body] for q in queries]}
        digest = "" if ledger.recorder is None else digest_of(asked)
        if (record := ledger.recall(payer.call_id, digest)) is not None:
            return list(record.replied["values"])
        started = time.monotonic()
        model = str(queries[0].body.get("model", "")) if queries else ""
        values: dict[int, list[float]] = {}
        number = tries = 0
        while len(values) < len(queries):
            number += 1
            missing = [index for index in range(len(queries)) if index not in values]
            posts = [Post(self._backend, queries[index]) for index in missing]

            def keep(missing: list[int] = missing, posts: list[Post] = posts) -> None:
                for index, post in zip(missing, posts, strict=True):
                    if post.values is not None:
                        values[index] = post.values
                if len(values) == len(queries):
                    told, seconds = {"values": _joined(values)}, time.monotonic() - started
                    ledger.record("model", model, payer.call_id, digest, asked, told, seconds)

            try:
                await self._attempt(posts, payer, number, keep)
            except CallKnown:
                continue  # That attempt was made before: by an earlier life of this run, perhaps.
            tries += 1
            errors = [post.error for post in posts if post.error is not None]
            if errors:
                await self._pause(tries, errors, payer.deadline)
        return _joined(values)

    async def _attempt(
        self, posts: Sequence[Post], payer: Payer, number: int, keep: Callable[[], None]
    ) -> None:
        """Send all of `posts` under one reservation, so that none goes out unless all can.

        Whatever happens, it is settled at what they cost. Each keeps its values or its error, and
        `keep` is called before they are charged.
        """
        ledger, deadline = payer.ledger, payer.deadline
        left = ledger.seconds_left()
        bound = Bound(
            input_tokens=sum(post.query.bound for post in posts),
            calls=len(posts),
            price=self._price,
            seconds=CALL_TIMEOUT if left is None else min(CALL_TIMEOUT, left),
            called=str(posts[0].query.body.get("model", "")),
        )
        try:
            async with asyncio.timeout_at(deadline):
                hold = await ledger.reserve(f"{payer.call_id}#{number}", bound)
        except TimeoutError:
            raise self.late() from None
        started = time.monotonic()
        try:
            try:
                async with (
                    asyncio.timeout_at(deadline),
                    asyncio.timeout(CALL_TIMEOUT),
                    asyncio.TaskGroup() as group,
                ):
                    for post in posts:
                        group.create_task(post.run())
            finally:
                keep()
        except TimeoutError:
            raise self.late() from None
        finally:
            spent = sum((post.usage() for post in posts), Usage())
            seconds = time.monotonic() - started if spent.calls else 0.0
            cost = self._price.cost(spent.input_tokens, 0, seconds=seconds)
            current().spend(ledger.settle(hold, replace(spent, cost=cost)).usage)

    async def _pause(
        self, tries: int, errors: Sequence[BackendError], deadline: float | None
    ) -> None:
        """Wait before the next attempt, or raise what makes one pointless."""
        longest = 0.0
        now = asyncio.get_running_loop().time()
        for error in errors:
            pause = self._retry.pause(tries, error, self._rng)
            if pause is None or unknown_here(error):
                raise error
            if deadline is not None and now + pause >= deadline:
                raise error
            longest = max(longest, pause)
        await asyncio.sleep(longest)

    def late(self) -> DeadlineReached:
        """What to raise when the time is up."""
        return DeadlineReached(
            f"the time was up before {self._backend.root_url} had answered everything"
        )


def _joined(values: Mapping[int, list[float]]) -> list[float]:
    """The values of all queries, in order."""
    return [value for index in range(len(values)) for value in values[index]]


class Post:
    """One sending of a query: its values or its error, and what it has cost at any moment."""

    def __init__(self, backend: Backend, query: Query) -> None:
        self.query = query
        self.values: list[float] | None = None
        self.error: BackendError | None = None
        self._backend = backend
        self._sent = False
        self._tokens: int | None = None

    async def run(self) -> None:
        """Send it. Cancelling this closes the connection."""
        try:
            async with self._backend.permit():
                self._sent = True
                reply = await self._backend.post(self.query.path, self.query.body)
            self._tokens = prompt_tokens(reply)
            self.values = self.query.read(reply)
        except BackendError as error:
            self.error = error
        except ValueError as error:
            self.error = MalformedReply(
                f"{self._backend.root_url}{self.query.path} sent what cannot be read: {error}"
            )

    def usage(self) -> Usage:
        """What it has spent, without its cost.

        Nothing if it was never sent, no tokens if it was refused, what the server says if that
        can be true, and else all it could: a server that fails may have done the work before.
        """
        if not self._sent or isinstance(self.error, Unreachable):
            return Usage()
        if self.error is not None and _refused(self.error):
            return Usage(calls=1)
        tokens = self._tokens
        if tokens is None or tokens < self.query.floor:
            tokens = self.query.bound
        wasted = tokens if self.values is None else 0
        return Usage(calls=1, input_tokens=tokens, wasted_tokens=wasted)


def _refused(error: BackendError) -> bool:
    """Whether it was turned away before any work was done."""
    if isinstance(error, BackendFailed):
        return error.status in (501, 503)
    return not isinstance(error, BrokenStream | MalformedReply)


def unknown_here(error: BackendError) -> bool:
    """Whether the server, or its model, does not have this way of scoring.

    The path is not there (404, 405), is off (501, llama.cpp's), takes something else (422), or is
    not for this model (400, vLLM's).
    """
    if isinstance(error, BadRequest | UnknownModel) and "does not support" in str(error):
        return True
    return not isinstance(error, UnknownModel) and error.status in (404, 405, 422, 501)
