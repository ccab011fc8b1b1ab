"""History: what a run is told of the turns before fits its room, and the newest turns go last."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.graphs.history import (
    KEPT,
    MOST,
    Exchange,
    Notes,
    fitting,
    messages_of,
    newer,
    overlong,
    room_for,
    size,
)

TEXTS = st.text(max_size=12) | st.text("añ ", min_size=20, max_size=200)
ROOMS = st.integers(0, 2000)


@st.composite
def exchanges(draw: st.DrawFn) -> list[Exchange]:
    """Turns in order; some numbers are missing, as after an undo, and some answers are empty."""
    gaps = draw(st.lists(st.integers(1, 2), max_size=12))
    numbers = [sum(gaps[: end + 1]) for end in range(len(gaps))]
    return [Exchange(number, draw(TEXTS), draw(TEXTS)) for number in numbers]


NOTES = st.none() | st.builds(
    lambda text, through: Notes(text=text, through=through), TEXTS, st.integers(0, 12)
)


def told(turns: Sequence[Exchange]) -> list[str]:
    return [text for turn in turns if turn.text.strip() for text in (turn.question, turn.text)]


@given(NOTES, exchanges(), ROOMS)
def test_what_is_told_never_takes_more_than_its_room(
    notes: Notes | None, turns: list[Exchange], room: int
) -> None:
    assert size(fitting(notes, turns, room)) <= room


@given(NOTES, exchanges(), ROOMS)
def test_what_does_not_fit_is_left_out_from_the_oldest_on(
    notes: Notes | None, turns: list[Exchange], room: int
) -> None:
    contents = [message["content"] for message in fitting(notes, turns, room)]
    newest = told(newer(notes, turns))
    if contents:
        kept = contents if notes is None else contents[2:]
        assert kept == newest[len(newest) - len(kept) :]


@given(NOTES, exchanges())
def test_with_room_enough_all_is_told(notes: Notes | None, turns: list[Exchange]) -> None:
    assert fitting(notes, turns, 10**6) == messages_of(notes, turns)


@given(NOTES, exchanges(), ROOMS)
def test_the_newest_turns_are_never_condensed(
    notes: Notes | None, turns: list[Exchange], room: int
) -> None:
    rest, taken = newer(notes, turns), overlong(notes, turns, room)
    assert taken == rest[: len(taken)]
    assert len(rest) - len(taken) >= min(KEPT, len(rest))


@given(NOTES, exchanges(), ROOMS)
def test_nothing_is_condensed_while_all_fits(
    notes: Notes | None, turns: list[Exchange], room: int
) -> None:
    if size(messages_of(notes, turns)) <= room:
        assert overlong(notes, turns, room) == []


@given(exchanges(), ROOMS)
def test_the_notes_and_the_turns_after_them_are_all_turns(turns: list[Exchange], room: int) -> None:
    notes: Notes | None = None
    condensed: list[Exchange] = []
    while old := overlong(notes, turns, room):
        condensed += old
        notes = Notes(text="", through=old[-1].number)
    assert [*condensed, *newer(notes, turns)] == turns


@given(exchanges(), ROOMS)
def test_what_is_left_after_condensing_takes_half_of_the_room_or_is_the_newest_turns(
    turns: list[Exchange], room: int
) -> None:
    if taken := overlong(None, turns, room):
        rest = turns[len(taken) :]
        assert size(messages_of(None, rest)) <= room // 2 or len(rest) == KEPT


@given(NOTES, exchanges())
def test_what_is_told_is_a_dialogue(notes: Notes | None, turns: list[Exchange]) -> None:
    roles = [message["role"] for message in messages_of(notes, turns)]
    assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_a_turn_that_was_never_answered_is_left_out() -> None:
    turns = [Exchange(1, "One?", " "), Exchange(2, "Two?", "2")]
    assert [message["content"] for message in messages_of(None, turns)] == ["Two?", "2"]


@pytest.mark.parametrize(
    ("tokens", "context", "room"),
    [(None, None, MOST), (8000, None, 2000), (None, 3000, 1000), (8000, 3000, 1000), (0, None, 0)],
)
def test_the_room_is_a_part_of_what_may_be_spent_and_read(
    tokens: int | None, context: int | None, room: int
) -> None:
    assert room_for(tokens, context) == room
