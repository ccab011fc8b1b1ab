"""Passages: pieces of text whose lines can be cited."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mull.tools.documents.passages import OVERLAP, UNIT, WHOLE, passages

LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))


def numbered(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.split("\n"), 1))


@given(LINES)
def test_every_word_is_in_a_passage_that_cites_its_line(lines: list[str]) -> None:
    found = list(passages(enumerate(lines, 1)))
    for number, line in enumerate(lines, 1):
        for word in line[: UNIT // 8].split():
            assert any(p.first <= number <= p.last and word in p.text for p in found)


@given(st.lists(st.text("ab #.。é漢\n", max_size=2000), max_size=8).map("\n\n".join))
def test_no_passage_is_much_longer_than_whole(text: str) -> None:
    for passage in passages(numbered(text)):
        assert len(passage.text.encode()) <= WHOLE + OVERLAP


@given(st.lists(st.text("ab #.\n", max_size=2000), max_size=8).map("\n\n".join))
def test_passages_go_forward(text: str) -> None:
    found = list(passages(numbered(text)))
    for one, other in pairwise(found):
        assert one.first <= other.first
        assert one.last <= other.last


def test_a_passage_is_its_lines() -> None:
    text = "\n".join(f"line {number} " + "word " * 15 for number in range(1, 101))
    lines = [line.rstrip() for line in text.split("\n")]
    found = list(passages(numbered(text)))
    assert len(found) > 5
    for passage in found:
        assert passage.text == "\n".join(lines[passage.first - 1 : passage.last])


def test_neighbours_overlap() -> None:
    text = "\n".join(f"line {number} " + "word " * 15 for number in range(1, 101))
    found = list(passages(numbered(text)))
    for one, other in pairwise(found):
        assert one.first < other.first <= one.last


def test_a_passage_ends_at_a_paragraphs_border_if_one_is_near() -> None:
    paragraph = "\n".join(["some words of a paragraph"] * 10)
    text = "\n\n".join([paragraph] * 10)
    for passage in list(passages(numbered(text)))[:-1]:
        assert passage.last % 11 == 10


def test_a_heading_stays_with_what_follows() -> None:
    section = "# Heading\n\n" + "\n".join(["some words of a section"] * 14)
    for passage in passages(numbered("\n\n".join([section] * 10))):
        assert not passage.text.endswith("# Heading")


def test_a_long_line_is_cut_between_words_and_keeps_its_number() -> None:
    words = [f"word{number}" for number in range(1000)]
    found = list(passages(numbered("first\n" + " ".join(words))))
    assert {passage.last for passage in found} == {2}
    assert {word for passage in found for word in passage.text.split()} == {"first", *words}


def test_nothing_but_space_is_no_passage() -> None:
    assert list(passages(numbered("\n  \n\t\n"))) == []
