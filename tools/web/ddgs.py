"""Search without a key or a server: the ddgs client, which asks public search engines."""

from __future__ import annotations

import asyncio
import re

from ..functions import in_thread
from .provider import Hit, NoAnswer

ENGINE_SECONDS = 4
"""That ddgs waits for an engine. It asks several, one after another: not a limit of a search."""
OFFLINE = "the search engines cannot be reached from here"
NOTHING = "nothing was found, or the search engines refuse so many searches"

_OFFLINE = re.compile("ConnectError|DNSError")


class DdgsProvider:
    """Satisfies `SearchProvider`.

    Args:
        proxy: As `http://host:port` or `socks5://…`, for all searches.
        verify: False trusts any certificate; a path is a PEM file of the ones to trust.
        seconds: For one search, whatever the engines do.
    """

    name = "web search by ddgs"

    def __init__(
        self, *, proxy: str | None = None, verify: bool | str = True, seconds: float = 15.0
    ) -> None:
        self._proxy = proxy
        self._verify = verify
        self._seconds = seconds

    async def search(self, query: str, count: int) -> list[Hit]:
        """At most `count` hits. Never empty: raises `NoAnswer`, because ddgs says the same whether
        an engine found nothing, sent a challenge, or refused to answer so often."""
        try:
            async with asyncio.timeout(self._seconds):
                found = await in_thread(lambda: self._ask(query, count))
        except TimeoutError:
            raise NoAnswer(f"the search engines took longer than {self._seconds:.3g} s") from None
        hits = [Hit.of(row.get("title"), row.get("href"), row.get("body")) for row in found]
        kept = [hit for hit in hits if hit is not None]
        if not kept:
            raise NoAnswer(NOTHING)
        return kept[:count]

    def _ask(self, query: str, count: int) -> list[dict[str, str]]:
        # Here, so that only a search pays for loading it and its 15 MB of native code.
        from ddgs import DDGS
        from ddgs.exceptions import DDGSException

        # One object for each search: it keeps state of the last one and is not safe in threads.
        client = DDGS(proxy=self._proxy, timeout=ENGINE_SECONDS, verify=self._verify)
        try:
            return client.text(query, max_results=count)
        except DDGSException as error:
            raise NoAnswer(OFFLINE if _OFFLINE.search(str(error)) else NOTHING) from error
