"""Budget forcing: a reasoning model's thinking is capped, or made to go on.

Sequential test-time scaling (s1, Muennighoff et al. 2025): thinking that reaches its cap is closed
and the answer asked for; thinking that stops too early goes on after a "Wait".
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..budgets import BudgetExhausted
from ..errors import WrongUsage
from .errors import BackendError, BadRequest
from .messages import Message, Request, user
from .reply import Reply

LONGEST_NOTES = 6000
"""Characters of its own thinking that a model is shown where it cannot be continued."""

Ask = Callable[[Request, str], Awaitable[Reply]]
"""A metered call, as `Model.ask` bound to a ledger: the request and a call id."""
Step = Literal["answer", "wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """How long a model may and must think, in tokens of its reasoning.

    Where a backend does not count them, they are taken from the share of the reply's bytes. Of a
    model that shows no reasoning, the tokens of the text count.

    Raises `WrongUsage` for limits that contradict each other.
    """

    at_least: int = 0
    """Thinking that stops below this is made to go on."""
    at_most: int | None = None
    """Thinking that reaches this is ended, and the answer asked for. None: no cap."""
    waits: int = 2
    """How often at most it is made to go on."""

    def __post_init__(self) -> None:
        if self.at_least < 0 or self.waits < 0:
            raise WrongUsage(f"{self}: give numbers that are not negative")
        if self.at_most is not None and self.at_most < max(1, self.at_least):
            raise WrongUsage(f"{self}: at_most must be at least 1, and not below at_least")


async def ask_forced(
    ask: Ask,
    request: Request,
    call_id: str,
    thinking: Thinking,
    *,
    prefill: bool,
    prompts: Mapping[str, str] | None = None,
) -> Reply:
    """Ask, and hold the reply's thinking to `thinking`.

    With `prefill`, the model's own thinking is continued: after a "Wait", or after its end mark.
    Without it (or where the backend refuses a continuation), a next turn of the conversation shows
    the model its thinking as notes, shortened, and asks for the answer, or asks it to check its
    answer once more; it may think again in that turn, within what is left of `max_tokens`. Replies
    that call tools are not made to go on: tool results make the model think again.

    Args:
        ask: Pays for each call. A continuation's id is `call_id` with a number after it.
        request: `max_tokens` is for the whole: what is left of it is sent with each continuation.
        prefill: Whether the backend continues a last assistant message
            (`Capabilities.prefill`).
        prompts: Replace those of `PROMPTS`, by name. The marks of the model's thinking are
            among them.

    Returns:
        One reply: the last text, tool calls and finish reason; all reasoning and logprobs;
        usage and seconds summed up. When a continuation fails, what had been answered before.

    Raises:
        BudgetExhausted, BackendError: as `ask`, where nothing has been answered yet.
        WrongUsage: for a request that is itself a continuation.
    """
    if request.continues:
        raise WrongUsage("a request that continues a message cannot be forced: send the question")
    words = {**PROMPTS, **(prompts or {})}
    return await _Forcing(ask, request, call_id, thinking, prefill, words).run()


def next_step(said: Reply, thinking: Thinking, *, thought: int, waits: int) -> Step | None:
    """What a reply needs after `thought` tokens of thinking and `waits` continuations. Pure."""
    if said.finish_reason == "length":
        return None if thinking.at_most is None else "answer"
    short = thought < thinking.at_least and waits < thinking.waits
    whole = said.finish_reason == "stop" and not said.tool_calls and not said.refusal
    return "wait" if short and whole else None


def thought_tokens(part: Reply) -> int:
    """Tokens of a reply's thinking: the backend's count, or their share of its bytes. Pure."""
    if part.usage.reasoning_tokens:
        return part.usage.reasoning_tokens
    thinking = len(part.reasoning.encode())
    if not thinking:
        return part.usage.output_tokens
    calls = sum(len(call.name + call.arguments) for call in part.tool_calls)
    rest = len((part.text + part.refusal).encode()) + calls
    return math.ceil(part.usage.output_tokens * thinking / (thinking + rest))


def split_thinking(part: Reply, words: Mapping[str, str], *, inside: bool = False) -> Reply:
    """`part` with what its text has of its thinking moved there. Pure.

    A backend whose parser did not see the thinking begin, because the prompt had its mark, gives
    it as text: up to the end mark, or all of it where it was cut before one. `inside`: the prompt
    did have that mark.
    """
    begin, end = words["forcing.open"].strip(), words["forcing.close"].strip()
    if part.reasoning:
        return part
    head, mark, tail = part.text.partition(end)
    if mark and begin not in head:
        return replace(part, reasoning=head, text=tail.lstrip())
    if inside and not mark and part.finish_reason == "length":
        return replace(part, reasoning=part.text, text="")
    return part


class _Forcing:
    """One forced call: what has been said so far, and how much of the limits is used."""

    def __init__(
        self,
        ask: Ask,
        request: Request,
        call_id: str,
        thinking: Thinking,
        prefill: bool,
        words: Mapping[str, str],
    ) -> None:
        self._ask = ask
        self._request = request
        self._call_id = call_id
        self._thinking = thinking
        self._prefill = prefill
        self._words = words
        self._calls = 0
        self._used = 0
        self._thought = 0

    async def run(self) -> Reply:
        said = await self._send(self._request, capped=True)
        said = split_thinking(said, self._words)
        self._thought = thought_tokens(said)
        answered, waits = said, 0
        while self._left() != 0:
            step = next_step(said, self._thinking, thought=self._thought, waits=waits)
            if step is None:
                break
            waits += step == "wait"
            try:
                said = await self._go_on(said, step)
            except (BudgetExhausted, BackendError):
                if not answered.text:
                    raise
                break
            if said.text or said.tool_calls:
                answered = said
            if step == "answer":
                break
        if said.text or said.tool_calls or not answered.text:
            return said
        return replace(said, text=answered.text, finish_reason=answered.finish_reason)

    async def _go_on(self, said: Reply, step: Step) -> Reply:
        """Continue `said` where that is possible, else in a next turn; both as one reply."""
        begun = self._begun(said, step)
        if self._prefill and begun:
            try:
                part = await self._send(self._continued(begun), capped=step == "wait")
            except BadRequest:
                self._prefill = False  # As llama.cpp and templates that drop old thinking do.
            else:
                return self._joined(said, part, step)
        part = split_thinking(
            await self._send(self._turn(said, step), capped=step == "wait"), self._words
        )
        self._thought += thought_tokens(part)
        return _together(said, part, "\n\n".join(filter(None, (said.reasoning, part.reasoning))))

    def _begun(self, said: Reply, step: Step) -> str:
        """The assistant message to continue; empty where there is none."""
        opened = self._words["forcing.open"] + said.reasoning.rstrip()
        if step == "wait":
            return f"{opened}\n{self._words['forcing.wait']}" if said.reasoning else ""
        if said.reasoning:
            return opened + self._words["forcing.close"] + said.text
        return said.text

    def _continued(self, begun: str) -> Request:
        # llama.cpp refuses a continuation while the template would begin a thinking of its own.
        extra = dict(self._request.extra_body)
        template: Mapping[str, Any] = extra.get("chat_template_kwargs") or {}
        extra["chat_template_kwargs"] = {**template, "enable_thinking": False}
        messages = [*self._request.messages, _assistant(begun)]
        return replace(self._request, messages=messages, extra_body=extra, continues=True)

    def _turn(self, said: Reply, step: Step) -> Request:
        """The next turn of the conversation, where the model cannot be continued."""
        messages = list(self._request.messages)
        notes = _shortened("\n\n".join(filter(None, (said.reasoning, said.text))))
        if step == "wait":
            messages += [_assistant(said.text or notes), user(self._words["forcing.again"])]
            return replace(self._request, messages=messages)
        shown = self._words["forcing.notes"].replace("{notes}", notes)
        messages += [_assistant(shown), user(self._words["forcing.answer"])]
        effort = self._request.reasoning_effort and "low"
        return replace(self._request, messages=messages, reasoning_effort=effort)

    def _joined(self, said: Reply, part: Reply, step: Step) -> Reply:
        """`said` and its continuation."""
        if step == "wait":
            part = split_thinking(part, self._words, inside=True)
            self._thought += thought_tokens(part)
            # Some parsers strip the space that the continuation began with.
            space = " " if part.reasoning[:1].isalnum() else ""
            waited = f"{said.reasoning.rstrip()}\n{self._words['forcing.wait']}{space}"
            return _together(said, part, waited + part.reasoning)
        if part.reasoning and not part.text and not part.tool_calls:
            # Some parsers take all for thinking that has no end mark; the prompt had it already.
            part = replace(part, text=part.reasoning, reasoning="")
        part = split_thinking(part, self._words)
        text = said.text + part.text if said.text else part.text.lstrip()
        reasoning = "\n\n".join(filter(None, (said.reasoning, part.reasoning)))
        return _together(said, replace(part, text=text), reasoning)

    async def _send(self, request: Request, *, capped: bool) -> Reply:
        """Make one call, within what is left. `capped`: it may go on thinking."""
        limits = [self._left()]
        if capped and self._thinking.at_most is not None:
            limits.append(max(1, self._thinking.at_most - self._thought))
        call_id = f"{self._call_id}/{self._calls}" if self._calls else self._call_id
        self._calls += 1
        most = min((limit for limit in limits if limit is not None), default=None)
        reply = await self._ask(replace(request, max_tokens=most), call_id)
        self._used += reply.usage.output_tokens
        return reply

    def _left(self) -> int | None:
        """Output tokens left of the request's; None: it has no limit of its own."""
        most = self._request.max_tokens
        return None if most is None else max(0, most - self._used)


def _together(said: Reply, part: Reply, reasoning: str) -> Reply:
    """`part` as the end of what was `said` before it."""
    return replace(
        part,
        reasoning=reasoning,
        logprobs=said.logprobs + part.logprobs,
        usage=said.usage + part.usage,
        seconds=said.seconds + part.seconds,
        seconds_to_first=said.seconds_to_first,
    )


def _assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def _shortened(text: str) -> str:
    """The beginning and, mostly, the end of a long text."""
    if len(text) <= LONGEST_NOTES:
        return text
    begin = LONGEST_NOTES // 4
    return f"{text[:begin]}\n[…]\n{text[begin - LONGEST_NOTES :]}"


PROMPTS: Mapping[str, str] = {
    "forcing.open": "<think>\n",
    "forcing.close": "\n</think>\n\n",
    "forcing.wait": "Wait",
    "forcing.again": (
        "Wait. Check the reasoning above for mistakes before you give the answer. Then give the "
        "whole answer again."
    ),
    "forcing.notes": "My notes so far:\n\n{notes}",
    "forcing.answer": "Time to think is over. Give your final answer now, from these notes.",
}
"""By name: the marks around a model's thinking, and what it is told."""
