"""A first guess at a question's difficulty from its text alone. Free, and pure."""

from __future__ import annotations

import math
import re

from .difficulty import Difficulty

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_HARD = re.compile(
    r"\b(prove|proof|derive|optimal|optimi[sz]e|minimi[sz]e|maximi[sz]e|maximum|minimum|"
    r"how many ways|probability|expected (?:value|number)|integral|integrate|theorem|"
    r"puzzle|schedule|algorithm|implement|debug|constraint|combination|permutation|"
    r"remainder|modulo|prime|polynomial|equation|step by step|compare|trade-?offs?)\b",
    re.I,
)
_LOOKUP = re.compile(
    r"^\W*(?:what(?:'s| is| are)|who|when|where|which|name|define|translate|spell|hello|hi|"
    r"thanks)\b",
    re.I,
)
_CODE = re.compile(r"```|\bdef |\bclass |[{};]\s*$", re.M)
_MATHS = re.compile(r"[=^√∑∫]|\\[a-z]+|\d\s*[+*/×÷−-]\s*\d")

BASE = 2.2
"""Log-odds that a plain question is answered right by one call: 0.9."""


def from_features(question: str) -> Difficulty:
    """The guess: each sign of work in the text lowers the odds of `p_direct`."""
    words = len(question.split())
    numbers = len(_NUMBER.findall(question))
    signs = {
        "long": 0.25 * math.log1p(max(0, words - 15) / 15),
        "several sentences": 0.15 * max(0, len(_SENTENCE.findall(question)) - 1),
        "numbers": 0.3 * min(numbers, 6),
        "maths": 0.6 * bool(_MATHS.search(question)),
        "code": 0.8 * bool(_CODE.search(question)),
        "hard words": 0.8 * min(3, len(set(map(str.lower, _HARD.findall(question))))),
        "several questions": 0.4 * max(0, question.count("?") - 1),
    }
    odds = BASE - sum(signs.values()) + 0.6 * bool(_LOOKUP.search(question) and numbers == 0)
    told = [name for name, value in signs.items() if value >= 0.25]
    return Difficulty(
        p_direct=1 / (1 + math.exp(-odds)),
        source="features",
        reason=", ".join(told) or "nothing in the text says that it is hard",
    )
