"""HTML as lines of text that keep their numbers. Pure, and linear in its length for any input."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_TAG = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_QUOTE_OR_END = re.compile(r"=\s*[\"']|>")
_LONG_NUMBER = re.compile(r"&#(?:\d{8,}|[xX][0-9a-fA-F]{8,});?")
"""Python refuses to read thousands of digits as a number; no character has as many as eight."""
_SPACE = re.compile(r"\s+")

UNSEEN = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "template")}
"""Elements whose content no reader sees, and where they end."""
_LINES = "br dd dt li option td th tr"
_PARAGRAPHS = """
address article aside blockquote body caption details div dl fieldset figcaption figure footer form
h1 h2 h3 h4 h5 h6 head header hr html legend main nav ol p pre section summary table tbody tfoot
thead title ul
"""
PARAGRAPHS = frozenset(_PARAGRAPHS.split())
"""Elements that are set apart from what stands before and after."""
BLOCKS = PARAGRAPHS.union(_LINES.split())
"""Elements that do not stand in the middle of a line."""


def lines_of_html(source: str) -> Iterator[tuple[int, str]]:
    """The text that a reader sees, by the source's line numbers (from 1).

    A paragraph's border is an empty line under the number of the line it is in.
    """
    line, start = 1, 0
    text: list[str] = []
    for at, end, name in _marks(source):
        for number, part in enumerate(source[start:at].split("\n"), line):
            if number > line:
                yield from _seen(line, text)
                text, line = [], number
            text.append(part)
        skipped = source.count("\n", at, end)
        if skipped or name in BLOCKS:
            yield from _seen(line, text)
            text = []
        if name in PARAGRAPHS:
            yield line, ""
        line, start = line + skipped, end
    yield from _seen(line, text)


def _marks(source: str) -> Iterator[tuple[int, int, str]]:
    """Each piece of markup: where it begins and ends, and its element; at last, the end itself.

    What is not closed reaches to the end, as it does in a browser.
    """
    at = source.find("<")
    while at >= 0:
        tag = _TAG.match(source, at)
        name = tag.group(1).lower() if tag else ""
        if source.startswith("<!--", at):
            end = _after(source.find("-->", at + 4), 3, source)
        elif tag is None and source[at + 1 : at + 2] not in ("!", "?", "/"):
            at = source.find("<", at + 1)  # A less-than sign.
            continue
        elif tag is None:
            end = _after(source.find(">", at), 1, source)
        else:
            end = _tag_end(source, tag.end())
        if name in UNSEEN and source[at + 1] != "/" and source[end - 2 : end] != "/>":
            closing = UNSEEN[name].search(source, end)
            end = closing.start() if closing else len(source)
        yield at, end, name
        at = source.find("<", end)
    yield len(source), len(source), ""


def _tag_end(source: str, at: int) -> int:
    """The place after a tag's `>`, which may also stand inside a quoted value."""
    while mark := _QUOTE_OR_END.search(source, at):
        if mark.group() == ">":
            return mark.end()
        closing = source.find(mark.group()[-1], mark.end())
        if closing < 0:
            break
        at = closing + 1
    return len(source)


def _after(found: int, length: int, source: str) -> int:
    return len(source) if found < 0 else found + length


def _seen(line: int, parts: list[str]) -> Iterator[tuple[int, str]]:
    """A line without entities and without needless space, if anything is left of it."""
    text = "".join(parts)
    if "&" in text:
        text = html.unescape(_LONG_NUMBER.sub("\ufffd", text))
    text = _SPACE.sub(" ", text).strip()
    if text:
        yield line, text
