"""Reflection: whether another round of critique and refinement is worth its price. Pure.

After Self-Refine (Madaan et al., 2023) and Reflexion (Shinn et al., 2023).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .answers import comparable
from .samples import Sample, rank
from .verifiers import Verdict

PASS, FAIL = 0.8, 0.2
"""Scores of a critic's verdict: it is a model, and may be wrong."""
_WORD = re.compile(
    r"(?P<no>\b(?:not|no|never|cannot|\w{1,8}n['’]t)\s{1,3}"
    r"(?:(?:a|be|quite|yet|fully|entirely|completely)\s{1,3})?)?\b"
    r"(?:(?P<fail>fail(?:s|ed|ing|ure)?)|(?P<pass>pass(?:es|ed|ing)?)|"
    r"(?P<wrong>wrong|incorrect)|(?P<right>right|correct))\b",
    re.I,
)
_LINE = re.compile(
    r"^[^\w\n]{0,8}(?:(?:my|the|final|overall)[ \t]{1,3}){0,2}verdict\b(.{1,400})$", re.I | re.M
)
_EITHER = re.compile(r"\b(?:or|else)\b|[/|]", re.I)


def finished(samples: Sequence[Sample], rounds: int) -> str:
    """Why there should be no further refinement; empty: there should.

    Args:
        samples: The candidates in the order they were made, each with its verdict.
        rounds: The most critiques.
    """
    *earlier, last = samples
    if last.get("passed") is True:
        return "it passed"
    if len(samples) >= rounds:
        return f"{len(samples)} rounds are over"
    if any(_same(last, sample) for sample in earlier) and rank(last) <= max(map(rank, earlier)):
        return "the refinement says the same again"
    return ""


def _same(one: Sample, other: Sample) -> bool:
    if one.get("key") is not None:
        return one.get("key") == other.get("key")
    return one["text"].strip() == other["text"].strip()


def read_verdict(text: str) -> Verdict:
    """What a critic said: its last line says pass or fail. Unknown where it says neither."""
    passed = _stated(text)
    score = {True: PASS, False: FAIL, None: 0.5}[passed]
    return Verdict(score=score, passed=passed, reasons=text.strip(), verifier="critic")


def _stated(text: str) -> bool | None:
    """The verdict in the stated answer, else in the last line that is called one, else alone."""
    named = _LINE.findall(text)
    for said in (comparable(text) or "", *named[-1:]):
        if _WORD.search(said):
            return _decided(said)
    last = text.rstrip().rpartition("\n")[2]
    word = _WORD.search(last)
    alone = word is not None and not re.search(r"\w", last[: word.start()] + last[word.end() :])
    return _decided(last) if alone else None


def _decided(said: str) -> bool | None:
    """By the first word of a verdict; pass and fail come before right and wrong."""
    words = list(_WORD.finditer(said))
    words = [word for word in words if word["pass"] or word["fail"]] or words
    first = words[0]
    other = next((word for word in words if _passes(word) != _passes(first)), None)
    if other is not None and _EITHER.search(said, first.end(), other.start()):
        return None  # "pass or fail": it repeats the question.
    return _passes(first)


def _passes(word: re.Match[str]) -> bool:
    good = word["pass"] is not None or word["right"] is not None
    return good != (word["no"] is not None)
