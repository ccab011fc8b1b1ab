"""The comparable answer in what a model wrote. Pure."""

from __future__ import annotations

import re

_LINE = re.compile(r"^\W{0,4}(?:final\s+)?answer\W{0,3}:\W{0,3}\s*(\S.*?)\s*$", re.I | re.M)
_BOXED = "\\boxed{"


def comparable(text: str) -> str | None:
    """The last `Answer: …` line or `\\boxed{…}`, whichever comes later; None without either."""
    lines = list(_LINE.finditer(text))
    boxed = _last_boxed(text)
    if lines and (boxed is None or lines[-1].start() > boxed[0]):
        inner = _last_boxed(lines[-1][1])
        return inner[1] if inner else lines[-1][1].strip("*_` ")
    return boxed[1] if boxed else None


def _last_boxed(text: str) -> tuple[int, str] | None:
    """Where the last `\\boxed{…}` stands and what is in it, braces balanced."""
    start = text.rfind(_BOXED)
    while start != -1:
        depth, begin = 1, start + len(_BOXED)
        for end in range(begin, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return start, text[begin:end].strip()
        start = text.rfind(_BOXED, 0, start)
    return None
