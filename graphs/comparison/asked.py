"""What a question asks for: the unit that an answer may leave out. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .units import PERCENT, Unit, unit

LONGEST = 4000
"""Characters of a question that are read, from its end."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a bare number means in the answer to a question."""

    unit: Unit | None = None
    """A number without a unit is in this one."""
    ratio: bool = False
    """`3:2` and `3 to 2` are ratios, the same as 3/2."""


@lru_cache(maxsize=256)
def asked(question: str) -> Asked:
    """The unit that the question names for its answer, and whether it asks for a ratio."""
    text = " ".join(question[-LONGEST:].split())
    return Asked(_unit(text), bool(_RATIO.search(text)))


def _unit(text: str) -> Unit | None:
    if _PERCENT.search(text):
        return PERCENT
    for named in (*_HOW_MANY.finditer(text), *reversed(list(_IN.finditer(text)))):
        words = named[1].strip("*_$` ").split()
        for count in range(min(4, len(words)), 0, -1):
            name = " ".join(words[:count]).strip("*_$`")
            known = unit(name) if name not in _NOT_UNITS else None
            if known is not None:
                return known
    symbols = set(_CURRENCY.findall(text))
    return unit(symbols.pop()) if len(symbols) == 1 else None


_PERCENT = re.compile(
    r"\b(?:what|which)(?:'s)?\s+(?:(?:is|was|are)\s+)?(?:the\s+)?(?:[a-z]+\s+)?(?:percent(?:age)?\b|%)"
    r"|\bhow\s+many\s+percent\b"
    r"|\b(?:as|in)\s+(?:a\s+)?(?:percent(?:age)?s?\b|%)"
    r"|\b(?:find|calculate|compute|determine|give|state)\s+the\s+(?:[a-z]+\s+)?percentage",
    re.I,
)
_HOW_MANY = re.compile(r"\bhow\s+(?:many|much)\s+([^?.,;()\d]{1,40})", re.I)
_IN = re.compile(r"\b(?:in|nearest)\s+([^?.,;()\d]{1,40})", re.I)
_RATIO = re.compile(r"\b(?:ratio|odds|proportion)\b", re.I)
_CURRENCY = re.compile(r"[$€£¥₹]")
_NOT_UNITS = frozenset({"in", "A", "C", "F", "u", "M"})
"""Units that are more often words or names in a question."""
