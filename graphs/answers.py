"""The comparable answer in what a model wrote. Pure."""

from __future__ import annotations

import re

_LINE = re.compile(r"^(?:\W{0,4}(?:final\s+)?answer\W{0,3}:[*_]{0,3}\s*)++(\S.*|)$", re.I | re.M)
_BRACE = re.compile(r"\\boxed\{|[{}]")


def comparable(text: str) -> str | None:
    """The last `Answer: …` line or `\\boxed{…}`, whichever comes later; None without either."""
    lines = [line for line in _LINE.finditer(text) if _bare(line)]
    boxed = _last_boxed(text)
    if lines and (boxed is None or lines[-1].start() > boxed[0]):
        inner = _last_boxed(lines[-1][1])
        return inner[1] if inner else _bare(lines[-1])
    return boxed[1] if boxed else None


def _bare(line: re.Match[str]) -> str:
    """What a line states, without the marks that models put around it."""
    return line[1].strip("*_` \t\r")


def _last_boxed(text: str) -> tuple[int, str] | None:
    """Where the last `\\boxed{…}` stands and what is in it, braces balanced."""
    last: tuple[int, str] | None = None
    opened: list[re.Match[str]] = []
    for brace in _BRACE.finditer(text):
        if brace[0] != "}":
            opened.append(brace)
        elif opened:
            begun = opened.pop()
            inner = text[begun.end() : brace.start()].strip()
            if begun[0] != "{" and inner and (last is None or begun.start() > last[0]):
                last = begun.start(), inner
    return last
