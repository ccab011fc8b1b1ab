"""Model: one backend and one model name, and the only way to call it is through a ledger."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import replace

from ..budgets import FREE, Bound, CallKnown, Hold, Ledger, Price
from ..errors import WrongUsage
from ..telemetry import current
from .attempt import Attempt, OnDelta, Prompt
from .backend import Backend
from .capabilities import Capabilities, count_prompt, probe, unprobed
from .errors import (
    BackendError,
    BadRequest,
    BrokenStream,
    ContextOverflow,
    DeadlineReached,
    UnknownModel,
    Unreachable,
)
from .kept import asked_of, digest, read, written
from .messages import Request, prompt_bound
from .profile import Profile
from .reply import Delta, Reply
from .retry import RetryPolicy
from .spans import calling, replied, sent
from .typical import Typical

OPTIONAL = ("reasoning_effort", "temperature", "top_p", "seed", "logprobs", "top_logprobs")
"""Settings that a call is worth making without."""
_NO_SCHEMA = re.compile(r"response_format|json.?schema|grammar|guided|structured.?output", re.I)
"""In an error, that a schema is what the backend cannot do, or cannot do with this one."""
_UNKNOWN = re.compile(r"not support|unsupported|unrecognized|unknown (?:param|arg|field)", re.I)

CALL_TIMEOUT = 300.0
"""Seconds that one attempt may take, from the moment it has one of the backend's places."""
LONGEST_RATE = 32
"""No tokenizer packs more bytes of prose than this into a token on average."""


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
        self._asked_for = name or ""
        self._capabilities: Capabilities | None = None
        self._rng = random.Random()

    async def capabilities(self) -> Capabilities:
        """What the backend can do; asked once. Raises `Unreachable` or `KeyRefused`."""
        if self._capabilities is None:
            async with self.backend.probing():
                if self._capabilities is None:  # Another call may have found out meanwhile.
                    try:
                        self._capabilities = await probe(self.backend, self._name)
                    except BackendError as error:
                        if not error.retryable or isinstance(error, Unreachable):
                            raise
                        return unprobed(self.backend)  # Busy, or still loading: ask again later.
        return self._capabilities

    async def name(self) -> str:
        """The model's name. Raises `UnknownModel` when none was given and there is not just one."""
        if self._name is None:
            names = (await self.capabilities()).models
            if len(names) != 1:
                served = f"serves {', '.join(names)}" if names else "does not list its models"
                raise UnknownModel(
                    f"{self.backend.base_url} {served}: say which one with --model, if this is an "
                    "OpenAI-compatible address (often ending in /v1)"
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
            call_id: Names the call in the journal; attempts get numbers after it. With a recorder
                in the ledger, one that was answered before, to the same request, has that reply.
            landing: May use what the ledger holds back for the final answer.
            on_delta: Called with each piece of text as it arrives. What it raises stops the call,
                closes the connection at once, and comes out of here unchanged; what had arrived
                by then is charged, as wasted.

        Raises:
            BudgetExhausted: the ledger cannot pay; nothing was sent.
            BackendError: the type says what failed; `partial` holds what had arrived.
        """
        with calling("chat", self.backend, self._name, ledger, call_id) as span:
            return replied(span, await self._ask(request, ledger, call_id, landing, on_delta))

    async def _ask(
        self,
        request: Request,
        ledger: Ledger,
        call_id: str,
        landing: bool,
        on_delta: OnDelta | None,
    ) -> Reply:
        record = ledger.recall(call_id, self._digest(request, ledger))
        if record is not None:
            return _told_again(read(record.replied), on_delta)
        deadline = self._deadline(request, ledger)
        try:
            async with asyncio.timeout_at(deadline):
                capabilities = await self.capabilities()
                prompt, bound = await self._bound(request, capabilities, ledger, landing)
        except TimeoutError:
            raise self._late() from None
        least = min(request.least_tokens, bound.output_tokens)
        number = tries = 0
        while True:
            number += 1
            try:
                async with asyncio.timeout_at(deadline):
                    hold = await ledger.reserve(
                        f"{call_id}#{number}", bound, least=least, landing=landing
                    )
            except CallKnown:
                continue  # That attempt was made before: by an earlier life of this run, perhaps.
            except TimeoutError:
                raise self._late() from None
            tries += 1
            attempt = Attempt(self.backend, hold.bound, prompt, tries)
            try:
                reply = await self._send(
                    request, capabilities, attempt, hold, ledger, call_id, deadline, on_delta
                )
                self.typical.learn(reply, prompt.bytes)
                return reply
            except BackendError as error:
                if attempt.stopped_by is not None:
                    raise
                if isinstance(error, BadRequest):
                    if not self._adapt(error, capabilities, request):
                        raise
                    capabilities = await self.capabilities()
                    continue
                pause = self.retry.pause(tries, error, self._rng)
                now = asyncio.get_running_loop().time()
                if pause is None or (deadline is not None and now + pause >= deadline):
                    raise
                if isinstance(error, BrokenStream):
                    # Other kept connections may have gone stale too.
                    capabilities = replace(capabilities, keep_alive=False)
                await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Close this event loop's connections to the backend."""
        await self.backend.aclose()

    def _deadline(self, request: Request, ledger: Ledger) -> float | None:
        """When this call must be over, on the event loop's clock; None: no deadline."""
        limits = [request.timeout, ledger.seconds_left()]
        given = [limit for limit in limits if limit is not None]
        return asyncio.get_running_loop().time() + min(given) if given else None

    def _late(self) -> DeadlineReached:
        return DeadlineReached(f"the time was up before {self.backend.base_url} could be asked")

    async def _bound(
        self, request: Request, capabilities: Capabilities, ledger: Ledger, landing: bool
    ) -> tuple[Prompt, Bound]:
        """The prompt's size, and the most this call can spend.

        The backend's tokenizer is asked only where the bytes alone would not fit.
        """
        if request.continues and not capabilities.prefill:
            raise BadRequest(
                f"{self.backend.base_url} cannot continue an assistant's message: end the "
                "conversation with the user's"
            )
        wanted = request.max_tokens
        if wanted is None:
            wanted = self.profile.max_tokens
        if wanted < 1:
            raise WrongUsage(f"max_tokens={wanted}: ask for at least one token")
        size = prompt_bound(request, self.profile.allowance)
        floor = (size - self.profile.allowance.base) // LONGEST_RATE
        prompt = Prompt(size, floor, size)
        left, context = ledger.left(landing=landing).tokens, capabilities.context
        tight = any(room is not None and size + wanted > room for room in (left, context))
        exact = await self._count(request, capabilities) if tight else None
        if exact is not None:
            prompt = Prompt(exact, exact, size)
        if context is not None and (exact is not None or size < context):
            if prompt.bound >= context:
                raise ContextOverflow(
                    f"the prompt has {prompt.bound} tokens and {self.backend.base_url} takes "
                    f"{context}: shorten the question or use a model with more context"
                )
            wanted = min(wanted, context - prompt.bound)
        longest, seconds = self._longest(request), ledger.seconds_left()
        bound = Bound(
            input_tokens=prompt.bound,
            output_tokens=wanted,
            calls=1,
            price=self.price,
            seconds=longest if seconds is None else min(longest, seconds),
            called=self._name or next(iter(capabilities.models), ""),
        )
        return prompt, bound

    def _longest(self, request: Request) -> float:
        return CALL_TIMEOUT if request.timeout is None else request.timeout

    async def _count(self, request: Request, capabilities: Capabilities) -> int | None:
        """The prompt's exact tokens, or None where the backend cannot count them."""
        if not capabilities.counts_prompts:
            return None
        try:
            return await count_prompt(self.backend, capabilities, await self.name(), request)
        except (BackendError, KeyError, TypeError, ValueError) as error:
            if not (isinstance(error, BackendError) and error.retryable):
                # Not as it said it could: from now on, the bytes are the bound.
                known = self._capabilities or capabilities
                self._capabilities = replace(known, counts_prompts=False)
            return None

    async def _send(
        self,
        request: Request,
        capabilities: Capabilities,
        attempt: Attempt,
        hold: Hold,
        ledger: Ledger,
        call_id: str,
        deadline: float | None,
        on_delta: OnDelta | None,
    ) -> Reply:
        """One attempt. Whatever happens, the hold is settled at what was seen."""
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
            body = {name: value for name, value in body.items() if name not in capabilities.refuses}
            sent(body, hold.bound.output_tokens)
            await attempt.run(
                body,
                keep_alive=capabilities.keep_alive,
                longest=self._longest(request),
                deadline=deadline,
                on_delta=on_delta,
            )
            if ledger.recorder is not None:
                # Before it is settled: a reply that was paid for is never without its record.
                reply = attempt.reply(attempt.usage(self.price))
                self._record(request, ledger, call_id, reply)
        finally:
            entry = ledger.settle(hold, attempt.usage(self.price))
            current().spend(entry.usage)
        return attempt.reply(entry.usage)

    def _digest(self, request: Request, ledger: Ledger) -> str:
        return "" if ledger.recorder is None else digest(request, self._asked_for)

    def _record(self, request: Request, ledger: Ledger, call_id: str, reply: Reply) -> None:
        name = self._name or reply.model
        ledger.record(
            "model",
            name,
            call_id,
            self._digest(request, ledger),
            asked_of(request, name),
            written(reply),
            reply.seconds,
        )

    def _adapt(self, error: BadRequest, used: Capabilities, request: Request) -> bool:
        """Learn from a 400: the output limit has a newer name, or a setting is not taken.

        A schema that is turned down is not sent to this model again, nor is any other.

        True: worth a retry.
        """
        known, said = self._capabilities or used, str(error)
        if used.max_tokens_field == "max_tokens" and "max_completion_tokens" in said:
            self._capabilities = replace(known, max_tokens_field="max_completion_tokens")
            return True
        refused = refused_settings(said)
        if request.response_format is not None and _NO_SCHEMA.search(said):
            refused |= {"response_format"}
        refused -= used.refuses
        if refused:
            self._capabilities = replace(known, refuses=known.refuses | refused)
        return bool(refused)


def _told_again(reply: Reply, on_delta: OnDelta | None) -> Reply:
    """A reply that was kept, in one piece. Raises what `on_delta` raises."""
    if on_delta is not None and (reply.text or reply.reasoning):
        on_delta(Delta(reply.text, reply.reasoning, reply.logprobs))
    return reply


def refused_settings(said: str) -> frozenset[str]:
    """The optional settings that an error turns down as such, and not for their value. Pure."""
    if not _UNKNOWN.search(said):
        return frozenset()
    return frozenset(name for name in OPTIONAL if re.search(rf"\b{name}\b", said))
