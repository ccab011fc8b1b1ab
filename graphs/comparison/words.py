"""Short texts, and yes or no. Pure."""

from __future__ import annotations

import re

MOST_WORDS = 8
"""A text of more is open-ended: two that mean the same are seldom written the same."""
LONGEST = 100
"""Characters of a text, for scripts that do not part words."""


def text_key(text: str) -> str | None:
    """The key of a short text: capitals, articles and punctuation do not matter.

    None for a text that is too long to be compared as one, and for an empty one.
    """
    if len(text) > LONGEST or len(text.split()) > MOST_WORDS:
        return None
    plain = _HYPHEN.sub(" ", text.casefold())
    plain = " ".join(_PUNCTUATION.sub("", plain).split())
    plain = _ARTICLE.sub("", plain)
    return f"t:{plain}" if any(letter.isalnum() for letter in plain) else _signs(text)


def boolean_key(text: str) -> str | None:
    """The key of yes, no, true or false, alone or before a comma or a reason; else None."""
    match = _BOOLEAN.match(text)
    if not match:
        return None
    return "b:yes" if match[1].lower() in ("yes", "true") else "b:no"


def _signs(text: str) -> str | None:
    """Of a text without letters, only the signs that say something: ∅, >, +."""
    plain = "".join(text.split()).strip(".,;:!?'\"`*_-()[]{}$\\")
    return f"t:{plain}" if plain else None


_BOOLEAN = re.compile(
    r"(yes|no|true|false)(?:$|[.!]?$|\s?[,;:]\s|\s-\s|[.!]\s(?=\D)|\s(?:because|since|it\s|\())"
    r"(?!\s*(?:yes|no|true|false)\b)",
    re.I,
)
_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
_PUNCTUATION = re.compile(
    r"(?<=\w)['’](?=\w|\s|$)|\.(?!\d)|[,;:](?=\s|$)|(?<=[^\W\d_]{2})[!?]|[\"“”`]|\*\*|^['’]|['’]$"
)
_ARTICLE = re.compile(r"^(?:the|an|a)\s+(?=\S)")
