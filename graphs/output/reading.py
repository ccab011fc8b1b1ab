"""Where in a model's text the JSON of its answer may stand. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..answers import comparable

REASONING, OUTPUT = "reasoning", "output"
"""Members of the object that a model writes where the backend holds it to a schema."""
DEEPEST = 64
"""Levels of JSON."""


@dataclass(frozen=True, slots=True)
class Place:
    """A possible output."""

    json: str
    """Its JSON, on one line."""
    before: str
    """What was said before it."""
    stated: bool = False
    """It is just what the text's last `Answer:` line says."""


def places(text: str) -> Iterator[Place]:
    """The JSON in a text that may be its output, the likeliest first.

    That is the whole text, what follows the last `Answer:`, the fenced blocks from the last to
    the first, and the last object or list that begins a line.
    """
    yield from _unwrapped(text.strip(), "")
    line = next(reversed(list(_LINE.finditer(text))), None)
    if line is not None:
        yield from _after(text[line.end() :].strip(), text[: line.start()], comparable(text))
    for block in reversed(list(_FENCE.finditer(text))):
        yield from _unwrapped(block[1].strip(), text[: block.start()])
    last = _last_json(text)
    if last is not None:
        yield from _unwrapped(text[slice(*last)], text[: last[0]])


def bare(text: str) -> list[str]:
    """The stated answer, else the whole text, as JSON: what it is as it stands, and as a string."""
    said = comparable(text) or text.strip()
    found = _decoded(said)
    whole = found is not None and found[1] == len(said)
    return [*([_dumps(found[0])] if found and whole else []), _dumps(said)]


def _unwrapped(text: str, before: str) -> Iterator[Place]:
    """A text that is JSON; where it is the object of reasoning and output, the output first."""
    found = _decoded(text)
    if found is None or found[1] != len(text):
        return
    value = found[0]
    if _is_wrapped(value):
        reasons = value.get(REASONING, "")
        yield Place(_dumps(value[OUTPUT]), f"{before}{reasons}")
    yield Place(_dumps(value), before)


def _after(text: str, before: str, line: str | None) -> Iterator[Place]:
    """The JSON that follows `Answer:`, fenced or not, with nothing but marks after a scalar."""
    fence = _FENCE.match(text)
    begun = fence[1].strip() if fence else text
    found = _decoded(begun)
    if found is None:
        return
    value, end = found
    if isinstance(value, dict | list) or begun[end : end + 1] in _ENDS:
        stated = line is not None and _decoded(line) == (value, len(line))
        yield Place(_dumps(value), before, stated)
        if _is_wrapped(value):
            yield Place(_dumps(value[OUTPUT]), before)


def _last_json(text: str) -> tuple[int, int] | None:
    """Where the last object or list stands that begins a line and is in no other one."""
    found, end = None, 0
    for start in _OPENING.finditer(text):
        if start.start(1) < end:
            continue
        json_here = _decoded(text, start.start(1))
        if json_here is not None:
            end = json_here[1]
            found = start.start(1), end
    return found


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, dict) and OUTPUT in value and value.keys() <= {REASONING, OUTPUT}


def _decoded(text: str, start: int = 0) -> tuple[Any, int] | None:
    """The JSON that stands there, and where it ends; None for what would break a reader of it."""
    try:
        value, end = _DECODER.raw_decode(text, start)
        _dumps(value).encode()
    except (ValueError, RecursionError):  # A half of a surrogate pair is a `ValueError`, too.
        return None
    return (value, end) if _is_shallow(value) else None


def _is_shallow(value: Any, levels: int = DEEPEST) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inner)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_ENDS = ("", "*", "_", "`", ".", "\n")
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
_LINE = re.compile(r"^\W{0,4}(?:final\s+)?answer[^\w:]{0,3}:[*_]{0,3}\s*(?=\S)", re.I | re.M)
_FENCE = re.compile(r"```\w*[^\S\n]*\n?(.*?)```", re.S)
_OPENING = re.compile(r"^[^\S\n]*([\[{])", re.M)
