"""BM25: which passages have most to do with a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_K1, _B = 1.5, 0.75
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
# Chinese and Japanese have no spaces between words: each character counts as one.
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")


def words(text: str) -> list[str]:
    """The words of `text`, in lower case and without a plural's s."""
    return [_singular(word) for word in _WORD.findall(text.casefold())]


def _singular(word: str) -> str:
    """The S stemmer: weak, and so rarely wrong in any language (Harman, 1991)."""
    if len(word) < 4 or word[-1] != "s" or word[-2] in "us":
        return word
    return f"{word[:-3]}y" if word.endswith("ies") and word[-4] not in "ae" else word[:-1]


def bm25(question: str, passages: Sequence[str]) -> list[float]:
    """How well each passage fits `question`, 0 where no word is shared (Robertson and Zaragoza,
    2009; the inverse document frequency is Lucene's, which is never negative)."""
    wanted = set(words(question))
    counts = [Counter(words(passage)) for passage in passages]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / len(lengths) if any(lengths) else 1.0
    weights = {}
    for word in wanted:
        having = sum(word in count for count in counts)
        weights[word] = math.log(1 + (len(counts) - having + 0.5) / (having + 0.5))
    return [
        sum(
            weights[word]
            * count[word]
            * (_K1 + 1)
            / (count[word] + _K1 * (1 - _B + _B * length / mean))
            for word in wanted
            if word in count
        )
        for count, length in zip(counts, lengths, strict=True)
    ]
