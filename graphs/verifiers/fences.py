"""Fenced blocks in Markdown, as models write them. Pure, and linear in the text's length."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^\s`{]*)")
_DEFINES = re.compile(r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]", re.M)
PYTHON = frozenset({"python", "py", "python3", "ipython", "pycon", ""})
"""What models write behind a fence that opens Python."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    """In lower case; empty where none is named."""
    code: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks in their order. One that is never closed goes on to the end."""
    return _split(text)[1]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _split(text)[0]


def last_python(text: str) -> str | None:
    """The last fenced block of Python: one so named, else one without a name."""
    found = [block for block in blocks(text) if block.language in PYTHON and block.code.strip()]
    named = [block for block in found if block.language]
    return (named or found)[-1].code if found else None


def defining_python(text: str) -> str | None:
    """The last fenced block of Python that defines a function or a class; else the last one.

    Models like to end with a block that only shows a call.
    """
    found = [block.code for block in blocks(text) if block.language in PYTHON]
    defining = [code for code in found if _DEFINES.search(code)]
    return defining[-1] if defining else last_python(text)


def _split(text: str) -> tuple[str, list[Block]]:
    outside: list[str] = []
    inside: list[str] = []
    found: list[Block] = []
    mark, language = "", ""
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if not mark:
            if fence:
                mark, language = fence[1], fence[2].lower()
                outside.append("")
            else:
                outside.append(line)
        elif fence and fence[1].startswith(mark) and not line[fence.end(1) :].strip():
            found.append(Block(language, "\n".join(inside)))
            mark, inside = "", []
        else:
            inside.append(line)
    if mark:
        found.append(Block(language, "\n".join(inside)))
    return "\n".join(outside), found
