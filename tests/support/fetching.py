"""Fetchers that may reach the public web, of which a test has none, and one server on loopback."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mull.tools.web import Fetcher, public_web

MakeFetcher = Callable[..., Fetcher]


def fetcher_of(port: int, names: Mapping[str, Sequence[str]] | None = None, **more: Any) -> Fetcher:
    """A fetcher to which site.example is the server at `port` of 127.0.0.1, and nothing else there
    is allowed. `names` are further names and their addresses."""
    allowed = "127.0.0.1", port
    known = {"site.example": ["127.0.0.1"], **(names or {})}

    async def resolve(host: str) -> Sequence[str]:
        return known.get(host, ())

    return Fetcher(
        allow=lambda address, at: public_web(address, at) or (str(address), at) == allowed,
        resolve=resolve,
        **more,
    )
