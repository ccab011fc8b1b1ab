"""From bytes to text, and from a long text to the windows that fit a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.tools.web.charsets import decode
from mull.tools.web.ranking import bm25, words
from mull.tools.web.windows import WINDOW_BYTES, by_relevance, windows

LINES = st.lists(st.text(max_size=400), max_size=30)


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("café".encode(), "", "café"),
        ("café".encode("latin-1"), "", "café"),
        ("café".encode("latin-1"), "iso-8859-1", "café"),
        ("“café”".encode("cp1252"), "ISO-8859-1", "“café”"),
        ("“café”".encode("cp1252"), "us-ascii", "“café”"),
        ("рыба".encode("koi8-r"), "KOI8-R", "рыба"),
        ("魚".encode("shift-jis"), "Shift_JIS", "魚"),
        ("魚".encode("gb18030"), "GB18030", "魚"),
        ("\ufeffcafé".encode("utf-16-le"), "utf-8", "café"),
        ("\ufeffcafé".encode("utf-16-be"), "", "café"),
        ("\ufeffcafé".encode(), "latin-1", "café"),
        ("café".encode(), "no-such-charset", "café"),
        (b"a\xffb", "utf-8", "a\ufffdb"),
        (b"", "", ""),
    ],
)
def test_bytes_are_read_as_a_browser_would(body: bytes, charset: str, text: str) -> None:
    assert decode(body, charset) == text


@pytest.mark.parametrize(
    "head",
    [
        '<meta charset="koi8-r">',
        "<meta charset = koi8-r>",
        '<meta content="text/html; charset=koi8-r">',
        '<?xml version="1.0" encoding="koi8-r"?>',
    ],
)
def test_a_page_may_name_its_own_charset(head: str) -> None:
    assert decode(f"{head}рыба".encode("koi8-r"), markup=True).endswith("рыба")
    assert not decode(f"{head}рыба".encode("koi8-r")).endswith("рыба")


@pytest.mark.parametrize(
    "charset",
    ["punycode", "idna", "unicode_escape", "utf-7", "zip", "rot13", "undefined"],
)
def test_a_codec_that_is_no_charset_is_not_used(charset: str) -> None:
    assert decode(b"\\x41+AEE- a", charset) == "\\x41+AEE- a"


@given(st.binary(max_size=300), st.text(max_size=60), st.booleans())
def test_any_bytes_become_text(body: bytes, charset: str, markup: bool) -> None:
    assert isinstance(decode(body, charset, markup=markup), str)


def test_words_are_folded_and_each_chinese_character_is_one() -> None:
    assert words("The STRASSE, straße_2 魚と海abc") == (
        ["the", "strasse", "strasse", "2", "魚", "と", "海", "abc"]
    )


def test_a_plural_is_the_same_word() -> None:
    assert words("eels spawns cities ties glass bus") == (
        ["eel", "spawn", "city", "ty", "glass", "bus"]
    )


def test_bm25_prefers_rare_words_to_common_ones() -> None:
    passages = ["the fish and the cat", "the dog and the cat", "the cat and the cow"]
    scores = bm25("the fish", passages)
    assert scores.index(max(scores)) == 0


def test_bm25_of_passages_without_a_word_of_the_question_is_zero() -> None:
    assert bm25("fish", ["", "a dog", "..."]) == [0, 0, 0]
    assert bm25("", ["a dog"]) == [0]
    assert bm25("fish", []) == []


@given(st.text(), LINES)
def test_bm25_gives_each_passage_a_score_that_is_never_negative(
    question: str, passages: list[str]
) -> None:
    scores = bm25(question, passages)
    assert len(scores) == len(passages)
    assert all(score >= 0 for score in scores)


@given(LINES, st.sampled_from(["\n", "\n\n", " ", ""]), st.integers(1, 60))
def test_the_windows_of_a_text_are_the_text_and_none_is_too_large(
    lines: list[str], between: str, times: int
) -> None:
    text = between.join(lines * times)
    parts = windows([text])
    assert "".join(part.text for part in parts) == text
    assert all(0 < len(part.text.encode()) <= WINDOW_BYTES for part in parts)


@pytest.mark.parametrize("character", ["x", "é", "魚", "\U0001f41f", " ", "\n", "\t"])
def test_a_text_without_a_border_is_cut_all_the_same(character: str) -> None:
    text = character * 100_000
    parts = windows([text])
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text.encode()) <= WINDOW_BYTES for part in parts)


def test_a_paragraph_that_fits_is_not_cut() -> None:
    paragraphs = [f"Start {n} " + "word " * 100 + f"end {n}." for n in range(60)]
    for between in ("\n", "\n\n"):
        parts = windows([between.join(paragraphs)])
        assert len(parts) > 1
        for part in parts:
            assert part.text.startswith("Start")
            assert part.text.strip().endswith(".")


def test_windows_name_the_pages_that_they_are_from() -> None:
    parts = windows([f"This is page {n}. " + "word " * 300 for n in range(1, 10)])
    assert len(parts) > 1
    for part in parts:
        named = [n for n in range(1, 10) if f"[page {n}]\nThis is page {n}." in part.text]
        assert named[-1] == part.last_page
        assert part.first_page in (named[0], named[0] - 1)
    assert parts[-1].last_page == 9


def test_the_window_with_the_best_paragraph_comes_first() -> None:
    paragraphs = ["Nothing here at all. " * 20] * 40
    paragraphs[30] = "The eel spawns in the Sargasso Sea. " * 3
    paragraphs[5] = "An eel. " + "Of other things. " * 30
    parts = windows(["\n".join(paragraphs)])
    order = by_relevance(parts, "Where does the eel spawn, in which sea?")
    assert "Sargasso" in parts[order[0]].text
    assert "An eel." in parts[order[1]].text


def test_a_window_without_a_word_of_the_question_does_not_fit() -> None:
    parts = windows(["The eel. " * 1000])
    assert by_relevance(parts, "zebra") == []
    assert len(by_relevance(parts, "eel")) == len(parts)
