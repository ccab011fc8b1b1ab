"""Replies as the records keep them: plain values, and back. Pure."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from ..budgets import Usage
from ..budgets.records import digest_of
from .messages import Request
from .reply import Reply, TokenLogprob, ToolCall

_TELLING = ("temperature", "top_p", "seed", "stop", "response_format", "continues")
"""Settings that make another call of the same messages."""
_ASKED = ("max_tokens", "tools", "tool_choice", "reasoning_effort")
"""What is kept beside them."""


def asked_of(request: Request, model: str) -> dict[str, Any]:
    """What is asked, for the record: without what is empty."""
    asked: dict[str, Any] = {"model": model, "messages": list(request.messages)}
    for name in (*_TELLING, *_ASKED):
        value = getattr(request, name)
        if value not in (None, (), False):
            asked[name] = list(value) if isinstance(value, tuple) else value
    return asked | dict(request.extra_body)


def digest(request: Request, model: str) -> str:
    """The same for the same question, whatever the budget allows at the moment."""
    telling: dict[str, Any] = {name: getattr(request, name) for name in _TELLING}
    asked = request.identity or list(request.messages)
    return digest_of({"model": model, "asked": asked, **telling})


def written(reply: Reply) -> dict[str, Any]:
    """The reply as plain values."""
    fields = asdict(reply)
    fields["usage"]["cost"] = str(reply.usage.cost)
    return {name: value for name, value in fields.items() if value not in ("", (), None)}


def read(fields: dict[str, Any]) -> Reply:
    """The reply that `written` wrote."""
    usage = fields["usage"]
    return Reply(
        **{
            **fields,
            "text": fields.get("text", ""),
            "tool_calls": tuple(ToolCall(**call) for call in fields.get("tool_calls", ())),
            "logprobs": tuple(
                TokenLogprob(
                    token["token"], token["logprob"], tuple((t, p) for t, p in token["top"])
                )
                for token in fields.get("logprobs", ())
            ),
            "usage": Usage(**{**usage, "cost": Decimal(usage["cost"])}),
        }
    )
