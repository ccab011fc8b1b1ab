"""ToolResult: what came of one tool call, and how the records keep it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from .tool import Attachment


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of one tool call."""

    text: str
    """What the model is told."""
    failed: bool = False
    remembered: bool = False
    """Answered from memory: nothing was run and nothing was charged."""
    recalled: bool = False
    """Answered from the record of an earlier life of the run: its session did not see this call."""
    seconds: float = 0.0
    attachments: tuple[Attachment, ...] = ()
    """Files and pictures that the call made; not shown to the model."""


def written(result: ToolResult) -> dict[str, Any]:
    """The result as plain values, its files in base64."""
    files = [
        {
            "name": made.name,
            "media_type": made.media_type,
            "data": base64.b64encode(made.data).decode(),
        }
        for made in result.attachments
    ]
    fields = {"text": result.text, "failed": result.failed, "seconds": result.seconds}
    return {**fields, "attachments": files}


def read(fields: dict[str, Any]) -> ToolResult:
    """The result that `written` wrote."""
    attachments = tuple(
        Attachment(made["name"], made["media_type"], base64.b64decode(made["data"]))
        for made in fields["attachments"]
    )
    return ToolResult(
        fields["text"],
        failed=fields["failed"],
        seconds=fields["seconds"],
        attachments=attachments,
    )
