"""The span of a run, by OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

from collections.abc import Sequence

from .. import telemetry
from ..budgets import Budget, Ledger
from ..models import Message, user
from ..models.spans import message_parts
from .answer import Answer


def invoking() -> telemetry.Span:
    """The span of one run: the others of the run are below it."""
    return telemetry.span(
        "invoke_agent",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "openai"},
    )


def begun(question: str, history: Sequence[Message], ledger: Ledger, limits: Budget) -> None:
    """Tell the run's span what was asked, and who pays."""
    span = telemetry.current()
    if span.recording:
        span.set({"mull.ledger": ledger.key, **telemetry.totals("mull.budget", limits.as_dict())})
        asked = [message_parts(each) for each in (*history, user(question))]
        span.content("gen_ai.input.messages", asked)


def answered(span: telemetry.Span, answer: Answer) -> Answer:
    """Tell the run's span how it ended, and hand the answer on."""
    if span.recording:
        span.set(
            {
                "gen_ai.conversation.id": answer.thread,
                "mull.depth": answer.depth,
                "mull.stopped": answer.stopped,
                "mull.confidence": answer.confidence,
                **telemetry.totals("mull.usage", answer.usage.as_dict()),
            }
        )
        said = [{"type": "text", "content": answer.text}]
        span.content("gen_ai.output.messages", [{"role": "assistant", "parts": said}])
    return answer
