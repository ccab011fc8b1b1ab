"""Foreign text on a terminal. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text of a model or a tool that cannot steer the terminal: control characters are escaped.

    Characters that turn the direction of writing are among them: they would hide what is said.
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )
