"""JSON: the order of keys and the spacing do not matter, and numbers are compared by value. Pure.

Strings are data: they are compared exactly, but for the spaces around them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .numerals import number
from .rounding import number_key

LONGEST = 50_000
"""Characters of JSON."""
DEEPEST = 64
"""Levels of JSON."""


@dataclass(frozen=True, slots=True)
class _Number:
    text: str


def json_key(text: str) -> str | None:
    """The key of a JSON object, or of an array with strings or objects in it; else None.

    An array of numbers is not read here: as [0, 1] it may be an interval.
    """
    if len(text) > LONGEST:
        return None
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json").strip()
    if not text.startswith(("{", "[")) or '"' not in text:
        return None
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except (ValueError, RecursionError):
        return None
    plain = _plain(value, 0)
    return None if plain is None else f"j:{plain}"


def _plain(value: Any, depth: int) -> str | None:
    if depth > DEEPEST:
        return None
    if isinstance(value, _Number):
        exact = number(value.text) if len(value.text) < 400 else None
        return value.text if exact is None else number_key(exact)
    if isinstance(value, str):
        return json.dumps(value.strip())
    if isinstance(value, dict):
        members = [(json.dumps(key), _plain(value[key], depth + 1)) for key in sorted(value)]
        if any(member is None for _, member in members):
            return None
        return "{" + ",".join(f"{key}:{member}" for key, member in members) + "}"
    if isinstance(value, list):
        items = [_plain(item, depth + 1) for item in value]
        return None if None in items else "[" + ",".join(map(str, items)) + "]"
    return json.dumps(value)
