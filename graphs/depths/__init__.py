"""The depths by name, from shallow to deep. A new one is a file beside these and a line here."""

from collections.abc import Mapping

from .auto import AUTO
from .depth import Depth
from .direct import DIRECT
from .reason import REASON
from .reflect import REFLECT
from .search import SEARCH
from .vote import VOTE

DEPTHS: Mapping[str, Depth] = {
    depth.name: depth for depth in (DIRECT, REASON, REFLECT, VOTE, SEARCH, AUTO)
}

__all__ = ["DEPTHS", "Depth"]
