"""What the index is asked, and how two rankings become one."""

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from mull.tools.documents.ranking import MOST_WORDS, fuse, indexed, match

RANKING = st.lists(st.integers(0, 20), unique=True)


def test_common_words_are_left_out_where_others_are() -> None:
    assert match("What is the colour of it?") == '"colour"'
    assert match("to be or not to be") == '"not" OR "to" OR "be" OR "or"'


def test_of_a_long_query_the_longest_words_count() -> None:
    words = [f"{'x' * (number % 50)}{number}" for number in range(500)]
    assert match(" ".join(words)).count(" OR ") == MOST_WORDS - 1


def test_scripts_without_spaces_are_looked_for_by_two_characters() -> None:
    assert match("北京人口") == '"北 京" OR "京 人" OR "人 口"'
    assert indexed("ab北京") == "ab 北  京 "


@given(st.text())
def test_an_expression_is_never_a_syntax_error(query: str) -> None:
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        expression = match(query)
        if expression:
            assert db.execute("SELECT * FROM words WHERE words MATCH ?", (expression,)) is not None
    db.close()


@given(RANKING, RANKING)
def test_what_both_rankings_have_comes_before_what_one_has_at_the_same_place(
    one: list[int], other: list[int]
) -> None:
    scores = fuse([one, other])
    for place, item in enumerate(one):
        for rival in other[place:]:
            if item in other and rival not in one:
                assert scores[item] > scores[rival]


@given(RANKING)
def test_one_ranking_alone_stays_as_it_is(ranking: list[int]) -> None:
    assert list(fuse([ranking])) == ranking
