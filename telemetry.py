"""Spans for OpenTelemetry, on whatever tracer provider the application has set; else nothing.

The API of OpenTelemetry is looked for among the modules that are loaded and never imported first.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable by which people allow prompts, replies, arguments and results on spans."""
ALLOWED = frozenset({"true", "span_only", "span_and_event"})
"""Its values that do."""
_KEY = "mull.telemetry.span"


class Spent(Protocol):
    """What a call was charged: the part of a `Usage` that a span tells."""

    @property
    def calls(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def wasted_tokens(self) -> int: ...
    @property
    def cost(self) -> Any: ...


class Span:
    """One operation, for the length of a `with` block. This one is seen by nobody."""

    recording = False
    """Whether what is set goes anywhere."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""

    def rename(self, name: str) -> None:
        """Give it a better name, learned on the way."""

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes; those that are None are left out."""

    def content(self, name: str, value: Any) -> None:
        """Set an attribute that may hold what people wrote: as JSON, and only if they allow it."""

    def spend(self, usage: Spent) -> None:
        """Add what one attempt was charged."""

    def fail(self, kind: str, said: str = "") -> None:
        """It ended in an error of this kind. What was said may quote a prompt: it is content."""


OFF = Span()


def span(
    name: str,
    attributes: Mapping[str, Any],
    *,
    client: bool = False,
    fails: type[Exception] = Exception,
) -> Span:
    """A span below the current one.

    Args:
        client: It is a call of another process.
        fails: The exceptions that make it an error. A cancellation never does, nor does another
            exception: by it, whoever waited for the operation had no more use for it.
    """
    if "opentelemetry.trace" not in sys.modules:
        return OFF
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        return OFF  # Somebody imported the API, and nobody set it up.
    return _Traced(provider, name, attributes, client, fails)


def current() -> Span:
    """The innermost span of ours that is open here."""
    if "opentelemetry.trace" not in sys.modules:
        return OFF
    from opentelemetry import context

    found = context.get_value(_KEY)
    return found if isinstance(found, Span) else OFF


class _Traced(Span):
    """A span that is seen."""

    def __init__(
        self,
        provider: TracerProvider,
        name: str,
        attributes: Mapping[str, Any],
        client: bool,
        fails: type[Exception],
    ) -> None:
        from opentelemetry.trace import SpanKind

        self._span = provider.get_tracer("mull").start_span(
            name,
            kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
            attributes=_given(attributes),
        )
        self._fails = fails
        self._spent: list[Spent] = []
        self._token: Token[Context] | None = None

    @property
    def recording(self) -> bool:  # type: ignore[override]
        return self._span.is_recording()

    def __enter__(self) -> Self:
        from opentelemetry import context, trace

        here = trace.set_span_in_context(self._span)
        self._token = context.attach(context.set_value(_KEY, self, here))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from opentelemetry import context

        if any(usage.calls for usage in self._spent):
            self.set(_charged(self._spent))
        if isinstance(error, asyncio.CancelledError):
            self.set({"mull.cancelled": True})
        elif isinstance(error, self._fails):
            self.fail(type(error).__qualname__, str(error))
        elif error is not None:
            self.set({"mull.stopped_by": type(error).__qualname__})
        if self._token is not None:
            context.detach(self._token)
        self._span.end()

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(_given(attributes))

    def content(self, name: str, value: Any) -> None:
        if self.recording and _content_allowed():
            self.set({name: json.dumps(value, ensure_ascii=False)})

    def spend(self, usage: Spent) -> None:
        self._spent.append(usage)

    def fail(self, kind: str, said: str = "") -> None:
        from opentelemetry.trace import Status, StatusCode

        self.set({"error.type": kind})
        told = _sendable(said) if said and _content_allowed() else None
        self._span.set_status(Status(StatusCode.ERROR, told))


def _content_allowed() -> bool:
    return os.environ.get(CONTENT, "").strip().lower() in ALLOWED


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _sendable(value) for name, value in attributes.items() if value is not None}


def _sendable(value: Any) -> Any:
    """Without lone surrogates: one of them, and the exporter drops a whole batch of spans."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "replace").decode()


def _charged(attempts: list[Spent]) -> dict[str, Any]:
    """The attributes of what a call was charged, all its attempts together."""
    return {
        "gen_ai.usage.input_tokens": sum(usage.input_tokens for usage in attempts),
        "gen_ai.usage.output_tokens": sum(usage.output_tokens for usage in attempts),
        "gen_ai.usage.reasoning.output_tokens": sum(usage.reasoning_tokens for usage in attempts),
        "gen_ai.usage.cache_read.input_tokens": sum(usage.cached_tokens for usage in attempts),
        "mull.usage.calls": sum(usage.calls for usage in attempts),
        "mull.usage.wasted_tokens": sum(usage.wasted_tokens for usage in attempts),
        "mull.usage.cost": float(sum(usage.cost for usage in attempts)),
    }


def totals(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A `Usage` or `Budget` as attributes, from its `as_dict`; a cost as a number.

    Below `mull.` and not `gen_ai.usage.`: viewers add up all the spans of a trace that have those.
    """
    return {
        f"{prefix}.{name}": float(value) if name == "cost" and value is not None else value
        for name, value in values.items()
    }
