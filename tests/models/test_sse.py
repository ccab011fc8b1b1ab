"""The event parser gives the same events wherever the network cuts the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.models.sse import LARGEST_EVENT, EventParser, EventTooLarge

LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data:  c",
        b"data:",
        b": comment",
        b"event: x",
        b"id: 1",
        b"",
        b"junk",
    ]
) | st.binary(max_size=6).filter(lambda line: b"\n" not in line)
ENDS = st.sampled_from([b"\n", b"\r\n"])
STREAMS = st.lists(st.tuples(LINES, ENDS)).map(lambda lines: b"".join(a + b for a, b in lines))


def parsed(pieces: list[bytes]) -> list[bytes]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(st.data())
def test_the_events_are_the_same_wherever_the_bytes_are_cut(data: st.DataObject) -> None:
    stream = data.draw(STREAMS)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parsed(pieces) == parsed([stream])


@given(st.binary())
def test_any_bytes_are_taken(stream: bytes) -> None:
    parsed([stream])


@given(
    st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)),
    ENDS,
)
def test_what_is_sent_as_events_comes_out(texts: list[str], end: bytes) -> None:
    stream = b"".join(b"data: " + text.encode() + end + end for text in texts)
    assert [event.decode() for event in parsed([stream])] == texts


def test_the_data_lines_of_one_event_are_joined() -> None:
    assert parsed([b"data: one\ndata: two\n\n"]) == [b"one\ntwo"]


def test_comments_and_other_fields_are_no_events() -> None:
    assert parsed([b": ping\n\nevent: x\nid: 3\n\nretry: 1\n\n"]) == []


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1000, b"data: x\n" * 100], ids=["one", "many"])
def test_an_event_without_an_end_is_not_kept_for_ever(line: bytes) -> None:
    with pytest.raises(EventTooLarge):
        parsed([line] * (LARGEST_EVENT // len(line) * 2))


def test_a_large_event_is_refused_in_one_piece_as_in_many() -> None:
    with pytest.raises(EventTooLarge):
        parsed([b"data: " + b"x" * LARGEST_EVENT + b"\n\n"])
