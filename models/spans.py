"""The spans of model calls, by OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .. import telemetry
from ..budgets import Ledger
from ..errors import MullError
from .backend import Backend
from .messages import Message
from .reply import Reply

PORTS = {"http": 80, "https": 443}
SETTINGS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "reasoning_effort": "gen_ai.request.reasoning.level",
}
"""A request's settings that have an attribute of their own."""


def calling(
    operation: str, backend: Backend, model: str | None, ledger: Ledger, call_id: str
) -> telemetry.Span:
    """The span of one call, all its attempts together."""
    url = urlsplit(backend.base_url)
    return telemetry.span(
        f"{operation} {model}" if model else operation,
        {
            "gen_ai.operation.name": operation,
            # Whose way of speaking this is, and not who serves the model: that is the address.
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "server.address": url.hostname,
            "server.port": url.port or PORTS.get(url.scheme),
            "mull.ledger": ledger.key,
            "mull.call_id": call_id,
        },
        client=True,
        fails=MullError,
    )


def sent(body: Mapping[str, Any], max_tokens: int) -> None:
    """Tell the current span what goes out, with the output tokens that the ledger granted."""
    span = telemetry.current()
    if not span.recording:
        return
    span.rename(f"chat {body['model']}")
    stop = body.get("stop")
    span.set(
        {
            "gen_ai.request.model": body["model"],
            "gen_ai.request.max_tokens": max_tokens,
            "gen_ai.request.stream": True,
            "gen_ai.request.stop_sequences": list(stop) if stop else None,
            **{name: body.get(setting) for setting, name in SETTINGS.items()},
            # What a generation that never ends has; the reply puts its own in its place.
            "gen_ai.response.finish_reasons": ["error"],
        }
    )
    span.content("gen_ai.input.messages", [message_parts(each) for each in body["messages"]])


def replied(span: telemetry.Span, reply: Reply) -> Reply:
    """Tell the span what came back, and hand it on."""
    if span.recording:
        span.set(
            {
                "gen_ai.response.model": reply.model or None,
                "gen_ai.response.finish_reasons": [reply.finish_reason or "error"],
                "gen_ai.response.time_to_first_chunk": reply.seconds_to_first,
            }
        )
        span.content("gen_ai.output.messages", [{"role": "assistant", "parts": _said(reply)}])
    return reply


def message_parts(message: Message) -> dict[str, Any]:
    """A message in the conventions' form. Pure."""
    parts: list[dict[str, Any]] = []
    if message["role"] == "tool":
        answered = {"id": message.get("tool_call_id"), "response": message["content"]}
        parts.append({"type": "tool_call_response", **answered})
    elif message["content"]:
        parts.append({"type": "text", "content": message["content"]})
    for call in message.get("tool_calls", ()):
        function = call["function"]
        parts.append(_call(call["id"], function["name"], function["arguments"]))
    return {"role": message["role"], "parts": parts}


def _said(reply: Reply) -> Sequence[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if reply.reasoning:
        parts.append({"type": "reasoning", "content": reply.reasoning})
    if reply.text or reply.refusal:
        parts.append({"type": "text", "content": reply.text or reply.refusal})
    return parts + [_call(call.id, call.name, call.arguments) for call in reply.tool_calls]


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        given = arguments  # As the model wrote it.
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": given}
