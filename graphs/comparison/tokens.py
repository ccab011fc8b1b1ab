"""The pieces of an expression, LaTeX or plain. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression."""

    kind: str
    """`number`, `command`, `word`, `mark`, or `end`."""
    text: str
    tight: bool
    """Nothing stands between it and the piece before."""


class Unreadable(Exception):
    """The text is no expression that can be read, or it has no value that can be worked out."""


def tokens(text: str) -> list[Token]:
    """The pieces; a subscript belongs to its symbol. Raises `Unreadable` for any other sign."""
    text = _SHORT_FRACTION.sub(r"\\\1{\2}{\3}", text).strip()
    found: list[Token] = []
    position = 0
    while position < len(text):
        subscript = _SUBSCRIPT.match(text, position)
        if subscript and found and found[-1].kind in ("word", "command"):
            name = (subscript[1] or subscript[2]).replace(" ", "")
            last = found[-1]
            if last.text != "log":
                found[-1] = Token(last.kind, f"{last.text}_{name}", last.tight)
                position = subscript.end()
                continue
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise Unreadable(text)
        found.append(Token(match.lastgroup, match[match.lastgroup], not match["space"]))
        position = match.end()
    return found


_TOKEN = re.compile(
    r"""(?P<space>\s*)(?:
    (?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
    |\\(?P<command>[A-Za-z]+)
    |(?P<word>[A-Za-z]+|[α-ωΓΔΘΛΞΣΦΨΩ])
    |(?P<mark>\*\*|[-+*/^(){}\[\]|!%°_]))""",
    re.X | re.A,
)
_SHORT_FRACTION = re.compile(r"\\(frac|binom)\s*(\d)\s*(\d)", re.A)
_SUBSCRIPT = re.compile(r"_\s?(?:\{\s?([A-Za-z0-9 ,+-]{1,16})\}|([A-Za-z0-9]))", re.A)
