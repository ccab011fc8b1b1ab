"""Messages and requests, in the wire format of OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

from ..errors import WrongUsage


class FunctionCall(TypedDict):
    """The function part of a tool call; `arguments` is JSON text as the model wrote it."""

    name: str
    arguments: str


class ToolCallMessage(TypedDict):
    """A tool call inside an assistant message."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[ToolCallMessage]]
    tool_call_id: NotRequired[str]


def user(content: str) -> Message:
    """A user's message."""
    return {"role": "user", "content": content}


def system(content: str) -> Message:
    """A system message."""
    return {"role": "system", "content": content}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One model call. `None` leaves a setting to the backend."""

    messages: Sequence[Message]
    max_tokens: int | None = None
    """Output tokens wanted, reasoning included. The ledger may grant fewer. None: the profile's."""
    least_tokens: int = 1
    """The fewest output tokens that are worth the call."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Tools in OpenAI's form: `{"type": "function", "function": {…}}`."""
    tool_choice: str | Mapping[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    logprobs: bool = False
    top_logprobs: int | None = None
    response_format: Mapping[str, Any] | None = None
    reasoning_effort: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Sent as it is, beside the standard fields (`top_k`, `chat_template_kwargs`, …).

    Not the fields that decide what a call can spend: `WrongUsage`.
    """
    identity: str = ""
    """Tells this call from others of its id in place of the messages, where these say what passes:
    what is left of a budget, which a run that is resumed finds changed."""
    continues: bool = False
    """The last message is the assistant's and is to be continued, not answered (prefill)."""
    timeout: float | None = None
    """Seconds for this call, retries and waiting included; the ledger's deadline holds as well."""

    def __post_init__(self) -> None:
        if owned := sorted(_OWNED.intersection(self.extra_body)):
            raise WrongUsage(
                f"extra_body has {', '.join(owned)}, which the client sets itself: use max_tokens "
                "for the length, and one request for each sample"
            )

    def body(self) -> dict[str, Any]:
        """The request's own part of the JSON body; the client adds model, limits and streaming."""
        body: dict[str, Any] = {"messages": list(self.messages)}
        for name in _PLAIN:
            value = getattr(self, name)
            if value is not None and value != ():
                body[name] = value
        if self.logprobs:
            body["logprobs"] = True
        body.update(self.extra_body)
        return body


_OWNED = frozenset(
    {
        "model",
        "messages",
        "n",
        "best_of",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "stream_options",
    }
)
"""A body with other values of these could spend more than was reserved."""

_PLAIN = (
    "tools",
    "tool_choice",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "top_logprobs",
    "response_format",
    "reasoning_effort",
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Tokens a chat template may add to what it is given.

    With these, UTF-8 bytes bound the prompt of every byte-level tokenizer: a token stands for at
    least one byte of text or is one of the template's own.
    """

    base: int = 96
    """Once a prompt: default system text, start of the reply."""
    message: int = 12
    """Each message: role and separators."""
    tools: int = 400
    """Once, where tools are given: the template's instructions for calling them."""


def prompt_bound(request: Request, allowance: Allowance) -> int:
    """An upper bound of the prompt's tokens, from its UTF-8 bytes."""
    total = allowance.base
    for message in request.messages:
        total += allowance.message + _bytes(message.get("content") or "")
        total += _bytes(message.get("tool_call_id") or "")
        for call in message.get("tool_calls", ()):
            total += allowance.message + _bytes(json.dumps(call, ensure_ascii=False))
    if request.tools:
        total += allowance.tools + _bytes(json.dumps(list(request.tools), ensure_ascii=False))
    # A template may write these into the prompt.
    for more in (request.response_format, request.extra_body):
        if more:
            total += _bytes(json.dumps(more, ensure_ascii=False, default=str))
    return total


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
