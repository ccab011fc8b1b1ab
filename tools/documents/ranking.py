"""Ranking: what to ask the index, and how two rankings become one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

MOST_CHARACTERS = 2000
"""Of a query; the rest is not looked at."""
MOST_WORDS = 16
"""Of a query that are looked for; of a longer one the longest, which are seldom the common ones."""
FLAT = 60
"""The constant of reciprocal rank fusion: the higher, the less the first places weigh."""

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff])"
)
"""Characters of scripts that put no space between words (Thai, Burmese, Khmer, Chinese, …)."""
_ENGLISH = """
a about an and are as at be been but by can could did do does for from had has have how i if in
into is it its me my no not of on or our so than that the their them then there these they this to
us was we were what when where which who why will with would you your
"""
_COMMON = frozenset(_ENGLISH.split())
"""Words that most passages have. They say nothing, and would make every passage a match."""


def indexed(text: str) -> str:
    """Text as the index takes it: where a script has no spaces, each character is a word."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


def match(query: str) -> str:
    """The query in FTS5's language: any of its words. Empty where it has none.

    Nothing of the query is taken for syntax.
    """
    words = _WORD.findall(query[:MOST_CHARACTERS].lower())
    telling = [word for word in words if word not in _COMMON] or words
    terms = dict.fromkeys(term for word in telling for term in _terms(word))
    longest = sorted(terms, key=len, reverse=True)[:MOST_WORDS]
    return " OR ".join(f'"{term}"' for term in longest)


def _terms(word: str) -> list[str]:
    """A word itself; of a script without spaces, each two neighbouring characters."""
    if word.isascii():
        return [word]
    parts = indexed(word).split()
    if len(parts) == 1:
        return parts
    return [f"{one} {other}" for one, other in pairwise(parts)]


def fuse(rankings: Sequence[Sequence[int]]) -> dict[int, float]:
    """Scores by reciprocal rank fusion, best first: the sum of 1 / (60 + rank) over the rankings.

    It needs no common scale: only the places count.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (FLAT + rank)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
