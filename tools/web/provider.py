"""What a search provider is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..tool import ToolError

_TITLE, _ADDRESS, _SNIPPET = 150, 500, 400
"""Characters of each that the model is shown."""


class NoAnswer(ToolError):
    """No results, and no way to tell nothing found from a refusal to answer so many searches."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"unknown: {why}. This does not mean that nothing exists. Try other words or search "
            "later, read an address that you know, or go on without and say that the search failed"
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. Untrusted, like everything from the web."""

    title: str
    address: str
    snippet: str

    @classmethod
    def of(cls, title: object, address: object, snippet: object) -> Hit | None:
        """A hit as the model may see it: each part on one line and not long. None without a web
        address that can be read."""
        where = str(address or "").strip()
        web = where.startswith(("http://", "https://")) and where.isprintable()
        if not web or " " in where or len(where) > _ADDRESS:
            return None
        return cls(_line(title, _TITLE) or where, where, _line(snippet, _SNIPPET))


class SearchProvider(Protocol):
    """Where searches go."""

    @property
    def name(self) -> str:
        """As the source of a result is named."""

    async def search(self, query: str, count: int) -> Sequence[Hit]:
        """At most `count` hits, best first. Empty only where the provider says that it found none.

        Raises `NoAnswer` where it may have been refused, `ToolError` for a failure. Cancelled with
        its run.
        """


def _line(text: object, most: int) -> str:
    line = " ".join(str(text or "")[: 8 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
