"""Foreign text in a page. Pure."""

from __future__ import annotations

import unicodedata
from html import escape

HIDDEN = frozenset(("Cc", "Cf", "Cs"))
"""Categories of characters that cannot be seen: control, format, half of a pair."""
KEPT = "\n\t\u200c\u200d"
"""Of them, those that text needs: joined letters and emoji have the last two."""


def clean(text: str) -> str:
    """Text that is only text: no markup, and nothing that cannot be seen.

    Control characters, those that turn the direction of writing, and halves of characters are
    written out, as `\\u202e`.
    """
    return escape("".join(_seen(character) for character in text))


def pre(text: str, kind: str = "text") -> str:
    """Foreign text as it stands, in a box."""
    return f'<pre class="{kind}" dir="auto">{clean(text)}</pre>'


def note(markup: str) -> str:
    """A remark; empty for none. What is foreign in it must be clean."""
    return f'<p class="note">{markup}</p>' if markup else ""


def folded(title: str, markup: str) -> str:
    """Something to be unfolded, under a title of foreign text."""
    return f'<details class="fold"><summary>{clean(title)}</summary>\n{markup}</details>'


def cut(text: str, most: int) -> str:
    """At most `most` characters of `text`; its end tells more than its start."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _seen(character: str) -> str:
    if character in KEPT or unicodedata.category(character) not in HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
