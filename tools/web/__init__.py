"""The web as two tools: `search` finds addresses, `read` reads one of them."""

from .addresses import is_public, public_web
from .ddgs import DdgsProvider
from .fetch import BadStatus, Fetcher, Page
from .guard import FetchError
from .provider import Hit, NoAnswer, SearchProvider
from .read import ReadTool
from .search import SearchTool
from .searxng import SearxngProvider

__all__ = [
    "BadStatus",
    "DdgsProvider",
    "FetchError",
    "Fetcher",
    "Hit",
    "NoAnswer",
    "Page",
    "ReadTool",
    "SearchProvider",
    "SearchTool",
    "SearxngProvider",
    "is_public",
    "public_web",
]
