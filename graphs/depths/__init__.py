"""The depths by name. A new one is a file beside these and a line here."""

from collections.abc import Mapping

from .depth import Depth
from .direct import DIRECT
from .reason import REASON

DEPTHS: Mapping[str, Depth] = {depth.name: depth for depth in (DIRECT, REASON)}

__all__ = ["DEPTHS", "Depth"]
