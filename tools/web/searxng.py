"""Search by a SearxNG instance: a metasearch server that people run for themselves."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from ..tool import ToolError
from .fetch import BadStatus, Fetcher
from .provider import Hit, NoAnswer


class SearxngProvider:
    """Satisfies `SearchProvider`.

    Args:
        base_url: Of the instance, as `http://localhost:8888`. Its settings.yml must name `json`
            under `search: formats:`.
        seconds: For one search.
    """

    name = "web search by SearxNG"

    def __init__(self, base_url: str, *, seconds: float = 15.0) -> None:
        self._base_url = base_url.rstrip("/")
        # The application named the server: it may be anywhere, and most often it is near.
        self._fetcher = Fetcher(allow=lambda address, port: True, seconds=seconds)

    async def search(self, query: str, count: int) -> list[Hit]:
        """At most `count` hits. Raises `NoAnswer`, `ToolError`."""
        asked = urlencode({"q": query, "format": "json"})
        try:
            page = await self._fetcher.get(f"{self._base_url}/search?{asked}")
        except BadStatus as error:
            raise self._refused(error) from error
        try:
            reply = json.loads(page.body)
            rows = list(reply["results"])
        except (ValueError, RecursionError, KeyError, TypeError):
            raise ToolError(f"SearxNG at {self._base_url} sent no search results") from None
        hits = [_hit(row) for row in rows]
        kept = [hit for hit in hits if hit is not None][:count]
        silent = reply.get("unresponsive_engines")
        if not kept and silent:
            raise NoAnswer(f"nothing was found, and {len(silent)} search engines did not answer")
        return kept

    def _refused(self, error: BadStatus) -> ToolError:
        if error.status == 429:
            return NoAnswer("SearxNG refuses so many searches")
        if error.status == 403:
            return ToolError(
                f"SearxNG at {self._base_url} gives no JSON: whoever runs it must add json under "
                "search.formats in its settings.yml. Go on without searching"
            )
        return error


def _hit(row: Any) -> Hit | None:
    if not isinstance(row, dict):
        return None
    return Hit.of(row.get("title"), row.get("url"), row.get("content"))
