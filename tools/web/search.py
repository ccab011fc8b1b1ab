"""The `search` tool: addresses on the web for a query."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..tool import Scope, ToolError, ToolOutput
from .ddgs import DdgsProvider
from .provider import Hit, SearchProvider
from .recent import Recent
from .turns import Turns

DESCRIPTION = (
    "Search the web. Returns numbered results with title, address and a snippet; "
    "to know more than a snippet says, read the address."
)
MOST_RESULTS = 10
FEW_RESULTS = 5
MOST_CHARACTERS = 400
"""Of a query: search engines take no more."""
KEPT_SEARCHES = 128
KEPT_SECONDS = 300.0
TIMEOUT = 45.0
"""Seconds, those of waiting for other branches' searches included."""


class SearchTool:
    """Satisfies `tools.tool.Tool`.

    The branches of a run share it: they search one after another, at least `interval` seconds
    apart, and what one found within the last five minutes is there for all.

    Args:
        provider: Where searches go; ddgs, which needs neither key nor server.
        interval: Seconds from one search to the next.
    """

    name = "search"
    description = DESCRIPTION
    pure = True
    side_effects = False
    timeout = TIMEOUT

    def __init__(self, provider: SearchProvider | None = None, *, interval: float = 1.0) -> None:
        self.parameters: Mapping[str, Any] = {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What to search for, in a few words"},
                "count": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_RESULTS,
                    "description": f"How many results, {FEW_RESULTS} unless told",
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        }
        self._provider = provider or DdgsProvider()
        self._interval = interval
        self._next = 0.0
        self._turns = Turns(1)
        self._recent: Recent[Sequence[Hit]] = Recent(KEPT_SEARCHES, KEPT_SECONDS)

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Search for `arguments["query"]`. Raises `ToolError`."""
        query, count = _query(arguments.get("query")), _count(arguments.get("count"))
        hits = await self._hits(query, count)
        return ToolOutput(_text(query, hits), source=self._provider.name)

    async def _hits(self, query: str, count: int) -> Sequence[Hit]:
        async with self._turns.here():
            # Asked here, and not before: another branch may just have searched for the same.
            key = query.casefold(), count
            hits = self._recent.get(key)
            if hits is None:
                await asyncio.sleep(self._next - time.monotonic())
                try:
                    hits = (await self._provider.search(query, count))[:count]
                finally:
                    self._next = time.monotonic() + self._interval
                self._recent.put(key, hits)
            return hits


def _query(given: object) -> str:
    query = " ".join(given.split()) if isinstance(given, str) else ""
    query = query.encode("utf-8", "replace").decode()  # Half a surrogate pair cannot be sent.
    if not query:
        raise ToolError('search needs {"query": "..."} with some words in it')
    if len(query) > MOST_CHARACTERS:
        raise ToolError(f"the query is longer than {MOST_CHARACTERS} characters: use a few words")
    return query


def _count(given: object) -> int:
    """Models also write "5" and 5.0; what is no number is taken for not told."""
    try:
        count = int(float(given)) if isinstance(given, (int, float, str)) else FEW_RESULTS
    except (ValueError, OverflowError):
        count = FEW_RESULTS
    return min(max(count, 1), MOST_RESULTS)


def _text(query: str, hits: Sequence[Hit]) -> str:
    if not hits:
        return f"Nothing was found for {query!r}. Try other words."
    return "\n".join(
        "\n   ".join(filter(None, (f"{number}. {hit.title}", hit.address, hit.snippet)))
        for number, hit in enumerate(hits, 1)
    )
