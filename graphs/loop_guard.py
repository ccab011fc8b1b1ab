"""When thinking goes round in circles. Pure."""

from __future__ import annotations

from collections.abc import Sequence

REPEATS = 3
"""So many turns in a row with the very same tool calls are a circle."""
TURNS = 24
"""No branch thinks longer than this, whatever its budget."""


def stuck(actions: Sequence[str]) -> str:
    """Why a branch should stop acting, from each turn's tool calls; empty: it may go on."""
    if len(actions) >= TURNS:
        return f"{TURNS} turns without an answer"
    last = actions[-REPEATS:]
    if len(last) == REPEATS and len(set(last)) == 1:
        return f"the same tool calls {REPEATS} times in a row"
    return ""
