"""The `documents` tool: passages of the user's own files, with where they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import MullError
from ..tool import Scope, ToolError, ToolOutput
from .documents import Documents, Hit

DESCRIPTION = (
    "Search the user's documents. Gives the passages that fit best, each with its file and lines: "
    "cite them as [file:first-last]. Search again with other words if nothing fits."
)
MOST = 10
"""Passages in one answer."""
INGEST_SECONDS = 20.0
"""How long the first call waits for documents that nobody has ingested."""
VECTOR_SECONDS = 8.0
"""How long a call waits for the query's vector."""


class DocumentsTool:
    """Satisfies `tools.tool.Tool`.

    Documents that were not ingested are by the first call, by their words only. A query's vector is
    paid by the run; where it cannot be had, words alone decide, and the model is told.
    """

    name = "documents"
    pure = True
    side_effects = False
    timeout = 30.0

    def __init__(self, documents: Documents, description: str = DESCRIPTION) -> None:
        self.description = description
        self.parameters: Mapping[str, Any] = {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What to look for, in a few words"},
                "count": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST,
                    "description": "How many passages (5)",
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        }
        self._documents = documents

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Search. Raises `ToolError` for wrong arguments, and while documents are being read."""
        query, count = arguments.get("query"), arguments.get("count", 5)
        if not isinstance(query, str) or not query.strip():
            raise ToolError('documents needs {"query": "..."} with some words in it')
        if type(count) is not int:
            raise ToolError(f"count must be a whole number from 1 to {MOST}")
        try:
            async with asyncio.timeout(INGEST_SECONDS):
                await self._documents.ready()
        except TimeoutError:
            raise ToolError("the documents are still being read: ask again later") from None
        hits, note = await self._search(query, min(max(count, 1), MOST), scope)
        if not hits:
            return ToolOutput(f"{note}No passage matches. Try other words.")
        return ToolOutput(note + render(hits), source="; ".join(hit.citation for hit in hits))

    async def _search(self, query: str, count: int, scope: Scope) -> tuple[list[Hit], str]:
        try:
            async with asyncio.timeout(VECTOR_SECONDS):
                hits = await self._documents.search(
                    query, count, ledger=scope.ledger, call_id=f"{scope.call_id}.vector"
                )
            return hits, ""
        except (MullError, TimeoutError) as error:
            why = str(error) or f"its vector took longer than {VECTOR_SECONDS:g} s"
            note = f"[Found by words only: {' '.join(why.split())[:200]}]\n\n"
            return await self._documents.search(query, count), note


def render(hits: Sequence[Hit]) -> str:
    """The passages as the model reads them.

    Each line of a passage is quoted, so that no document can write a citation of its own.
    """
    return "\n\n".join(
        f"{number}. {hit.citation}\n" + "\n".join(f"> {line}" for line in hit.text.split("\n"))
        for number, hit in enumerate(hits, 1)
    )
