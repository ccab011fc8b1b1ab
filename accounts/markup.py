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


def cut(text: str, most: int) -> str:
    """At most `most` characters of `text`; its end tells more than its start."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _seen(character: str) -> str:
    if character in KEPT or unicodedata.category(character) not in HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
