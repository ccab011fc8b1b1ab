"""History: the earlier turns of a conversation as a run is given them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from ..models import Message, user

KEPT = 2
"""The newest turns, which are never condensed."""
MOST = 6000
"""Tokens of history that a run is given at most."""


class Notes(TypedDict):
    """What a conversation's older turns come down to."""

    text: str
    through: int
    """Number of the last turn that is in them."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer."""

    number: int
    question: str
    text: str


def messages_of(notes: Notes | None, exchanges: Sequence[Exchange]) -> list[Message]:
    """The notes and the turns after them, as messages, oldest first.

    A turn that was never answered is left out.
    """
    messages: list[Message] = []
    if notes is not None:
        messages += [user(f"{HEAD}\n{notes['text']}"), _assistant(NOTED)]
    for exchange in newer(notes, exchanges):
        if exchange.text.strip():
            messages += [user(exchange.question), _assistant(exchange.text)]
    return messages


def newer(notes: Notes | None, exchanges: Sequence[Exchange]) -> list[Exchange]:
    """The turns that are not in the notes."""
    through = 0 if notes is None else notes["through"]
    return [exchange for exchange in exchanges if exchange.number > through]


def room_for(tokens: int | None, context: int | None) -> int:
    """Tokens that the history may have, of what the run may spend and the model can read."""
    return min(
        MOST,
        MOST if tokens is None else tokens // 4,
        MOST if context is None else context // 3,
    )


def overlong(notes: Notes | None, exchanges: Sequence[Exchange], room: int) -> list[Exchange]:
    """The oldest turns to condense, so that the rest takes half of `room`; none while all fit.

    Args:
        room: UTF-8 bytes.
    """
    rest = newer(notes, exchanges)
    if size(messages_of(notes, rest)) <= room:
        return []
    taken: list[Exchange] = []
    while len(rest) > KEPT and size(messages_of(None, rest)) > room // 2:
        taken.append(rest.pop(0))
    return taken


def fitting(notes: Notes | None, exchanges: Sequence[Exchange], room: int) -> list[Message]:
    """As many messages as fit in `room` bytes: the oldest turns go first, then the notes."""
    rest = newer(notes, exchanges)
    while rest and size(messages_of(notes, rest)) > room:
        rest.pop(0)
    messages = messages_of(notes, rest)
    return messages if size(messages) <= room else []


def size(messages: Sequence[Message]) -> int:
    """UTF-8 bytes."""
    return sum(len(message["content"].encode("utf-8", "replace")) for message in messages)


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


HEAD = "Notes of our conversation so far:"

NOTED = "Noted."
