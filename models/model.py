"""Model: one backend and one model name, and the only way to call it is through a ledger."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from ..budgets import FREE, Bound, CallKnown, Hold, Ledger, Price, Usage
from ..errors import WrongUsage
from .backend import Backend, explain_status
from .capabilities import Capabilities, count_prompt, probe
from .errors import (
    BackendError,
    BadRequest,
    BrokenStream,
    ContextOverflow,
    DeadlineReached,
    MalformedReply,
    UnknownModel,
    Unreachable,
)
from .messages import Request, prompt_bound
from .profile import Profile
from .reply import Delta, Malformed, Reply, ReplyBuilder
from .retry import RetryPolicy
from .sse import EventParser, EventTooLarge

CALL_TIMEOUT = 300.0
"""Seconds for one call, retries included, where neither the request nor the ledger says less."""
SHORTEST_TOKEN_RATE = 32
"""No tokenizer packs more bytes of prose than this into a token on average."""

OnDelta = Callable[[Delta], None]


@dataclass(slots=True)
class Typical:
    """What replies of this model have looked like, smoothed. For estimates, never for bounds."""

    output_tokens: float
    bytes_per_token: float = 4.0
    seconds: float = 0.0
    replies: int = 0

    def learn(self, reply: Reply, prompt_bytes: int) -> None:
        """Take one finished reply into account."""
        share = max(0.1, 1 / (self.replies + 1))
        self.replies += 1
        self.output_tokens += share * (reply.usage.output_tokens - self.output_tokens)
        self.seconds += share * (reply.seconds - self.seconds)
        if reply.usage.input_tokens:
            rate = prompt_bytes / reply.usage.input_tokens
            self.bytes_per_token += share * (rate - self.bytes_per_token)


@dataclass(slots=True)
class _Attempt:
    """One attempt under way: what it holds, what arrived, and whether it was sent."""

    hold: Hold
    builder: ReplyBuilder
    started: float
    sent: bool = False
    first: float | None = None
    answered: bool = True
    """False where an HTTP error status came instead of a reply: no tokens were made."""


class Model:
    """A model behind an OpenAI-compatible backend.

    Args:
        name: The model's name there. None: the only one the backend serves.
        backend: The server, or its address (up to and with `/v1`).
        api_key: For a backend given as an address.
        price: US dollars per million tokens (or per second); free by default.
        profile: How to speak to this model.
        retry: When to try again.
    """

    def __init__(
        self,
        name: str | None,
        backend: Backend | str,
        *,
        api_key: str = "",
        price: Price = FREE,
        profile: Profile | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.backend = Backend(backend, api_key) if isinstance(backend, str) else backend
        self.price = price
        self.profile = profile or Profile()
        self.retry = retry or RetryPolicy()
        self.typical = Typical(self.profile.typical_output)
        self._name = name
        self._capabilities: Capabilities | None = None
        self._rng = random.Random()

    async def capabilities(self) -> Capabilities:
        """What the backend can do; asked once. Raises `Unreachable` or `KeyRefused`."""
        if self._capabilities is None:
            self._capabilities = await probe(self.backend, self._name)
        return self._capabilities

    async def name(self) -> str:
        """The model's name. Raises `UnknownModel` when none was given and there is not just one."""
        if self._name is None:
            names = (await self.capabilities()).models
            if len(names) != 1:
                raise UnknownModel(
                    f"{self.backend.base_url} serves {', '.join(names) or 'no named model'}: "
                    "say which one with --model"
                )
            self._name = names[0]
        return self._name

    async def ask(
        self,
        request: Request,
        *,
        ledger: Ledger,
        call_id: str,
        landing: bool = False,
        on_delta: OnDelta | None = None,
    ) -> Reply:
        """Make one call, with retries, each attempt reserved and settled on its own.

        Args:
            ledger: Pays for it.
            call_id: Names the call in the journal; attempts get numbers after it.
            landing: May use what the ledger holds back for the final answer.
            on_delta: Called with each piece of text as it arrives.

        Raises:
            BudgetExhausted: the ledger cannot pay; nothing was sent.
            BackendError: the type says what failed; `partial` holds what had arrived.
        """
        limit = deadline = time.monotonic() + (request.timeout or CALL_TIMEOUT)
        if (left := ledger.seconds_left()) is not None:
            deadline = min(limit, time.monotonic() + left)
        capabilities = await self._within(deadline, self.capabilities())
        bound, floor = await self._within(
            deadline, self._bound(request, capabilities, ledger, landing)
        )
        least = min(request.least_tokens, bound.output_tokens)
        # A call id is unique below a root ledger: two runs that share one must not share calls.
        scope = ledger.key.removeprefix(ledger.root_key).lstrip("/")
        name = f"{scope}/{call_id}" if scope else call_id
        number = tries = 0
        while True:
            number += 1
            try:
                hold = await self._within(
                    limit, ledger.reserve(f"{name}#{number}", bound, least=least, landing=landing)
                )
            except CallKnown:
                continue  # An earlier life of this run made that attempt.
            tries += 1
            try:
                return await self._attempt(
                    request, hold, capabilities, ledger, floor, deadline, tries, on_delta
                )
            except BadRequest as error:
                if not self._adapt(error):
                    raise
                capabilities = await self.capabilities()
            except BackendError as error:
                pause = self.retry.pause(tries, error, self._rng)
                if pause is None or time.monotonic() + pause >= deadline:
                    raise
                if isinstance(error, BrokenStream):
                    # Other kept connections may have gone stale too.
                    capabilities = replace(capabilities, keep_alive=False)
                await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Close this event loop's connections to the backend."""
        await self.backend.aclose()

    async def _bound(
        self, request: Request, capabilities: Capabilities, ledger: Ledger, landing: bool
    ) -> tuple[Bound, int]:
        """The most this call can spend, and the fewest prompt tokens that can be true.

        The backend's tokenizer is asked only where the bytes alone would not fit.
        """
        wanted = request.max_tokens or self.profile.max_tokens
        if wanted < 1:
            raise WrongUsage(f"max_tokens={wanted}: ask for at least one token")
        prompt = prompt_bound(request, self.profile.allowance)
        floor = (prompt - self.profile.allowance.base) // SHORTEST_TOKEN_RATE
        left, context = ledger.left(landing=landing).tokens, capabilities.context
        tight = (left is not None and prompt + wanted > left) or (
            context is not None and prompt + wanted > context
        )
        exact = await self._count(request, capabilities) if tight else None
        if exact is not None:
            prompt = floor = exact
        if context is not None and (exact is not None or prompt < context):
            if prompt >= context:
                raise ContextOverflow(
                    f"the prompt has {prompt} tokens and {self.backend.base_url} takes {context}: "
                    "shorten the question or use a model with more context"
                )
            wanted = min(wanted, context - prompt)
        bound = Bound(
            input_tokens=prompt,
            output_tokens=wanted,
            calls=1,
            price=self.price,
            seconds=(request.timeout or CALL_TIMEOUT) if self.price.second else 0.0,
        )
        return bound, floor

    async def _count(self, request: Request, capabilities: Capabilities) -> int | None:
        """The prompt's exact tokens, or None where the backend cannot count them."""
        if not capabilities.counts_prompts:
            return None
        try:
            return await count_prompt(self.backend, capabilities, await self.name(), request)
        except (BackendError, KeyError, TypeError):
            # Not as it said it could: from now on, the bytes are the bound.
            self._capabilities = replace(capabilities, counts_prompts=False)
            return None

    async def _attempt(
        self,
        request: Request,
        hold: Hold,
        capabilities: Capabilities,
        ledger: Ledger,
        floor: int,
        deadline: float,
        number: int,
        on_delta: OnDelta | None,
    ) -> Reply:
        """Send once. Whatever happens, the hold is settled at what was seen."""
        attempt = _Attempt(hold, ReplyBuilder(hold.bound.output_tokens), time.monotonic())
        usage = None
        try:
            body = {
                "model": await self.name(),
                **request.body(),
                **capabilities.stream_options(),
                **(capabilities.prefill_options() if request.continues else {}),
                capabilities.max_tokens_field: hold.bound.output_tokens,
            }
            if request.temperature is None and self.profile.temperature is not None:
                body["temperature"] = self.profile.temperature
            await self._within(
                deadline,
                self._receive(body, attempt, capabilities.keep_alive, number, on_delta),
                attempt,
            )
            usage = self._usage(attempt, floor)
        finally:
            if usage is None:
                usage = self._usage(attempt, floor)
                usage = replace(usage, wasted_tokens=usage.total_tokens)
            entry = ledger.settle(hold, usage)
        reply = attempt.builder.reply(
            usage=entry.usage,
            seconds=time.monotonic() - attempt.started,
            seconds_to_first=attempt.first,
        )
        self.typical.learn(reply, hold.bound.input_tokens)
        return reply

    async def _receive(
        self,
        body: dict[str, Any],
        attempt: _Attempt,
        keep_alive: bool,
        number: int,
        on_delta: OnDelta | None,
    ) -> None:
        builder, parser = attempt.builder, EventParser()
        where = self.backend.base_url
        async with self.backend.permit():
            attempt.started = time.monotonic()
            attempt.sent = True
            opened = False
            try:
                async with (
                    self.backend.stream(body, keep_alive=keep_alive) as pieces,
                    aclosing(pieces),
                ):
                    opened = True
                    async for piece in pieces:
                        for data in parser.feed(piece):
                            if data == b"[DONE]":
                                builder.finished = True
                                continue
                            delta = builder.feed(self._chunk(data))
                            if attempt.first is None and not builder.empty:
                                attempt.first = time.monotonic() - attempt.started
                            if delta is not None and on_delta is not None:
                                on_delta(replace(delta, attempt=number))
                        if builder.overrun:
                            return  # Leaving closes the connection: the backend must stop.
            except (Malformed, EventTooLarge) as error:
                raise MalformedReply(
                    f"{where} sent what is not a chat completion: {error}",
                    partial=builder.reply(),
                ) from error
            except Unreachable:
                attempt.sent = False
                raise
            except BrokenStream as error:
                if not builder.finish_reason:  # Else only its accounts are missing.
                    error.partial = builder.reply()
                    raise
            except MalformedReply:
                raise
            except BackendError:
                attempt.answered = opened
                raise
        if not builder.finished:
            raise BrokenStream(
                f"{where} ended the reply before it was finished", partial=builder.reply()
            )
        if builder.empty and builder.finish_reason not in ("stop", "length", "content_filter"):
            raise MalformedReply(f"{where} sent a stream with no reply in it: no choices")

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
            raise explain_status(self.backend.base_url, status, " ".join(str(detail).split())[:300])
        return chunk

    def _usage(self, attempt: _Attempt, floor: int) -> Usage:
        """What an attempt spent: nothing if it was never sent, no tokens if it was refused."""
        if not attempt.sent:
            return Usage()
        if not attempt.answered:
            return Usage(calls=1)
        usage = attempt.builder.usage(attempt.hold.bound.input_tokens, floor)
        cost = self.price.cost(
            usage.input_tokens,
            usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            seconds=time.monotonic() - attempt.started,
        )
        return replace(usage, cost=cost)

    async def _within(self, deadline: float, work: Any, attempt: _Attempt | None = None) -> Any:
        """Await `work` until `deadline` (monotonic). Raises `DeadlineReached`."""
        try:
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + deadline - time.monotonic()
            ):
                return await work
        except TimeoutError:
            partial = None if attempt is None else attempt.builder.reply()
            raise DeadlineReached(
                f"{self.backend.base_url} had not finished when the time was up", partial=partial
            ) from None

    def _adapt(self, error: BadRequest) -> bool:
        """Learn from a 400 that wants the newer name of the output limit. True: worth a retry."""
        known = self._capabilities
        if known is None or known.max_tokens_field != "max_tokens":
            return False
        if "max_completion_tokens" not in str(error):
            return False
        self._capabilities = replace(known, max_tokens_field="max_completion_tokens")
        return True
