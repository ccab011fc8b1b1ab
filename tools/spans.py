"""The spans of tool calls, by OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from .. import telemetry
from ..budgets import Ledger
from .result import ToolResult
from .tool import Tool

ASKED_AS: ContextVar[str | None] = ContextVar("ASKED_AS", default=None)
"""The id that the model gave to the call that is being made in this task."""


def executing(tool: Tool, given: Mapping[str, Any], ledger: Ledger, call_id: str) -> telemetry.Span:
    """The span of one call that is really made."""
    span = telemetry.span(
        f"execute_tool {tool.name}",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": ASKED_AS.get(),
            "mull.ledger": ledger.key,
            "mull.call_id": call_id,
        },
    )
    span.content("gen_ai.tool.call.arguments", dict(given))
    return span


def executed(span: telemetry.Span, result: ToolResult) -> ToolResult:
    """Tell the span what came of it, and hand it on."""
    span.content("gen_ai.tool.call.result", result.text)
    if result.failed:
        span.fail("ToolError", result.text)
    return result
